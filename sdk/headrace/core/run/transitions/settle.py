"""A task ends, or goes back to wait, without having run: not admitted, cancelled, failed or skipped while it waited."""

from __future__ import annotations

from headrace.core.changes import (
    ITEM_EXISTS,
    Missing,
    Path,
    Update,
    Value,
    every,
)
from headrace.core.points import AdmissionPoint, AtPause
from headrace.core.run.derived.graph import states
from headrace.core.run.record import (
    ErrorInfo,
    RunRecord,
    TaskRow,
    TaskStatus,
)
from headrace.core.run.stored.rows import encode_row
from headrace.core.run.transitions.fence import (
    NOT_CANCELLED,
    Attempt,
    failed_entry,
    row_path,
    settle,
    stored_row,
    ticket_is,
    unclaimed,
)
from headrace.core.table import run_key
from headrace.core.values import replace


def unclaim(record: RunRecord, attempt: Attempt, *, point: AdmissionPoint, now_ms: int) -> Update:
    """RUNNING -> PARKED with the next ticket, without having run: the task lines up at `point`.

    It keeps the time since when it is queued, and remembers every point that it lined up at until its next commit: it is no
    newcomer there any more. Were it to remember the last one only, two of them could send it back and forth for ever.
    A pause stops that time: where it waited for a paused workflow, or worker, to go on, it is queued from now on.
    """
    row = record.tasks[attempt.task]
    paused = bool(row.lined_up) and isinstance(row.lined_up[-1], AtPause) and row.lined_up[-1] != point
    waiting = replace(
        row,
        status=TaskStatus.PARKED,
        ticket=row.ticket + 1,
        lease_until_ms=None,
        queued_at_ms=now_ms if paused else row.queued_at_ms,
        started_at_ms=None,
        first_started_at_ms=None,
        due_at_ms=None,
        waits_at=point,
        lined_up=row.lined_up if point in row.lined_up else (*row.lined_up, point),
    )
    return settle(attempt, {row_path(attempt.number): stored_row(record, waiting)})


def park_unclaimed(run_id: str, number: int, *, point: AdmissionPoint, queued_at_ms: int) -> Update:
    """QUEUED with ticket 1 -> PARKED with the next one, without having been claimed: the task lines up at `point`, which is full."""
    waiting = TaskRow(
        status=TaskStatus.PARKED, ticket=2, queued_at_ms=queued_at_ms, waits_at=point, lined_up=(point,)
    )
    return Update(
        key=run_key(run_id),
        require=every(ITEM_EXISTS, NOT_CANCELLED, Missing(row_path(number))),
        sets={row_path(number): encode_row(waiting, created_at_ms=0)},
    )


def turn_away(
    record: RunRecord, attempt: Attempt, status: TaskStatus, error: ErrorInfo, *, now_ms: int
) -> Update:
    """RUNNING -> CANCELLED or FAILED, with the reason, without having run: it is not admitted."""
    row = record.tasks[attempt.task]
    ended = replace(
        row,
        status=status,
        lease_until_ms=None,
        started_at_ms=None,
        first_started_at_ms=None,
        finished_at_ms=now_ms,
        error=error,
        lined_up=(),
        started=False,
    )
    sets: dict[Path, Value] = {row_path(attempt.number): stored_row(record, ended)}
    if status is TaskStatus.FAILED:
        sets |= failed_entry(record)
    return settle(attempt, sets)


def settle_unrun(
    record: RunRecord, task: str, status: TaskStatus, error: ErrorInfo | None, *, ticket: int, now_ms: int
) -> Update:
    """A task that waits for `ticket` (QUEUED, PARKED or SUSPENDED) -> FAILED or CANCELLED, with the reason, without running.

    SKIPPED, without an error: its conditions say so.
    """
    row, number = record.tasks.get(task), record.plan.numbers[task]
    if row is None:
        first = record.again.get(task)
        require = every(
            ITEM_EXISTS,
            NOT_CANCELLED,
            Missing(row_path(number)) if first is None else ticket_is(number, ticket),
        )
        if first is not None:
            require = every(*require.parts, unclaimed(number))
        row = replace(first or TaskRow(status=status), queued_at_ms=states(record)[task].due_since_ms)
    else:
        require = every(NOT_CANCELLED, unclaimed(number), ticket_is(number, ticket))
    ended = replace(
        row, status=status, ticket=ticket, finished_at_ms=now_ms, error=error, lease_until_ms=None
    )
    sets: dict[Path, Value] = {row_path(number): stored_row(record, ended)}
    if status is TaskStatus.FAILED:
        sets |= failed_entry(record)
    return Update(key=record.key, require=require, sets=sets)


SCHEDULING_TIMED_OUT = "SCHEDULING_TIMED_OUT"

RATE_LIMIT_ERROR = "RateLimitError"
"""The type of the error of a task that no window of its rate limit can ever let start."""


def overdue(record: RunRecord, task: str, *, queued_at_ms: int, now_ms: int) -> bool:
    """Whether the time that `task` may wait in the queue is over."""
    return now_ms - queued_at_ms > record.plan.task(task).schedule_timeout_ms


def schedule_timed_out(record: RunRecord, task: str) -> ErrorInfo:
    row = record.tasks.get(task)
    if row is not None and isinstance(row.waits_at, AtPause) and row.waits_at.worker is None:
        message = f"Task {task} waited longer than the queue_ttl of its paused workflow"
        return ErrorInfo(type=SCHEDULING_TIMED_OUT, message=message)
    limit_s = record.plan.task(task).schedule_timeout_ms / 1000
    return ErrorInfo(type=SCHEDULING_TIMED_OUT, message=f"Task {task} did not start within {limit_s:g}s")


def cancel_run(run_id: str, *, now_ms: int, reason: str) -> Update:
    """Mark the run as cancelled: whatever is not settled is CANCELLED from here on. A settled run keeps its outcome."""
    return Update(
        key=run_key(run_id),
        require=every(ITEM_EXISTS, NOT_CANCELLED),
        sets={("x",): now_ms, ("xr",): reason},
    )
