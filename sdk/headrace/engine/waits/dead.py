"""Holders whose run, or whose ticket, is over lose their places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headrace.core.points import (
    AtSlots,
    point_at,
)
from headrace.core.run.derived.progress import finished
from headrace.core.run.record import RunRecord, TaskStatus
from headrace.core.table import gate_key, run_key
from headrace.core.waits.concurrency import drop
from headrace.core.waits.holders import GateState, Holder, state_of
from headrace.engine.catalog.plans import record_in
from headrace.engine.engine import Engine

DEAD_AFTER_MS = 60_000
"""A holder that entered less than so long ago is not looked at."""


def without_dead(engine: Engine, gate: str, number: int, state: GateState) -> GateState:
    """The item without those whose run, or whose ticket, is over."""
    old = {held.run_id for held in old_holders(engine, state)}
    return dropped(engine, gate, number, state, records_of(engine, sorted(old))) if old else state


def old_holders(engine: Engine, state: GateState) -> list[Holder]:
    before_ms = engine.clock.now_ms() - DEAD_AFTER_MS
    return [held for held in state.holders.values() if held.since_ms < before_ms]


def records_of(engine: Engine, run_ids: Sequence[str]) -> dict[str, RunRecord | None]:
    items = engine.store.get_many([run_key(run_id) for run_id in run_ids])
    return {
        run_id: None if item is None else record_in(engine, item)
        for run_id, item in zip(run_ids, items, strict=True)
    }


def dropped(
    engine: Engine, gate: str, number: int, state: GateState, records: Mapping[str, RunRecord | None]
) -> GateState:
    now_ms = engine.clock.now_ms()
    for held in old_holders(engine, state):
        if held.run_id in records and not is_alive(records[held.run_id], held, gate, now_ms=now_ms):
            state = state_of(engine.store.write(drop(gate_key(gate, number), held)).item)
    return state


def is_alive(record: RunRecord | None, held: Holder, gate: str, *, now_ms: int) -> bool:
    """Whether the holder is in for good reason: its run goes on, and its ticket is the one that runs, or waits for children, or has
    just been woken by them and has not taken its places over. A task that waits for children has no slot of its worker. Of a cancelled
    run, and of an attempt that is over, code may still run."""
    if held.until_ms is not None:
        return held.until_ms > now_ms
    if record is None:
        return False
    if record.cancelled_at_ms is not None:
        return _still_ends(record, held, now_ms)
    if held.task is None:
        return not finished(record)
    row = record.tasks.get(held.task)
    if row is None:
        return False
    if row.ticket == held.ticket:
        handed = row.status is TaskStatus.PARKED  # and its message is owed, or on its way
        return handed or row.status is TaskStatus.RUNNING
    waits = row.status in (TaskStatus.RUNNING, TaskStatus.SUSPENDED)
    return row.ticket == held.ticket + 1 and waits and not isinstance(point_at(gate), AtSlots)


def _still_ends(record: RunRecord, held: Holder, now_ms: int) -> bool:
    """Whether an attempt of a cancelled run may not have noticed yet: its lease holds, and it gives its places back itself."""
    row = record.tasks.get(held.task) if held.task is not None else None
    if row is None or row.status is not TaskStatus.RUNNING or row.ticket != held.ticket:
        return False
    return row.lease_until_ms is not None and row.lease_until_ms > now_ms
