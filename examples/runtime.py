"""Where the examples run: on the embedded AWS of this process, or on a deployed stack.

With HEADRACE_STACK set, `running` does nothing: the stack's workers run the tasks (`python` needs AWS credentials
and `sam deploy` needs to have been done). Without it, everything runs in this process, with no account.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from time import sleep
from typing import TYPE_CHECKING

from headrace import Headrace

if TYPE_CHECKING:
    from headrace_infra.local.stack import LocalStack


@contextmanager
def running(app: Headrace) -> Iterator[None]:
    """Deliver what is triggered inside the block to the tasks of `app`."""
    if os.environ.get("HEADRACE_STACK"):
        yield
        return
    from headrace_infra.testing import local

    _house_the_others(app)
    with local(app):
        yield


@dataclass(frozen=True, slots=True)
class Time:
    """How long a day takes here, and how it passes: at once where time can be moved, for real on a deployed stack."""

    day: timedelta
    stack: "LocalStack | None" = None

    def settle(self) -> None:
        """Let everything that is due by now run."""
        if self.stack is None:
            sleep(5)
        else:
            self.stack.deliver_all()

    def pass_by(self) -> None:
        """Let the time of all that waits go by."""
        if self.stack is not None:
            self.stack.drain()


@contextmanager
def passing(app: Headrace) -> Iterator[Time]:
    """As `running`, for tasks that wait for days: here the days are skipped, on a deployed stack each takes three seconds."""
    if os.environ.get("HEADRACE_STACK"):
        yield Time(timedelta(seconds=3))
        return
    from headrace_infra.testing import local

    _house_the_others(app)
    with local(app, backend="memory", background=False) as stack:
        yield Time(timedelta(days=1), stack)


def _house_the_others(app: Headrace) -> None:
    """Where an example declares workers, what it imports from others, such as quickstart's task, needs one too."""
    homeless = [each for each in app._workflows_by_name.values() if not app._knows_workers(each.name)]
    if app._workers_declared and homeless:
        app.worker("others", workflows=homeless)
