"""What happened to the tasks of a run, told from its record. Pure.

Of earlier attempts the record keeps the first ten and the last ten; when an attempt was queued is known of the latest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import assert_never

from headrace.clients.models.resource import at
from headrace.clients.models.task_events import V1TaskEvent
from headrace.clients.models.task_events import V1TaskEventType as Type
from headrace.clients.runs.facts import display_name, shown
from headrace.core.points import AtLabels, AtPause, AtRateLimit
from headrace.core.run.attempts.history import Ending, PastAttempt, decode_past
from headrace.core.run.attempts.notes import Note, NoteKind, decode_notes
from headrace.core.run.derived.graph import TaskState
from headrace.core.run.ids import task_run_id
from headrace.core.run.owed import worker_of
from headrace.core.run.record import ErrorInfo, RunRecord, TaskRow, TaskStatus
from headrace.core.run.transitions.settle import RATE_LIMIT_ERROR, SCHEDULING_TIMED_OUT
from headrace.errors import TaskRunError
from headrace.triggers.results.outcomes import task_error

_Told = tuple[int, Type, int, str]  # when (ms), what, retry count, why
_Notes = tuple[tuple[int, Note], ...]  # retry count, note
_TIMED_OUT = "Task exceeded timeout of"


def task_events(
    record: RunRecord, errors: Mapping[tuple[str, int], ErrorInfo] | None = None
) -> list[V1TaskEvent]:
    """Every task's events, oldest first. One FAILED (or TIMED_OUT) and one RETRYING an attempt that was retried.

    `errors`: by task and ticket, those of attempts that are not in the record.
    """
    found, states = errors or {}, shown(record)
    told = [
        (name, event)
        for name in record.plan.by_name
        if name in states or name in record.again
        for event in _told(record, name, states.get(name), found)
    ]
    told.sort(key=lambda each: each[1][0])
    return [
        V1TaskEvent(
            id=number,
            task_id=task_run_id(record.plan, record.run_id, name),
            timestamp=at(at_ms),
            event_type=kind,
            message=why if kind is Type.TIMEOUT_REFRESHED else _MESSAGES.get(kind, ""),
            error_message=(why or None) if kind is not Type.TIMEOUT_REFRESHED else None,
            task_display_name=display_name(name, record.created_at_ms),
            worker_id=worker_of(record, name) if kind in _ON_A_WORKER else None,
            retry_count=retries,
            attempt=retries + 1,
        )
        for number, (name, (at_ms, kind, retries, why)) in enumerate(told, start=1)
    ]


def beside(record: RunRecord) -> list[tuple[str, int]]:
    """The task and the ticket of each attempt whose whole error is an item of its own."""
    return [
        (name, each.ticket)
        for name, row in (*record.tasks.items(), *record.again.items())
        for each in decode_past(row.past)
        if each.beside
    ]


_ON_A_WORKER = frozenset(
    {
        Type.ASSIGNED,
        Type.STARTED,
        Type.FINISHED,
        Type.FAILED,
        Type.TIMED_OUT,
        Type.RETRYING,
        Type.REASSIGNED,
        Type.SLOT_RELEASED,
        Type.TIMEOUT_REFRESHED,
        Type.DURABLE_EVICTED,
        Type.DURABLE_RESTORING,
    }
)

_MESSAGES = {
    Type.CREATED: "the task's parents are settled",
    Type.QUEUED: "sent to its worker's queue",
    Type.STARTED: "claimed by a worker",
    Type.FINISHED: "returned",
    Type.RETRYING: "failed, and is tried again",
    Type.SLOT_RELEASED: "gave its worker's slot back, and goes on",
    Type.RATE_LIMIT_ERROR: "its rate limit can never let it start",
    Type.REASSIGNED: "its worker was lost; another took over",
    Type.RETRIED_BY_USER: "its run was replayed",
    Type.DURABLE_EVICTED: "suspended: it waits and holds no worker",
    Type.DURABLE_RESTORING: "goes on: what it waited for is there",
    Type.REQUEUED_NO_WORKER: "no worker could take it: no process had its labels, or its worker was paused",
    Type.WAITING_FOR_BATCH: "waits for its batch to be full, or due",
    Type.BATCH_FLUSHED: "its batch was full, or due",
    Type.REQUEUED_RATE_LIMIT: "its rate limit had nothing left: it waits for the next window",
}


def _told(
    record: RunRecord, task: str, state: TaskState | None, errors: Mapping[tuple[str, int], ErrorInfo]
) -> Iterator[_Told]:
    row = record.tasks.get(task) or record.again.get(task)
    past = decode_past(row.past) if row is not None else ()
    yield from _begun(record, state, past)
    notes = decode_notes(row.notes) if row is not None else ()
    yield from _earlier(record, task, state, past, errors, notes)
    if state is None:
        return
    if record.plan.task(task).batch is not None:
        yield from _batched(record, state)
    if state.row is not None:
        yield from _this_attempt(state.row, state.row.queued_at_ms or record.created_at_ms)
        yield from _noted(notes, state.row.retry_count)
    yield from _end(record, task, state, row.retry_count if row is not None else 0)


def _begun(record: RunRecord, state: TaskState | None, past: tuple[PastAttempt, ...]) -> Iterator[_Told]:
    if past:
        yield (record.created_at_ms, Type.CREATED, 0, "")
        yield (record.created_at_ms, Type.QUEUED, 0, "")
    elif state is not None and state.row is None:
        yield (state.due_since_ms or record.created_at_ms, Type.CREATED, 0, "")
    elif state is not None and state.row is not None:
        queued = _first_queued_ms(record, state.row)
        yield (queued, Type.CREATED, 0, "")
        yield (queued, Type.QUEUED, 0, "")


def _first_queued_ms(record: RunRecord, row: TaskRow) -> int:
    """When its only attempt was queued first: the row of a task that has suspended says when it was queued last."""
    queued_ms = row.queued_at_ms or record.created_at_ms
    return queued_ms if row.begun_at_ms is None else min(queued_ms, row.begun_at_ms)


def _earlier(
    record: RunRecord,
    task: str,
    state: TaskState | None,
    past: tuple[PastAttempt, ...],
    errors: Mapping[tuple[str, int], ErrorInfo],
    notes: _Notes,
) -> Iterator[_Told]:
    """The attempts before this one: when each began, how and why it ended, and that the next was queued."""
    for each in past:
        number = each.number
        if each.started_at_ms is not None:
            yield (each.started_at_ms, Type.ASSIGNED, number, "")
            yield (each.started_at_ms, Type.STARTED, number, "")
            yield from _noted(notes, number)
        ended, error = each.ended_at_ms, errors.get((task, each.ticket), each.error)
        last = each is past[-1]
        match each.ending:
            case Ending.RETRIED:
                yield (ended, _failure(error.message if error is not None else ""), number, _text(error))
                yield (ended, Type.RETRYING, number, "")
            case Ending.LOST:
                yield (ended, Type.REASSIGNED, number, "")
            case Ending.COMPLETED | Ending.FAILED | Ending.CANCELLED:
                if _never_let_in(each.started_at_ms, error):
                    yield (ended, Type.RATE_LIMIT_ERROR, number, _text(error))
                kind = _ENDS[each.ending]
                yield (ended, kind, number, _text(error))
                if last and record.generation is not None:
                    ended = record.generation.at_ms
                yield (ended, Type.RETRIED_BY_USER, number + 1, "")
            case _:
                assert_never(each.ending)
        if state is not None or not last:
            yield (ended, Type.QUEUED, number + 1, "")


def _noted(notes: _Notes, number: int) -> Iterator[_Told]:
    """What the code of the attempt of that retry count asked."""
    for of, note in notes:
        if of != number:
            continue
        match note.kind:
            case NoteKind.SLOT_RELEASED:
                yield (note.at_ms, Type.SLOT_RELEASED, number, "")
            case NoteKind.TIMEOUT_REFRESHED:
                why = f"its time limit was extended by {note.seconds:g} s"
                yield (note.at_ms, Type.TIMEOUT_REFRESHED, number, why)
            case _:
                assert_never(note.kind)


def _never_let_in(started_at_ms: int | None, error: ErrorInfo | None) -> bool:
    """Whether a rate limit ended it: code that ran may raise an error of that name, too."""
    return started_at_ms is None and error is not None and error.type == RATE_LIMIT_ERROR


_ENDS = {
    Ending.COMPLETED: Type.FINISHED,
    Ending.FAILED: Type.FAILED,
    Ending.CANCELLED: Type.CANCELLED,
}


def _text(error: ErrorInfo | None) -> str:
    """As a task's `error_message` has it: type and message, then the traceback."""
    return "" if error is None else str(TaskRunError(error.message, error.type, error.trace)).rstrip()


def _batched(record: RunRecord, state: TaskState) -> Iterator[_Told]:
    """A member of a batch waits from when it is due; its batch begins when it does."""
    row = state.row
    if row is None and not state.ready:
        return
    since_ms = (row.queued_at_ms if row is not None else None) or state.due_since_ms or record.created_at_ms
    retries = row.retry_count if row is not None else 0
    yield (since_ms, Type.WAITING_FOR_BATCH, retries, "")
    if row is not None and row.started_at_ms is not None:
        yield (row.started_at_ms, Type.BATCH_FLUSHED, retries, "")


def _this_attempt(row: TaskRow, queued_ms: int) -> Iterator[_Told]:
    if limited(row):
        yield (queued_ms, Type.REQUEUED_RATE_LIMIT, row.retry_count, "")
    if had_no_worker(row):
        yield (queued_ms, Type.REQUEUED_NO_WORKER, row.retry_count, "")
    if row.started_at_ms is None or row.status is TaskStatus.QUEUED:
        return
    begun_ms = row.started_at_ms if row.begun_at_ms is None else row.begun_at_ms
    yield (begun_ms, Type.ASSIGNED, row.retry_count, "")
    yield (begun_ms, Type.STARTED, row.retry_count, "")
    if row.invocations:
        if row.first_started_at_ms is not None and row.status is not TaskStatus.SUSPENDED:
            yield (queued_ms, Type.DURABLE_EVICTED, row.retry_count, "")
        yield (row.started_at_ms, Type.DURABLE_RESTORING, row.retry_count, "")
    if row.status is TaskStatus.SUSPENDED:
        yield (queued_ms, Type.DURABLE_EVICTED, row.retry_count, "")


def limited(row: TaskRow) -> bool:
    """Whether it has been turned back by a rate limit: known until its attempt ends."""
    return any(isinstance(point, AtRateLimit) for point in row.lined_up)


def had_no_worker(row: TaskRow) -> bool:
    """Whether no process had the labels that it requires, or its worker was paused: known until its attempt ends."""
    return any(
        isinstance(point, AtLabels) or (isinstance(point, AtPause) and point.worker is not None)
        for point in row.lined_up
    )


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
            text = str(error).rstrip() if error is not None else ""
            if state.row is not None and _never_let_in(state.row.started_at_ms, state.row.error):
                yield (ended, Type.RATE_LIMIT_ERROR, retries, text)
            yield (ended, _failure(why), retries, text)
        case TaskStatus.CANCELLED:
            late = error is not None and error.exc_type == SCHEDULING_TIMED_OUT
            yield (ended, Type.SCHEDULING_TIMED_OUT if late else Type.CANCELLED, retries, why)
        case _:
            return
