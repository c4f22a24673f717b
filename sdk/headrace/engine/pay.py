"""Pay what a record owes. Every effect may be paid twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import assert_never

from headrace.core.idempotency import release
from headrace.core.message import TaskMessage, encode_message
from headrace.core.owed import Effect, LookAtJoin, ReleaseKey, SendTask, TellParent
from headrace.core.record import RunRecord
from headrace.engine.engine import Engine
from headrace.engine.joins import is_empty, leave_join, wake_parent
from headrace.engine.timers import set_timer
from headrace.ports import MAX_DELAY_S, Outgoing


def pay(engine: Engine, record: RunRecord, effects: Iterable[Effect]) -> None:
    """Send what is due within SQS's longest delay, set timers for what is due later, tell who waits."""
    by_worker: dict[str, list[SendTask]] = defaultdict(list)
    for effect in effects:
        match effect:
            case SendTask():
                by_worker[effect.worker].append(effect)
            case TellParent(join=join, index=index):
                leave_join(engine, join, index)
            case LookAtJoin(task=task, join=join):
                if is_empty(engine, join):
                    wake_parent(engine, record.run_id, task, join)
            case ReleaseKey(name=name):
                engine.store.write(release(name, record.run_id))
            case _:
                assert_never(effect)
    for worker, sends in by_worker.items():
        _send(engine, record, worker, sends)


def _send(engine: Engine, record: RunRecord, worker: str, sends: list[SendTask]) -> None:
    now_ms = engine.clock.now_ms()
    soon: list[Outgoing] = []
    for send in sends:
        delay_s = max(0, -(-((send.due_at_ms or now_ms) - now_ms) // 1000))
        body = encode_message(message_for(record, send))
        if delay_s <= MAX_DELAY_S or not set_timer(engine, worker, send.due_at_ms or now_ms, body):
            soon.append(Outgoing(body=body, delay_s=min(delay_s, MAX_DELAY_S)))
    if soon:
        engine.queues.send(worker, soon)


def message_for(record: RunRecord, send: SendTask) -> TaskMessage:
    return TaskMessage(
        run_id=record.run_id,
        task=send.task,
        ticket=send.ticket,
        queued_at_ms=send.queued_at_ms,
        start_by_ms=send.start_by_ms,
    )
