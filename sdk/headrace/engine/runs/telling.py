"""What listeners and the log are told of an attempt."""

from __future__ import annotations

import logging

from headrace.core.run.record import RunRecord, TaskRow, TaskStatus
from headrace.core.run.transitions.fence import Attempt
from headrace.telemetry.events import AttemptStarted, AttemptTakenOver, Outcome


def begun(workflow: str, attempt: Attempt, row: TaskRow) -> AttemptStarted | AttemptTakenOver:
    """An attempt as it begins; a takeover is one of its own kind, as it was not queued."""
    if row.takeovers:
        return AttemptTakenOver(workflow=workflow, task=attempt.task)
    queue_ms = max(0, attempt.now_ms - (row.queued_at_ms or attempt.now_ms))
    return AttemptStarted(workflow=workflow, task=attempt.task, queue_ms=queue_ms, lined_up=row.lined_up)


def outcome_of(status: TaskStatus) -> Outcome | None:
    """How an attempt ended, from the status that its commit left. None: it waits, and has not ended."""
    match status:
        case TaskStatus.PARKED | TaskStatus.SUSPENDED:
            return None
        case TaskStatus.QUEUED | TaskStatus.RUNNING:  # the latter: its retry goes on at once
            return Outcome.RETRIED
        case TaskStatus.COMPLETED:
            return Outcome.COMPLETED
        case _:
            return Outcome.FAILED


logger = logging.getLogger("headrace.attempts")


def log_failure(record: RunRecord, task: str, what: str, *, attempt: int, retried: bool) -> None:
    """A line for an attempt that failed. `what`: the type of its error, or that it timed out; never its text, which may hold payloads."""
    workflow = record.plan.workflow
    logger.log(
        logging.WARNING if retried else logging.ERROR,
        "task %s of workflow %s failed: %s (run %s, attempt %d)%s",
        task,
        workflow,
        what,
        record.run_id,
        attempt,
        "; it is tried again" if retried else "",
        extra={
            "run_id": record.run_id,
            "workflow": workflow,
            "task": task,
            "attempt": attempt,
            "error_type": what,
        },
    )


def log_unrun(record: RunRecord, task: str) -> None:
    """The line of a task that a message from the dead-letter queue, its key or a condition has ended, where it has failed.
    `record`: after the write."""
    row = record.tasks.get(task)
    if row is not None and row.status is TaskStatus.FAILED and row.error is not None:
        log_failure(record, task, row.error.type, attempt=row.app_retry_count + 1, retried=False)


def log_ending(record: RunRecord, before: TaskRow, task: str, failure: str | None) -> None:
    """The line, where the attempt has failed. `record`: after the commit; `before`: the row while it ran."""
    if failure is None:
        return
    after = record.tasks.get(task)
    retried = after is not None and after.ticket > before.ticket
    log_failure(record, task, failure, attempt=before.app_retry_count + 1, retried=retried)
