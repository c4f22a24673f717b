"""Pay what a record owes. Every effect may be paid twice."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from typing import TypeAlias, assert_never

from headrace.core.run.effects import (
    AwaitEvents,
    CancelEvicted,
    Effect,
    EndOperations,
    EndRun,
    ForgetEviction,
    GiveBack,
    KeepDeadLetter,
    LimitEffect,
    LineUp,
    LookAtOperations,
    PaidAlone,
    PaidAtLimits,
    ReleaseKey,
    SeeToHeir,
    SendReply,
    SendTask,
    StepOut,
    TellParent,
)
from headrace.core.run.idempotency import release
from headrace.core.run.message import encode_message
from headrace.core.run.outgoing import message_for
from headrace.core.run.owed import owed_by_cancelling
from headrace.core.run.record import RunRecord
from headrace.core.values import dataclass, replace
from headrace.engine.engine import Engine
from headrace.engine.timers import set_timer
from headrace.engine.waits.keys import group_for, has_gates
from headrace.engine.waits.kinds.children import leave_join
from headrace.ports import MAX_DELAY_S, Outgoing


@dataclass(frozen=True, slots=True)
class _Alone:
    """An effect that a record owes, away from any limit."""

    record: RunRecord
    effect: PaidAlone


@dataclass(frozen=True, slots=True)
class _AtLimits:
    """An effect that a record owes to the limits of its tasks."""

    record: RunRecord
    effect: PaidAtLimits


@dataclass(frozen=True, slots=True)
class _Messages:
    """Messages that a record owes to one worker, sent as one batch."""

    record: RunRecord
    worker: str
    sends: tuple[SendTask, ...]


_Step: TypeAlias = _Alone | _AtLimits | _Messages | LimitEffect


def pay(engine: Engine, record: RunRecord, effects: Iterable[Effect]) -> None:
    """Send what is due within SQS's longest delay, set timers for what is due later, wake waiters, free what was held."""
    _pay_all(engine, _in_order(record, effects))


def pay_evictions(engine: Engine, evictions: Iterable[CancelEvicted]) -> None:
    """Cancel runs that were evicted from a concurrency limit, and pay what that makes them owe."""
    _pay_all(engine, evictions)


def _pay_all(engine: Engine, steps: Iterable[_Step]) -> None:
    """What a step makes due comes next. A run that was evicted from a limit gives its places there back, where it is still listed as
    evicted, so an eviction that is being paid is not begun again."""
    todo, begun = deque(steps), set[CancelEvicted]()
    while todo:
        step = todo.popleft()
        if isinstance(step, CancelEvicted):
            if step in begun:
                continue
            begun.add(step)
        todo.extendleft(reversed(_perform(engine, step)))


def _in_order(record: RunRecord, effects: Iterable[Effect]) -> list[_Step]:
    """The messages go before the limits are looked at, which may wake tasks of other runs."""
    alone: list[_Step] = []
    at_limits: list[_Step] = []
    by_worker: dict[str, list[SendTask]] = defaultdict(list)
    for effect in effects:
        match effect:
            case SendTask():
                by_worker[effect.worker].append(effect)
            case GiveBack() | SeeToHeir() | LineUp() | StepOut() | EndRun():
                at_limits.append(_AtLimits(record, effect))
            case _:
                alone.append(_Alone(record, effect))
    messages = [_Messages(record, worker, tuple(sends)) for worker, sends in by_worker.items()]
    return [*alone, *messages, *at_limits]


def _perform(engine: Engine, step: _Step) -> Sequence[_Step]:
    """One step, and what it makes due."""
    match step:
        case _Messages(record, worker, sends):
            _send(engine, record, worker, sends)
            return ()
        case CancelEvicted(gate=gate, run_id=run_id):
            from headrace.engine.waits.evictions import cancel_evicted

            evicted = cancel_evicted(engine, run_id)
            owed = () if evicted is None else _in_order(evicted, owed_by_cancelling(evicted))
            return (*owed, ForgetEviction(gate=gate, run_id=run_id))
        case ForgetEviction(gate=gate, run_id=run_id):
            from headrace.engine.waits.evictions import forget

            forget(engine, gate, run_id)
            return ()
        case _AtLimits(record, effect):
            return _pay_at_limits(engine, record, effect)
        case _Alone(record, effect):
            _pay_alone(engine, record, effect)
            return ()
        case _:
            assert_never(step)


def _pay_at_limits(engine: Engine, record: RunRecord, effect: PaidAtLimits) -> Sequence[CancelEvicted]:
    if isinstance(effect, GiveBack) and not has_gates(engine, record, effect.task):
        return ()
    if isinstance(effect, SeeToHeir):
        from headrace.engine.waits.heirs import see_to_heir

        see_to_heir(engine, record, effect.task)
        return ()
    from headrace.engine.waits.park import pay_at_limits

    return pay_at_limits(engine, record, effect)


def _pay_alone(engine: Engine, record: RunRecord, effect: PaidAlone) -> None:
    match effect:
        case AwaitEvents(task=task):
            from headrace.engine.waits.conditions import await_events

            await_events(engine, record, task)
        case TellParent(join=join, index=index):
            leave_join(engine, join, index)
        case LookAtOperations(task=task):
            from headrace.engine.durable.answers import look_after

            look_after(engine, record, task)
        case EndOperations(task=task):
            from headrace.engine.durable.subscriptions import end_operations

            end_operations(engine, record, task)
        case SendReply(queue=queue):
            from headrace.engine.owed.replies import send_reply

            send_reply(engine, record.run_id, queue)
        case ReleaseKey(name=name):
            engine.store.write(release(name, record.run_id, record.generation_number))
        case KeepDeadLetter(task=task):
            from headrace.engine.owed.dead_letters import keep_task

            keep_task(engine, record, task)
        case _:
            assert_never(effect)


def delay_until(engine: Engine, due_at_ms: int | None) -> int:
    """The delay until then, in whole seconds: at most SQS's longest."""
    if due_at_ms is None:
        return 0
    return min(MAX_DELAY_S, max(0, -(-(due_at_ms - engine.clock.now_ms()) // 1000)))


def _queue_for(engine: Engine, record: RunRecord, worker: str) -> str:
    """A run that has started goes on before new ones begin."""
    queue = engine.next_queue(worker)
    if queue == worker or any(row.started_at_ms for row in record.tasks.values()):
        return queue
    return worker


def _send(engine: Engine, record: RunRecord, worker: str, sends: Sequence[SendTask]) -> None:
    queue = _queue_for(engine, record, worker)
    now_ms = engine.clock.now_ms()
    soon: list[Outgoing] = []
    for send in sends:
        delay_s = max(0, -(-((send.due_at_ms or now_ms) - now_ms) // 1000))
        message = message_for(record, send)
        by_ms = (
            now_ms + record.plan.task(send.task).schedule_timeout_ms
        )  # later than its own where this repairs
        body = encode_message(replace(message, start_by_ms=max(message.start_by_ms, by_ms)))
        if delay_s <= MAX_DELAY_S or not set_timer(engine, queue, send.due_at_ms or now_ms, body):
            group = group_for(record, send.task)
            soon.append(Outgoing(body=body, delay_s=min(delay_s, MAX_DELAY_S), group=group))
    if soon:
        engine.send(queue, soon)
