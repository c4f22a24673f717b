"""Which waiters of a line can go on, and which holders are still alive: what the clock decides by."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import assert_never

from headrace.core.changes import Item
from headrace.core.labels import decode_required, meets
from headrace.core.points import (
    AdmissionPoint,
    AtBatch,
    AtConcurrency,
    AtLabels,
    AtPause,
    AtRateLimit,
    AtSlots,
    limit_name,
)
from headrace.core.values import dataclass
from headrace.core.waits.holders import GateState
from headrace.core.waits.line import Waiter
from headrace.core.waits.passes import items_of
from headrace.core.waits.rate_limit import window_of
from headrace.core.waits.wake_up import fitting
from headrace.engine.catalog.workers import LiveWorker, live
from headrace.engine.engine import Engine
from headrace.engine.waits.kinds.concurrency import room_in
from headrace.engine.waits.kinds.pause import pauses
from headrace.engine.waits.kinds.rate_limit import mark_limit, repeat_refill


@dataclass(frozen=True)
class Surroundings:
    """What a sweep knows beside the gates; read once, and only where a gate asks for it."""

    engine: Engine

    @cached_property
    def paused(self) -> Collection[str]:
        return frozenset(pauses(self.engine))

    @cached_property
    def alive(self) -> Sequence[LiveWorker]:
        return live(self.engine)

    @cached_property
    def limits(self) -> Mapping[str, int]:
        return self.engine.gate_limits()


def able(
    around: Surroundings,
    gate: str,
    point: AdmissionPoint,
    item: Item | None,
    states: Sequence[GateState],
    waiting: Sequence[Waiter],
) -> list[Waiter]:
    """The waiters of a line, in its order, that need not wait any more, by the gate as it was before the line was read."""
    match point:
        case AtConcurrency() | AtSlots():
            limit = around.limits.get(limit_name(point), states[0].limit)
            inside = {member for state in states for member in state.holders}
            own = [each for each in waiting if each.run_id in inside or each.member in inside]
            return [*own, *fitting(waiting, room_in(limit, states[: items_of(limit)]))]
        case AtRateLimit():
            return _able_at_limit(around.engine, gate, item, waiting)
        case AtPause(name):
            return [] if name in around.paused else list(waiting)
        case AtLabels(worker):
            alive = [each.labels for each in around.alive if each.worker == worker]
            return [
                each
                for each in waiting
                if any(meets(decode_required(each.required_labels), has) for has in alive)
            ]
        case AtBatch():
            return []  # the index holds no batches: their own messages see to them
        case _:
            assert_never(point)


def _able_at_limit(engine: Engine, gate: str, item: Item | None, waiting: Sequence[Waiter]) -> list[Waiter]:
    """The waiters that the window has units for now; and a refill that is overdue by a minute will not come: another one is sent."""
    window = window_of(item)
    if window.scheduled_ms is None:
        mark_limit(engine, gate, waiting[0].worker)
    else:
        repeat_refill(engine, gate, window.scheduled_ms, waiting[0].worker)
    return fitting(waiting, window.room(engine.clock.now_ms()))
