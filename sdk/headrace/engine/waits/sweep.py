"""What the clock does for gates, once a minute: end what waited too long, put out the dead, wake who can enter.

Of these only the first has no other place: a waiter has no message, so nobody looks at its schedule timeout before. The rest repairs
what zombies left behind. It looks at gates that somebody waits at, or has waited at lately: the index holds them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from headrace.core.run.graph import finished
from headrace.core.run.record import RunRecord, TaskStatus
from headrace.core.table import GATE_SHARDS, gate_key, gates_listed, run_key
from headrace.core.waits.concurrency import GateState, Holder, drop, items_of, state_of
from headrace.core.waits.labels import decode_wishes, meets
from headrace.core.waits.line import Waiter, clear, unlisted
from headrace.core.waits.points import (
    AdmissionPoint,
    AtBatch,
    AtConcurrency,
    AtLabels,
    AtPause,
    AtRateLimit,
    AtSlots,
    limit_name,
    point_at,
)
from headrace.core.waits.rate_limit import close, window_of
from headrace.core.waits.wake_up import fitting, overdue
from headrace.engine.catalog.plans import record_in
from headrace.engine.catalog.workers import live
from headrace.engine.engine import Engine
from headrace.engine.waits.kinds.concurrency import room_in, states_of
from headrace.engine.waits.kinds.pause import pauses
from headrace.engine.waits.kinds.rate_limit import mark_limit, repeat_refill
from headrace.engine.waits.wake import heads, wake

DEAD_AFTER_MS = 60_000
"""A holder that entered less than so long ago is not looked at."""


def tend_gates(engine: Engine) -> int:
    """Look at every gate in the index. Returns how many waiters were sent a message."""
    woken = 0
    for shard in range(GATE_SHARDS):
        for item in engine.store.query_index("listing", gates_listed(shard), newest_first=False):
            woken += _tend(engine, str(item["lsk"]))
    return woken


def _tend(engine: Engine, gate: str) -> int:
    """First who is dead goes, then the mark is seen, then the line: whoever parks meanwhile marks after that, and looks for itself."""
    point = point_at(gate)
    if isinstance(point, AtConcurrency | AtSlots):
        _put_out_the_dead(engine, gate, point)
    seen = state_of(engine.store.get(gate_key(gate)))
    waiters = heads(engine, gate)
    now_ms = engine.clock.now_ms()
    late = [each for each in waiters if each.start_by_ms < now_ms]
    waiting = [each for each in waiters if each.start_by_ms >= now_ms]
    able = _able(engine, gate, point, waiting) if waiting else []
    due = [each for each in (*late, *able) if not each.woken_at_ms or overdue(each, now_ms)]
    wake(engine, due)
    if not waiters:
        _close(engine, gate, point, seen)
    return len(due)


def _able(engine: Engine, gate: str, point: AdmissionPoint, waiting: Sequence[Waiter]) -> list[Waiter]:
    """Those who need not wait any more."""
    match point:
        case AtConcurrency() | AtSlots():
            limit, items = _limit_and_items(engine, gate, point)
            states = states_of(engine, gate, items)
            inside = [each for each in waiting if any(each.run_id in state.holders for state in states)]
            return [*inside, *fitting(waiting, room_in(limit, states[: items_of(limit)]))]
        case AtRateLimit():
            return _able_at_limit(engine, gate, waiting)
        case AtPause(workflow):
            return [] if workflow in pauses(engine) else list(waiting)
        case AtBatch():
            return []  # the index holds no batches: their own messages see to them
        case AtLabels(worker):
            alive = [each.labels for each in live(engine) if each.worker == worker]
            return [each for each in waiting if any(meets(decode_wishes(each.wishes), has) for has in alive)]
        case _:
            assert_never(point)


def _limit_and_items(engine: Engine, gate: str, point: AtConcurrency | AtSlots) -> tuple[int, int]:
    """The limit that is deployed, or that of who entered last; and over how many items holders may be spread."""
    last = state_of(engine.store.get(gate_key(gate))).limit
    limit = engine.gate_limits().get(limit_name(point), last)
    return limit, max(items_of(limit), items_of(last))


def _put_out_the_dead(engine: Engine, gate: str, point: AtConcurrency | AtSlots) -> None:
    _, items = _limit_and_items(engine, gate, point)
    for number, state in enumerate(states_of(engine, gate, items)):
        without_dead(engine, gate, number, state)
        if state.evicted:
            from headrace.engine.waits.evictions import cancel_victims

            cancel_victims(engine, gate, state.evicted)


def without_dead(engine: Engine, gate: str, number: int, state: GateState) -> GateState:
    """The item without those whose run, or whose ticket, is over."""
    before_ms = engine.clock.now_ms() - DEAD_AFTER_MS
    old = [held for held in state.holders.values() if held.since_ms < before_ms]
    if not old:
        return state
    items = engine.store.get_many([run_key(held.run_id) for held in old])
    for held, item in zip(old, items, strict=True):
        if not is_alive(None if item is None else record_in(engine, item), held, gate):
            state = state_of(engine.store.write(drop(gate_key(gate, number), held)).item)
    return state


def is_alive(record: RunRecord | None, held: Holder, gate: str) -> bool:
    """Whether the holder is in for good reason: its run goes on, and its ticket is the one that runs, or waits for children, or has
    just been woken by them and has not taken its places over. Whoever waits for children has no slot of its worker."""
    if record is None or record.cancelled_at_ms is not None:
        return False
    if held.task is None:
        return not finished(record)
    row = record.tasks.get(held.task)
    if row is None:
        return False
    if row.ticket == held.ticket:
        return row.status is TaskStatus.RUNNING
    waits = row.status in (TaskStatus.RUNNING, TaskStatus.SUSPENDED)
    return row.ticket == held.ticket + 1 and waits and not isinstance(point_at(gate), AtSlots)


def _able_at_limit(engine: Engine, gate: str, waiting: Sequence[Waiter]) -> list[Waiter]:
    """Those whom the window has units for now; and a refill that is overdue by a minute will not come: another one is sent."""
    window = window_of(engine.store.get(gate_key(gate)))
    now_ms = engine.clock.now_ms()
    if window.scheduled_ms is None:
        mark_limit(engine, gate, waiting[0].worker)
    else:
        repeat_refill(engine, gate, window.scheduled_ms, waiting[0].worker)
    return fitting(waiting, window.room(now_ms))


def _close(engine: Engine, gate: str, point: AdmissionPoint, seen: GateState) -> None:
    """Nobody waits: the mark goes that was seen before, and the next time the entry in the index."""
    if seen.waiting is not None:
        write = close(gate, seen.waiting) if isinstance(point, AtRateLimit) else clear(gate, seen.waiting)
        engine.store.write(write)
    elif not seen.evicted:
        engine.store.write(unlisted(gate))
