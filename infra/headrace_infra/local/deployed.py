"""An app on a stack that is deployed already, as far as tests ask a local one: the same test runs on both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING

from headrace.core.run.derived.progress import run_status
from headrace.core.run.record import RunRecord, RunStatus
from headrace.engine.runs.listing import Wanted, runs
from headrace.errors import NotSupportedError

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.engine.engine import Engine

OPEN = (RunStatus.QUEUED, RunStatus.RUNNING)
LOOK_EVERY_S = 0.5
SKEW_MS = 5_000
"""How far this machine's clock may be behind that of another."""


class DeployedStack:
    """A deployed stack; its workers, queues and time are AWS's."""

    def __init__(self, app: Headrace) -> None:
        self.app = app
        self._since_ms = app.engine.clock.now_ms()

    @property
    def engine(self) -> Engine:
        return self.app.engine

    def runs(self) -> list[RunRecord]:
        """The runs since the test began, others' too. Eventually consistent: a run may be missing for a moment."""
        until_ms = self.engine.clock.now_ms() + SKEW_MS
        return list(runs(self.engine, Wanted(since_ms=self._since_ms, until_ms=until_ms)))

    def drain(self, timeout: timedelta | float = 60.0) -> None:
        """Wait until no run of since the test began is open. TimeoutError, with those that are, after `timeout` (seconds)."""
        limit_s = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        deadline = monotonic() + limit_s
        while True:
            open_ones = [record for record in self.runs() if run_status(record) in OPEN]
            if not open_ones:
                return
            if monotonic() > deadline:
                raise TimeoutError(f"not drained after {limit_s:g} s: {_named(open_ones)}")
            self.engine.clock.sleep(LOOK_EVERY_S)

    def advance(self, by: timedelta) -> None:
        """Not possible: NotSupportedError. The fixture skips a test that asks for it."""
        raise NotSupportedError("a deployed stack runs in real time: only a local one can advance")


def _named(records: Sequence[RunRecord]) -> str:
    return ", ".join(
        f"{record.run_id} of {record.plan.workflow} ({run_status(record).value})" for record in records
    )


@contextmanager
def on_deployed(app: Headrace, stack: str) -> Iterator[DeployedStack]:
    """The app on the stack of that name for the length of the block; as it was afterwards."""
    before = app.settings.stack
    app.settings.stack = stack
    app.use(None)
    try:
        yield DeployedStack(app)
    finally:
        app.settings.stack = before
        app.use(None)
