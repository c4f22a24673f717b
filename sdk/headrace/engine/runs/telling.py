"""What listeners are told of an attempt, from its row."""

from __future__ import annotations

from headrace.core.run.record import TaskRow, TaskStatus
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
        case TaskStatus.QUEUED:
            return Outcome.RETRIED
        case TaskStatus.COMPLETED:
            return Outcome.COMPLETED
        case _:
            return Outcome.FAILED
