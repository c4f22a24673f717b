"""The invariants: after every write, and at rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from headrace.core.changes import Applied, Item, Write, Written
from headrace.core.graph import finished, states
from headrace.core.record import RunRecord, TaskStatus, record_of
from headrace.core.transitions import MAX_TAKEOVERS
from headrace.memory.faults import Faults
from headrace.memory.store import MemoryStore
from simulation.workload import CHILD, Script, predict

if TYPE_CHECKING:
    from simulation.world import Simulation


class Violation(AssertionError):
    """An invariant does not hold, and which."""


class Watched(MemoryStore):
    """The table, with every write to a run's record held against the record before it."""

    def __init__(self, faults: Faults, *, retried: Callable[[], bool]) -> None:
        super().__init__(faults)
        self._retried = retried
        self._last: dict[str, RunRecord] = {}
        self._found: str | None = None

    def write(self, write: Write) -> Written:
        faults, self.faults = self.faults, _NoAfter(self.faults)
        try:
            written = super().write(write)
        finally:
            self.faults = faults
        if isinstance(written, Applied) and write.key.sk == "run" and written.item is not None:
            self._compare(written.item)
        if self._retried():  # the response was lost, and the client library tried again by itself
            return self.write(write)
        faults.after("store", "write")
        return written

    def check(self) -> None:
        """Raise what a write was found to have broken: not inside the engine, which might catch it."""
        if self._found is not None:
            raise Violation(self._found)

    def _compare(self, item: Item) -> None:
        now = record_of(item)
        before = self._last.get(now.run_id)
        self._last[now.run_id] = now
        if before is None:
            return
        if before.plan != now.plan or before.input != now.input or before.created_at_ms != now.created_at_ms:
            self._found = f"run {now.run_id}: what was asked for has changed"
        for name, row in before.tasks.items():
            after = now.tasks.get(name)
            if after is None:
                self._found = f"{name} of run {now.run_id} lost its row"
            elif row.settled and after != row:
                self._found = f"{name} of run {now.run_id} was {row.status} and has changed to {after.status}"
            elif after.ticket < row.ticket or after.app_retry_count < row.app_retry_count:
                self._found = f"{name} of run {now.run_id}: its ticket or retry count went back"

    def timers(self) -> bool:
        return any(pk.startswith("timer#") for pk in self._partitions)


class _NoAfter:
    """Defers the fault after a write until the write was checked."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def before(self, port: str, call: str) -> None:
        self._faults.before(port, call)

    def after(self, port: str, call: str) -> None:
        pass


def at_rest(sim: Simulation) -> None:
    """What must hold once nothing is left to happen."""
    if sim.queues.depth():
        raise Violation(f"{sim.queues.depth()} messages are left")
    records = {
        str(item["pk"]).removeprefix("run#"): record_of(item)
        for item in sim.store.items()
        if item["sk"] == "run"
    }
    for run_id, record in records.items():
        if not finished(record):
            open_tasks = {
                name: state.status.value for name, state in states(record).items() if not state.settled
            }
            raise Violation(f"run {run_id} is not over: {open_tasks}")
        _held_against_the_model(sim, run_id, record)


def _held_against_the_model(sim: Simulation, run_id: str, record: RunRecord) -> None:
    flow = sim.started.get(run_id, CHILD)
    expected = predict(flow)
    found = states(record)
    lost = any(row.takeovers >= MAX_TAKEOVERS for row in record.tasks.values())
    buried = any(
        row.error is not None and row.error.type == "DeadLetterError" for row in record.tasks.values()
    )
    if lost or buried:
        return
    for name, state in found.items():
        if state.status is TaskStatus.CANCELLED and record.cancelled_at_ms is not None:
            continue
        if record.cancelled_at_ms is not None and name not in expected:
            continue
        if name not in expected:
            raise Violation(f"{name} of run {run_id} is {state.status}, the model says it is not needed")
        status, retries = expected[name]
        if state.status is not status:
            raise Violation(f"{name} of run {run_id} is {state.status}, the model says {status}")
        if state.row is not None and state.row.app_retry_count != retries and state.settled:
            raise Violation(
                f"{name} of run {run_id} took {state.row.app_retry_count} retries, the model says {retries}"
            )
    if record.cancelled_at_ms is None and set(found) != set(expected):
        raise Violation(f"run {run_id} has tasks {sorted(found)}, the model says {sorted(expected)}")
    _ran_no_more_than_it_may(sim, run_id, record)


def _ran_no_more_than_it_may(sim: Simulation, run_id: str, record: RunRecord) -> None:
    scripts = sim.started.get(run_id, CHILD).scripts
    for name, row in record.tasks.items():
        wakes = row.ticket - 1 - row.app_retry_count if scripts.get(name, Script()).children else 0
        allowed = 1 + row.app_retry_count + row.takeovers + wakes
        if sim.ran[run_id, name] > allowed:
            raise Violation(
                f"{name} of run {run_id} ran {sim.ran[run_id, name]} times; its record allows {allowed}"
            )
