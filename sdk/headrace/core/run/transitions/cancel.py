"""Cancel one task of a run: what hangs on it is cancelled with it, the others go on."""

from __future__ import annotations

from dataclasses import replace

from headrace.core.changes import Equal, Exists, Missing, Update, every
from headrace.core.run.derived.graph import states
from headrace.core.run.record import ErrorInfo, RunRecord, TaskRow, TaskStatus
from headrace.core.run.stored.rows import encode_row, status_code
from headrace.core.run.transitions.fence import NOT_CANCELLED, row_path, status_is
from headrace.core.run.transitions.settle import settle_unrun

CANCELLED_BY_USER = "CANCELLED_BY_USER"
CANCELLED_BY_TASK = "CANCELLED_BY_TASK"


def cancel_task(record: RunRecord, task: str, *, reason: str, now_ms: int) -> Update | None:
    """Whatever the task does -> CANCELLED, with the reason. None: it is settled.

    A running attempt is fenced by it, and learns of it by its next beat or look. Its permits stay its own until then.
    """
    state = states(record).get(task)
    if state is None or state.settled:
        return None
    error = ErrorInfo(type=reason, message=f"Task {task} was cancelled")
    row = record.tasks.get(task)
    if row is None or row.status is not TaskStatus.RUNNING:
        ticket = row.ticket if row is not None else record.first_ticket(task)
        return settle_unrun(record, task, TaskStatus.CANCELLED, error, ticket=ticket, now_ms=now_ms)
    return _fence_off(record, task, row, error, now_ms)


def _fence_off(record: RunRecord, task: str, row: TaskRow, error: ErrorInfo, now_ms: int) -> Update:
    """RUNNING -> CANCELLED. The row keeps no owner: its attempt's commit is not mistaken for one whose response was lost."""
    path = ("tasks", str(record.plan.numbers[task]))
    ended = replace(
        row,
        status=TaskStatus.CANCELLED,
        owner=None,
        lease_until_ms=None,
        finished_at_ms=now_ms,
        error=error,
        lined_up=(),
        started=False,
    )
    mine = Equal((*path, "o"), row.owner) if row.owner is not None else Missing((*path, "o"))
    ticket = Missing((*path, "t")) if row.ticket == 1 else Equal((*path, "t"), row.ticket)
    running = Equal((*path, "s"), status_code(TaskStatus.RUNNING))
    return Update(
        key=record.key,
        require=every(NOT_CANCELLED, running, mine, ticket),
        sets={path: encode_row(ended, created_at_ms=record.created_at_ms)},
    )


def end_lease(record: RunRecord, task: str) -> Update:
    """The attempt at `task` of a cancelled run has ended: no code of it runs, whatever its lease said."""
    number = record.plan.numbers[task]
    return Update(
        key=record.key,
        require=every(Exists(("x",)), status_is(number, TaskStatus.RUNNING)),
        removes=(row_path(number, "l"),),
    )


def was_cancelled(record: RunRecord, task: str) -> bool:
    """Whether the task was cancelled by itself, and not with its run or its parents: paying for it again is harmless."""
    row = record.tasks.get(task)
    return (
        row is not None
        and row.status is TaskStatus.CANCELLED
        and row.error is not None
        and row.error.type in (CANCELLED_BY_USER, CANCELLED_BY_TASK)
    )
