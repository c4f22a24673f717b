"""Wake who waits: a message for the ticket of a waiter. Nothing is handed over, so one that is lost or doubled loses nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from headrace.core.run.graph import finished
from headrace.core.run.message import TaskMessage, encode_message
from headrace.core.run.owed import worker_of
from headrace.core.run.record import TaskStatus
from headrace.core.table import WAIT, run_key
from headrace.core.waits.line import Waiter, decode_waiter
from headrace.engine.catalog.plans import record_in
from headrace.engine.engine import Engine
from headrace.ports import Outgoing


def heads(engine: Engine, gate: str, *, limit: int | None = None) -> list[Waiter]:
    """The waiters at a gate in the order of admission: one query."""
    return [decode_waiter(item) for item in engine.store.query(gate, prefix=WAIT, limit=limit)]


def fitting(waiters: Sequence[Waiter], room: int) -> list[Waiter]:
    """Those at the head that fit in together. One that does not fit is not overtaken."""
    out: list[Waiter] = []
    for waiter in waiters:
        if waiter.cost > room:
            break
        room -= waiter.cost
        out.append(waiter)
    return out


def wake(engine: Engine, waiters: Sequence[Waiter]) -> None:
    """Send each its message."""
    by_worker: dict[str, list[Outgoing]] = defaultdict(list)
    for waiter in waiters:
        body = encode_message(message_of(waiter))
        by_worker[waiter.worker].append(Outgoing(body=body, group=waiter.group or None))
    for worker, messages in by_worker.items():
        engine.queues.send(worker, messages)


def message_of(waiter: Waiter) -> TaskMessage:
    return TaskMessage(
        run_id=waiter.run_id,
        task=waiter.task,
        ticket=waiter.ticket,
        queued_at_ms=waiter.queued_at_ms,
        start_by_ms=waiter.start_by_ms,
        place=(waiter.gate, waiter.sk),
        wishes=waiter.wishes or None,
    )


def wake_suspended(engine: Engine, run_id: str, task: str) -> bool:
    """Send the current ticket of a task that is suspended, or the first of one that waits for its conditions. Any other looks for itself.

    False: the run is over or gone, so the task will not wait any more.
    """
    item = engine.store.get(run_key(run_id))
    if item is None:
        return False
    record = record_in(engine, item)
    row = record.tasks.get(task)
    if record.cancelled_at_ms is not None or finished(record):
        return False
    if row is None:
        from headrace.engine.waits.conditions import wake_waiting

        wake_waiting(engine, record, task)
        return True
    if row.status is not TaskStatus.SUSPENDED:
        return True
    now_ms = engine.clock.now_ms()
    message = TaskMessage(
        run_id=run_id,
        task=task,
        ticket=row.ticket,
        queued_at_ms=now_ms,
        start_by_ms=now_ms + record.plan.task(task).schedule_timeout_ms,
        wishes=record.routing.required_labels.get(task),
        resumes=row.resumes,
    )
    engine.queues.send(worker_of(record, task), [Outgoing(body=encode_message(message))])
    return True
