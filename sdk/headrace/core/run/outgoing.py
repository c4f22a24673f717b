"""The messages of a run's tickets, made from its record."""

from __future__ import annotations

from headrace.core.run.effects import SendTask
from headrace.core.run.message import Conditions, TaskMessage
from headrace.core.run.record import RunRecord


def message_for(record: RunRecord, send: SendTask) -> TaskMessage:
    """The message of a ticket that the record owes."""
    return TaskMessage(
        run_id=record.run_id,
        task=send.task,
        number=record.plan.numbers[send.task],
        ticket=send.ticket,
        queued_at_ms=send.queued_at_ms,
        start_by_ms=send.start_by_ms,
        required_labels=record.routing.required_labels.get(send.task),
        resumes=send.task in record.tasks and record.tasks[send.task].resumes,
        conditions=send.conditions,
        batched=record.plan.task(send.task).batch is not None,
    )


def message_now(
    record: RunRecord, task: str, *, now_ms: int, conditions: Conditions | None = None
) -> TaskMessage:
    """The message of the current ticket of a task that may go on: one that was suspended, or that waited for its conditions.

    The time since when it is queued begins now."""
    row = record.tasks.get(task)
    return TaskMessage(
        run_id=record.run_id,
        task=task,
        number=record.plan.numbers[task],
        ticket=row.ticket if row is not None else record.first_ticket(task),
        queued_at_ms=now_ms,
        start_by_ms=now_ms + record.plan.task(task).schedule_timeout_ms,
        required_labels=record.routing.required_labels.get(task),
        resumes=row is not None and row.resumes,
        conditions=conditions,
    )
