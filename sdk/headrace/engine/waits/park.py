"""Lining up, stepping out, giving back: what a record owes the gates of its tasks. Every step may be paid twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import assert_never

from headrace.core.labels import decode_required, meets
from headrace.core.points import (
    AdmissionPoint,
    AtBatch,
    AtConcurrency,
    AtLabels,
    AtOperations,
    AtPause,
    AtRateLimit,
    AtSlots,
    encode_point,
    limit_name,
    point_at,
)
from headrace.core.run.effects import CancelEvicted, EndRun, GiveBack, LineUp, StepOut
from headrace.core.run.owed import may_run_until_ms, worker_of
from headrace.core.run.record import RunRecord, TaskRow, TaskStatus
from headrace.core.run.transitions.cancel import end_lease
from headrace.core.table import gate_key
from headrace.core.values import replace
from headrace.core.waits.concurrency import drop, stay_until
from headrace.core.waits.holders import GateState, Holder, state_of
from headrace.core.waits.line import Waiter, is_closing, mark, place_of, put_waiter, unwait
from headrace.core.waits.passes import KeyFailed, Pass, items_of, passes, run_passes
from headrace.core.waits.rate_limit import Take, takes
from headrace.engine.catalog.plans import record_in
from headrace.engine.engine import Engine
from headrace.engine.waits.evictions import evictions_at
from headrace.engine.waits.keys import group_for
from headrace.engine.waits.kinds.concurrency import give_places_back, states_of, wake_next, was_put_in
from headrace.engine.waits.kinds.rate_limit import mark_limit, repair_refill
from headrace.engine.waits.wake import heads, wake


def pay_at_limits(
    engine: Engine, record: RunRecord, effect: GiveBack | LineUp | StepOut | EndRun
) -> tuple[CancelEvicted, ...]:
    """Free what was held, or line up, or leave a line. The evicted runs that were seen there, which are to be cancelled."""
    match effect:
        case GiveBack(task=task, ticket=ticket):
            passes = (of for of in known_passes(engine, record, task, ticket) if not of.of_run)
            kept = effect.suspended  # a suspended task keeps all but its worker's slots
            seen = _leave_all(engine, (of for of in passes if not kept or isinstance(of.point, AtSlots)))
            if effect.stale:
                for each in _known_takes(record, task):
                    repair_refill(engine, each.gate, worker_of(record, task))
            return seen
        case LineUp(task=task):
            line_up(engine, record, task)
        case StepOut(task=task):
            step_out(engine, record, task)
        case EndRun(ended=ended):
            return _end_run(engine, record, ended)
        case _:
            assert_never(effect)
    return ()


def _leave_all(engine: Engine, passes: Iterable[Pass]) -> tuple[CancelEvicted, ...]:
    """Leave every gate that the ticket, or the run, may be in, and wake the waiters that can enter."""
    return tuple(each for of in passes for each in evictions_at(of.gate, give_places_back(engine, of)))


def _end_run(engine: Engine, record: RunRecord, ended: tuple[str, ...]) -> tuple[CancelEvicted, ...]:
    passes = run_passes(record, limits=engine.gate_limits())
    record = _noted_as_ended(engine, record, ended)
    until_ms = may_run_until_ms(record, ended=ended, now_ms=engine.clock.now_ms())
    if until_ms is None:
        return _leave_all(engine, passes)
    for of in passes:
        for number in range(of.widest):
            engine.store.write(stay_until(of, number, until_ms=until_ms))
    return ()


def _noted_as_ended(engine: Engine, record: RunRecord, ended: tuple[str, ...]) -> RunRecord:
    """The record once it says which attempts have ended: of several that end at once, the last one sees that all have."""
    running = [name for name, row in record.tasks.items() if row.status is TaskStatus.RUNNING]
    if len(running) > 1:
        for name in ended:
            if name in running:
                written = engine.store.write(end_lease(record, name))
                record = record_in(engine, written.item) if written.item is not None else record
    return record


def passes_of(engine: Engine, record: RunRecord, task: str, ticket: int) -> tuple[Pass, ...]:
    """What a ticket has to pass, under the limits that are deployed. KeyFailed where a key could not be evaluated."""
    return passes(record, task, ticket, worker=worker_of(record, task), limits=engine.gate_limits())


def known_passes(engine: Engine, record: RunRecord, task: str, ticket: int) -> tuple[Pass, ...]:
    """As `passes_of`. Nothing where a key could not be evaluated: such a task never entered."""
    try:
        return passes_of(engine, record, task, ticket)
    except KeyFailed:
        return ()


def _known_takes(record: RunRecord, task: str) -> tuple[Take, ...]:
    try:
        return takes(record, task)
    except KeyFailed:
        return ()


# ---------------------------------------------------------------- lining up


def waiter_of(engine: Engine, record: RunRecord, task: str, *, start_by_ms: int | None = None) -> Waiter:
    """The waiter of a task that is PARKED, at the point that its row says."""
    row = record.tasks[task]
    point = _point_of(row)
    since_ms = row.queued_at_ms or record.created_at_ms
    by_ms = since_ms + record.plan.task(task).schedule_timeout_ms
    return Waiter(
        gate=encode_point(point),
        sk=place_of(record, task, row),
        run_id=record.run_id,
        task=task,
        number=record.plan.numbers[task],
        ticket=row.ticket,
        worker=worker_of(record, task),
        queued_at_ms=since_ms,
        start_by_ms=by_ms if start_by_ms is None else start_by_ms,
        cost=_cost(engine, record, task, point),
        required_labels=record.routing.required_labels.get(task, ""),
        group=group_for(record, task) or "",
    )


def _point_of(row: TaskRow) -> AdmissionPoint:
    if row.waits_at is None or isinstance(row.waits_at, AtOperations):
        raise ValueError(f"a {row.status} task has no line: {row.waits_at}")
    return row.waits_at


def _cost(engine: Engine, record: RunRecord, task: str, point: AdmissionPoint) -> int:
    if isinstance(point, AtRateLimit):
        return max((each.units for each in _known_takes(record, task) if each.point == point), default=1)
    return max((of.cost for of in known_passes(engine, record, task, 1) if of.point == point), default=1)


def line_up(engine: Engine, record: RunRecord, task: str, *, seen: GateState | None = None) -> None:
    """Put the waiter, set the mark, and look once more: a permit may have been released in between.

    `seen`: the first item of a concurrency limit as it was before the waiter was put."""
    point = _point_of(record.tasks[task])
    if isinstance(point, AtBatch):
        from headrace.engine.waits.kinds import batch

        batch.line_up(engine, record, task)
        return
    start_by_ms = _paused_until(engine, point.name) if isinstance(point, AtPause) else None
    waiter = waiter_of(engine, record, task, start_by_ms=start_by_ms)
    engine.store.write(put_waiter(waiter, expires_at_s=record.expires_at_s))
    match point:
        case AtRateLimit():
            mark_limit(engine, waiter.gate, waiter.worker, parked=waiter.sk)
        case AtConcurrency() | AtSlots():
            _mark_gate(engine, record, task, point, seen)
        case AtPause(name):
            _mark_line(engine, record, waiter)
            if not _still_paused(engine, name):
                wake(engine, [waiter])
        case AtLabels(worker):
            _mark_line(engine, record, waiter)
            if any_process_meets(engine, worker, waiter.required_labels):
                wake(engine, [waiter])
        case _:
            assert_never(point)


def _mark_line(engine: Engine, record: RunRecord, waiter: Waiter) -> None:
    engine.store.write(mark(waiter.gate, engine.ids.owner(), expires_at_s=record.expires_at_s))


def _mark_gate(
    engine: Engine, record: RunRecord, task: str, point: AtConcurrency | AtSlots, seen: GateState | None
) -> None:
    gate = encode_point(point)
    of = next((each for each in known_passes(engine, record, task, 1) if each.point == point), None)
    limit = of.limit if of is not None else None
    first = _marked(engine, gate, limit, record.expires_at_s, seen)
    wide = of is not None and of.items > 1
    if wide and seen is not None and seen.waiting == first.waiting and not engine.account.redelivered:
        return  # marked all the time: each task that left since has looked at the line, or will
    states = states_of(engine, gate, of.items) if of is not None and wide else [first]
    if of is not None and _was_handed_over(engine, record, task, of, first):
        return
    if of is not None and of.of_run and _is_in(engine, of, states):
        wake(
            engine, [waiter_of(engine, record, task)]
        )  # another root of the run has taken its place meanwhile
    wake_next(engine, gate, first.limit if limit is None else limit, states)


def _was_handed_over(engine: Engine, record: RunRecord, task: str, of: Pass, first: GateState) -> bool:
    """A task that ended may have put this one in its place while that was being refused: the place is given back, and the line looked at."""
    refused = replace(of, ticket=record.tasks[task].ticket - 1)
    if not was_put_in(engine, refused, first):
        return False
    give_places_back(engine, refused)
    return True


def _marked(
    engine: Engine, gate: str, limit: int | None, expires_at_s: int, seen: GateState | None
) -> GateState:
    """The first item of a limit, which has a mark that is not closing: one read, where it is likely that it has one already."""
    if seen is None or seen.waiting is not None:
        first = state_of(engine.store.get(gate_key(gate)))
        if first.waiting is not None and not is_closing(first.waiting):
            return first
    write = mark(gate, engine.ids.owner(), limit=limit, expires_at_s=expires_at_s)
    return state_of(engine.store.write(write).item)


def _is_in(engine: Engine, of: Pass, states: Sequence[GateState]) -> bool:
    states = states if of.widest == 1 else states_of(engine, of.gate, of.widest)
    return any(of.member in each.holders for each in states)


def _paused_until(engine: Engine, paused: str) -> int | None:
    """By what is read here: another process may have paused it again, for longer. None: by the task's schedule timeout."""
    from headrace.engine.waits.kinds.pause import refresh

    how = refresh(engine, consistent=True).get(paused)
    if how is None or how.queue_ttl_ms is None:
        return None
    return engine.clock.now_ms() + how.queue_ttl_ms


def _still_paused(engine: Engine, paused: str) -> bool:
    """What this process knew may be old: it goes by what is read here, or it would park the task again and again."""
    from headrace.engine.waits.kinds.pause import refresh

    return paused in refresh(engine, consistent=True)


def step_out(engine: Engine, record: RunRecord, task: str) -> None:
    """Take the waiter of a task that was settled, or cancelled, out of its line."""
    row = record.tasks.get(task)
    if row is not None and row.waits_at is not None and not isinstance(row.waits_at, AtBatch):
        gate = encode_point(_point_of(row))
        engine.store.write(unwait(gate, place_of(record, task, row), row.ticket))


# ---------------------------------------------------------------- labels


def any_process_meets(engine: Engine, worker: str, required_labels: str) -> bool:
    """Whether a process of the worker is alive whose labels meet the required ones: one query."""
    from headrace.engine.catalog.workers import live

    wanted = decode_required(required_labels) if required_labels else ()
    return any(each.worker == worker and meets(wanted, each.labels) for each in live(engine))


def forget_waiter(engine: Engine, gate: str, sk: str, ticket: int, *, seat: int | None = None) -> None:
    """A waiter was woken whose run is there no more: it goes, and the next one is looked at. `seat`: the item in which a place was handed
    over to it."""
    engine.store.write(unwait(gate, sk, ticket))
    if seat is not None:
        _, _, _, run_id, task = sk.split("#", 4)
        held = Holder(member=f"{run_id}/{task}", ticket=ticket, since_ms=0, born_ms=0)
        engine.store.write(drop(gate_key(gate, seat), held))
    wake_next_at(engine, gate)


def wake_next_at(engine: Engine, gate: str) -> None:
    """A waiter has left the line without having entered: see whether the next one can."""
    match point_at(gate):
        case AtConcurrency() | AtSlots() as point:
            first = state_of(engine.store.get(gate_key(gate)))
            limit = engine.gate_limits().get(limit_name(point), first.limit)
            wake_next(engine, gate, limit, [first] if items_of(limit) == 1 else ())
        case AtRateLimit():
            for waiter in heads(engine, gate, limit=1):
                repair_refill(engine, gate, waiter.worker)
        case AtPause() | AtLabels() | AtBatch():
            pass  # nothing is taken there: no permit has to be released first
