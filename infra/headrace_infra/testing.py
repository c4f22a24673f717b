"""Run an app in one process, with no account: for tests, examples and trying things out.

    from headrace_infra.testing import local

    with local(hatchet) as stack:
        result = simple.run(SimpleInput(message="Hello"))

The resources are those of the compiled template; messages go to the real Lambda handlers as the event source mapping sends them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace_infra.local.stack import LocalStack

Backend = Literal["memory", "moto", "ministack"]


def local(
    app: Headrace,
    *,
    backend: Backend = "moto",
    concurrency: int = 8,
    background: bool = True,
    stack: str = "headrace",
    on_invocation: Callable[[str, float], None] | None = None,
) -> AbstractContextManager[LocalStack]:
    """A local stack for the length of a `with` block.

    backend: "memory" is the quickest, a few milliseconds a stack: no AWS client, nothing of boto3 is patched (a task that calls AWS itself
    reaches AWS); "moto" is an emulated AWS in this process, for real boto3 calls; in both, time can be moved. "ministack" is a server of its own, in real time, closer to AWS
    (NotConfigured, which says how to install it, where it is missing). concurrency: how many Lambdas run at once. background: deliver on threads of its own, so that `run()` just returns; False:
    nothing happens until `stack.drain()`, which then runs everything on the calling thread, in order. on_invocation is told the
    queue and the seconds of each invocation. Execution timeouts are real time; delays and schedule timeouts are virtual and
    pass in `drain()` and `advance()`. ImportError, which says what to install, where moto is missing.
    """
    from headrace_infra.local.stack import run_local

    return run_local(
        app,
        backend=backend,
        concurrency=concurrency,
        background=background,
        stack_name=stack,
        on_invocation=on_invocation,
    )
