"""Places of code that goes on although its attempt has ended: it timed out, or was cancelled, and cannot be stopped.

    attempt over ── its places become the code's ── commit, pay ── … the process moves their time on … ── the code ends ── leave, wake

A retry stands at the limits like any other task, so code that was left behind and the attempt after it never run at once. A process
that dies here takes the code with it: the time of its places runs out, and the clock removes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headrace.core.changes import Applied
from headrace.core.run.record import RunRecord, TaskRow, TaskStatus
from headrace.core.table import gate_key
from headrace.core.values import dataclass
from headrace.core.waits.concurrency import drop, overstay, overstayer, stay_on
from headrace.core.waits.holders import state_of
from headrace.core.waits.passes import Pass, run_passes
from headrace.engine.catalog.plans import record_in
from headrace.engine.engine import Engine
from headrace.engine.owed.pay import pay_evictions
from headrace.engine.waits.evictions import evictions_at
from headrace.engine.waits.keys import has_gates
from headrace.engine.waits.kinds.concurrency import states_of, wake_next
from headrace.engine.waits.park import known_passes


@dataclass(frozen=True, slots=True)
class Place:
    """A place that code holds: item `number` of the gate of `of`, under `name`."""

    of: Pass
    number: int
    name: str


def hold_places(engine: Engine, record: RunRecord, task: str) -> tuple[Place, ...]:
    """Make what an attempt at `task` holds its code's; `record` as it was while it ran. Twice is harmless.

    Nothing, where the attempt is not over, or was taken over: its places are the other one's then.
    """
    row, now = record.tasks[task], _record_now(engine, record)
    if now is None or not _is_over(now, task, row) or not has_gates(engine, record, task):
        return ()
    name = overstayer(record.run_id, task, row.ticket)
    return tuple(
        place
        for of in _passes(engine, record, task, row.ticket)
        for place in _places(engine, of, name)
        if _held(engine, place)
    )


def _passes(engine: Engine, record: RunRecord, task: str, ticket: int) -> Iterator[Pass]:
    """The task's own, and those of the run, whichever of its tasks passed them."""
    yield from run_passes(record, limits=engine.gate_limits())
    for of in known_passes(engine, record, task, ticket):
        if not of.of_run:
            yield of


def _record_now(engine: Engine, record: RunRecord) -> RunRecord | None:
    item = engine.store.get(record.key)
    return record_in(engine, item) if item is not None else None


def _is_over(now: RunRecord, task: str, row: TaskRow) -> bool:
    """Whether the attempt that `row` is of has ended, or was cancelled: nothing can take it over from then on."""
    after = now.tasks.get(task)
    if after is None or after.ticket != row.ticket:
        return after is not None and after.ticket > row.ticket
    if after.takeovers != row.takeovers:
        return False
    return after.status is not TaskStatus.RUNNING or now.cancelled_at_ms is not None


def _places(engine: Engine, of: Pass, name: str) -> Iterator[Place]:
    if of.widest == 1:
        yield Place(of, 0, name)
        return
    for number, state in enumerate(states_of(engine, of.gate, of.widest)):
        if of.member in state.holders or name in state.holders:
            yield Place(of, number, name)


def _held(engine: Engine, place: Place) -> bool:
    now_ms = engine.clock.now_ms()
    write = overstay(place.of, place.number, place.name, now_ms=now_ms, until_ms=_until_ms(engine))
    written = engine.store.write(write)
    return isinstance(written, Applied) or place.name in state_of(written.item).holders


def _until_ms(engine: Engine) -> int:
    return engine.clock.now_ms() + int(engine.limits.lease_s * 1000)


def keep_places(engine: Engine, places: Sequence[Place]) -> None:
    """The code still runs."""
    for place in places:
        engine.store.write(stay_on(place.of, place.number, place.name, until_ms=_until_ms(engine)))


def leave_places(engine: Engine, places: Sequence[Place]) -> None:
    """The code has ended: wake the waiters that can enter. Twice is harmless."""
    for place in places:
        key = gate_key(place.of.gate, place.number)
        state = state_of(engine.store.get(key))
        held = state.holders.get(place.name)
        if held is not None:
            state = state_of(engine.store.write(drop(key, held)).item)
        wake_next(
            engine, place.of.gate, place.of.limit, [state] if place.of.items == place.of.widest == 1 else ()
        )
        pay_evictions(engine, evictions_at(place.of.gate, state))
