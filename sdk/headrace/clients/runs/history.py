"""What happened to the tasks of a run, told from its record. Pure.

The record keeps one row a task, not one an attempt: of earlier attempts it is known how many there were and how they
ended, not when. Their events carry the time at which the latest attempt was queued; so does that of a rate limit.
"""

from __future__ import annotations

from collections.abc import Iterator

from headrace.clients.models import V1TaskEvent
from headrace.clients.models import V1TaskEventType as Type
from headrace.clients.runs.details import at, display_name, shown
from headrace.core.run.commit import SCHEDULING_TIMED_OUT
from headrace.core.run.graph import TaskState
from headrace.core.run.ids import task_run_id
from headrace.core.run.owed import ran_on
from headrace.core.run.record import RunRecord, TaskRow, TaskStatus
from headrace.core.waits.points import AtRateLimit
from headrace.triggers.outcomes import task_error

_Told = tuple[int, Type, int, str]  # when (ms), what, retry count, why
_TIMED_OUT = "Task exceeded timeout of"


def task_events(record: RunRecord) -> list[V1TaskEvent]:
    """Every task's events, oldest first. One FAILED (or TIMED_OUT) and one RETRYING an attempt that was retried."""
    told = [(name, event) for name, state in shown(record).items() for event in _told(record, name, state)]
    told.sort(key=lambda each: each[1][0])
    return [
        V1TaskEvent(
            id=number,
            task_id=task_run_id(record.plan, record.run_id, name),
            timestamp=at(at_ms),
            event_type=kind,
            message=_MESSAGES.get(kind, ""),
            error_message=why or None,
            task_display_name=display_name(name, record.created_at_ms),
            worker_id=_worker(record, name) if kind is not Type.CREATED and kind is not Type.QUEUED else None,
            retry_count=retries,
            attempt=retries + 1,
        )
        for number, (name, (at_ms, kind, retries, why)) in enumerate(told, start=1)
    ]


_MESSAGES = {
    Type.CREATED: "the task's parents are settled",
    Type.QUEUED: "sent to its worker's queue",
    Type.STARTED: "claimed by a worker",
    Type.FINISHED: "returned",
    Type.RETRYING: "failed, and is tried again",
    Type.REASSIGNED: "its worker was lost; another took over",
    Type.REQUEUED_RATE_LIMIT: "its rate limit had nothing left: it waits for the next window",
}


def _worker(record: RunRecord, task: str) -> str | None:
    return ran_on(record, task)


def _told(record: RunRecord, task: str, state: TaskState) -> Iterator[_Told]:
    row = state.row
    since = state.due_since_ms or record.created_at_ms
    if row is None:
        yield (since, Type.CREATED, 0, "")
        yield from _end(record, task, state, 0)
        return
    queued = row.queued_at_ms or record.created_at_ms
    first = record.created_at_ms if row.retry_count else queued
    yield (first, Type.CREATED, 0, "")
    yield (first, Type.QUEUED, 0, "")
    yield from _earlier(row, queued)
    if limited(row):
        yield (queued, Type.REQUEUED_RATE_LIMIT, row.retry_count, "")
    if row.started_at_ms is not None and row.status is not TaskStatus.QUEUED:
        yield (row.started_at_ms, Type.ASSIGNED, row.retry_count, "")
        yield (row.started_at_ms, Type.STARTED, row.retry_count, "")
    yield from _end(record, task, state, row.retry_count)


def _earlier(row: TaskRow, queued_at_ms: int) -> Iterator[_Told]:
    """The attempts before this one. Only the last one's error is kept, until the next attempt ends."""
    again = row.unclaimed
    why = row.error.message if row.error is not None and again else ""
    for number in range(row.retry_count):
        if number < row.app_retry_count:
            reason = why if number == row.app_retry_count - 1 else ""
            yield (queued_at_ms, _failure(reason), number, reason)
            yield (queued_at_ms, Type.RETRYING, number, "")
        else:
            yield (queued_at_ms, Type.REASSIGNED, number, "")
        yield (queued_at_ms, Type.QUEUED, number + 1, "")


def limited(row: TaskRow) -> bool:
    """Whether it has been turned back by a rate limit: known until its attempt ends."""
    return any(isinstance(point, AtRateLimit) for point in row.lined_up)


def _failure(why: str) -> Type:
    return Type.TIMED_OUT if why.startswith(_TIMED_OUT) else Type.FAILED


def _end(record: RunRecord, task: str, state: TaskState, retries: int) -> Iterator[_Told]:
    ended = (state.row.finished_at_ms if state.row is not None else None) or state.due_since_ms
    error = task_error(record, task)
    why = error.exc if error is not None else ""
    match state.status:
        case TaskStatus.COMPLETED:
            yield (ended, Type.FINISHED, retries, "")
        case TaskStatus.SKIPPED:
            yield (ended, Type.SKIPPED, retries, state.reason or "")
        case TaskStatus.FAILED:
            yield (ended, _failure(why), retries, why)
        case TaskStatus.CANCELLED:
            late = error is not None and error.exc_type == SCHEDULING_TIMED_OUT
            yield (ended, Type.SCHEDULING_TIMED_OUT if late else Type.CANCELLED, retries, why)
        case _:
            return
