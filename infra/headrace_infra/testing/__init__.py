"""Run an app in one process, with no account: for tests, examples and trying things out.

    from headrace_infra.testing import local

    with local(hatchet) as stack:
        result = simple.run(SimpleInput(message="Hello"))

`chaos` and `survives` run it in a simulation, in which whatever can go wrong does: see docs/chaos.md.

The resources are those of the compiled template; messages go to the real Lambda handlers as the event source mapping sends them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace_infra.local.stack import LocalStack
    from headrace_infra.testing.simulated.seeds import Summary
    from headrace_infra.testing.simulated.world import World

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
    from headrace_infra.local.running import run_local

    return run_local(
        app,
        backend=backend,
        concurrency=concurrency,
        background=background,
        stack_name=stack,
        on_invocation=on_invocation,
    )


def chaos(
    app: Headrace, *, seed: int = 0, faults: bool = True, once: Sequence[str | Callable[..., Any]] = ()
) -> AbstractContextManager[World]:
    """A simulated world for the length of a `with` block: the app's own tasks, in virtual time, under the faults of a seed.

        with chaos(hatchet, seed=7, once=["payments:book"]) as world:
            run_id = world.start(checkout, Order(id="1"))
            world.run()
            assert world.status(run_id) == "COMPLETED"
            assert world.count("book") == 1

    The same seed gives the same story, `world.story()`, as long as the code's own choices do not depend on what changes between
    processes, such as the order of a set of strings. faults: False for a world in which nothing goes wrong. once: functions whose calls
    are counted, as "module:function", "module:Class.method", or the function; a worker may die just before and just after each.

    In it `time.sleep`, `asyncio.sleep`, `time.time`, `random` and `uuid.uuid4` are the world's for the code of tasks. There is no
    network: give tasks fakes. Not thread-safe, one world at a time. NotConfigured, which says what to install, where greenlet is missing.
    """
    _check_installed()
    from headrace_infra.testing.simulated.case import deployed_for
    from headrace_infra.testing.simulated.once import names_of
    from headrace_infra.testing.simulated.opening import opened

    return opened(app, deployed_for(app), seed, faults=faults, once=names_of(once))


def survives(
    app: Headrace,
    workflow: Any,
    input: Any = None,
    *,
    seeds: int | Iterable[int] = 200,
    runs: int = 1,
    once: Sequence[str | Callable[..., Any]] = (),
    events: Mapping[str, Any] | Sequence[tuple[str, Any]] = (),
    setup: Callable[[World], object] | None = None,
    check: Callable[[World], object] | None = None,
) -> Summary:
    """Hold a workflow against many seeds. SeedFailed (an AssertionError) tells the first that does something else than without faults:
    another outcome, a run that is stuck, a durable task that is not deterministic, a limit that is exceeded, or, of the functions named
    by `once`, one that was done more often, or less often though the run completed.

    workflow: a task or workflow, or its name. seeds: a number, or which. runs: how many are started at once, of the same input. events:
    pushed one after the other whenever all runs wait. setup, check: called with the world, before the first run and at the end; what
    `check` raises fails the seed. Each seed runs in a process of its own (a fork), so nothing in memory goes from one to the next.
    """
    _check_installed()
    from headrace_infra.testing.simulated.case import Case
    from headrace_infra.testing.simulated.once import names_of
    from headrace_infra.testing.simulated.seeds import SeedFailed, simulate

    case = Case(
        app=app,
        workflow=workflow if isinstance(workflow, str) else workflow.name,
        inputs=[{} if input is None else input] * runs,
        once=names_of(once),
        events=tuple(events.items() if isinstance(events, Mapping) else events),
        setup=setup,
        check=check,
    )
    summary = simulate(case, range(seeds) if isinstance(seeds, int) else seeds)
    for found in summary.found:
        raise SeedFailed(str(found))
    return summary


def _check_installed() -> None:
    try:
        import greenlet  # noqa: F401
    except ImportError as error:
        from headrace.errors import NotConfigured

        raise NotConfigured("the simulation needs greenlet: pip install 'headrace[local]'") from error
