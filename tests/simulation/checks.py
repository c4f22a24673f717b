"""The invariants: after every write, and at rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from headrace.core.changes import Applied, Item, Key, Refused, Write, Written, copied_item
from headrace.core.run.derived.graph import states
from headrace.core.run.derived.progress import finished
from headrace.core.run.record import RunRecord, TaskStatus
from headrace.core.run.stored.record import record_of
from headrace.core.table import gate_of_line, line_partition
from headrace.core.waits.holders import GateState
from headrace.memory.store import MemoryStore
from headrace.memory.validity import check_request
from simulation.admission_checks import CONCURRENCY, admission_at_rest, rightly_turned_away, turned_away
from simulation.gate_watch import GateWatch, Violation
from simulation.workload import Script, predict

if TYPE_CHECKING:
    from simulation.world import Simulation


MAX_CRASHES = 10
"""More than by default: runs are to end by what the engine does, not by how often they were killed."""


class Watched(MemoryStore):
    """The table, with every write to a run's record, a gate or a rate limit held against what was there before it."""

    def __init__(self, *, retried: Callable[[], bool], met: Counter[str], places_an_item: int) -> None:
        super().__init__()
        self._retried = retried
        self._last: dict[str, RunRecord] = {}
        self._found: str | None = None
        self._gates = GateWatch(records=self._last, met=met, places_an_item=places_an_item)

    def write(self, write: Write) -> Written:
        while True:
            self.faults.before("store", "write")
            check_request(write)
            written = self._apply(write)
            if not self._retried():
                break  # else the response was lost, and the client library tries again by itself
        self.faults.after("store", "write")
        item = copied_item(written.item) if written.item is not None else None
        return Applied(item) if isinstance(written, Applied) else Refused(item)

    def _apply(self, write: Write) -> Written:
        before = self.peek(write.key)
        written = super()._apply(write)
        if isinstance(written, Applied):
            if write.key.sk == "run" and written.item is not None:
                self._compare(written.item)
            else:
                self._found = self._found or self._gates.compare(write, before, written.item)
        return written

    def peek(self, key: Key) -> Item | None:
        """An item, without a call."""
        return self._partitions.get(key.pk, {}).get(key.sk)

    def record(self, run_id: str) -> RunRecord | None:
        return self._last.get(run_id)

    def records(self) -> list[RunRecord]:
        return list(self._last.values())

    def rows(self, partition: str) -> list[Item]:
        """The items of a partition, without a call."""
        return list(self._partitions.get(partition, {}).values())

    def line(self, gate: str) -> list[Item]:
        """The waiters of a gate, in order."""
        rows = self._partitions.get(line_partition(gate), {})
        return [rows[sk] for sk in sorted(rows) if sk.startswith("wait#")]

    def gate_items(self) -> list[tuple[Key, Item]]:
        """The items of gates and rate limits, and the partitions of lines that have none."""
        return [
            (Key(pk, "gate"), self._partitions.get(pk, {}).get("gate", {}))
            for pk in dict.fromkeys(map(gate_of_line, self._partitions))
            if pk.startswith(("gate#", "places#", "rate#", "pause#"))
        ]

    def states_of(self, gate: str) -> list[GateState]:
        """The items of a gate, however many it has had."""
        return self._gates.states_of(gate)

    def waits_for_the_clock(self) -> bool:
        """Whether a timer is there, or a gate that the clock looks at."""
        return bool(self._gates.listed) or any(pk.startswith("timer#") for pk in self._partitions)

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
        if before.generation_number != now.generation_number:
            if now.generation_number != before.generation_number + 1 or not finished(before):
                self._found = f"run {now.run_id} was replayed, though it was not over"
            return
        for name, row in before.tasks.items():
            after = now.tasks.get(name)
            if after is None:
                self._found = f"{name} of run {now.run_id} lost its row"
            elif row.settled and after != row:
                self._found = f"{name} of run {now.run_id} was {row.status} and has changed to {after.status}"
            elif after.ticket < row.ticket or after.app_retry_count < row.app_retry_count:
                self._found = f"{name} of run {now.run_id}: its ticket or retry count went back"
            elif before.cancelled_at_ms is not None and after.status not in (
                row.status,
                TaskStatus.CANCELLED,
            ):
                self._found = f"{name} of run {now.run_id} is {after.status}, though the run was cancelled"


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
    if sim.gated:
        admission_at_rest(sim)


def _held_against_the_model(sim: Simulation, run_id: str, record: RunRecord) -> None:
    found = states(record)
    if sim.gated:
        rightly_turned_away(sim, record)
    away = turned_away(record)
    if away or (record.cancel_reason or "").startswith(CONCURRENCY):
        sim.met["turned away"] += 1
    expected = predict(sim.flow_of(run_id), away)
    lost = any(row.takeovers >= MAX_CRASHES for row in record.tasks.values())
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
    scripts = sim.flow_of(run_id).scripts
    for name, row in record.tasks.items():
        wakes = row.ticket - 1 - row.app_retry_count if scripts.get(name, Script()).children else 0
        allowed = 1 + row.retry_count + wakes
        if sim.ran[run_id, name] > allowed:
            raise Violation(
                f"{name} of run {run_id} ran {sim.ran[run_id, name]} times; its record allows {allowed}"
            )
