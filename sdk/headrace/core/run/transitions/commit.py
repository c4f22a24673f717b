"""The end of an attempt as a conditional write: COMPLETED, tried again, FAILED or SUSPENDED; and what a refused commit means."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.core.changes import (
    Path,
    Update,
    Value,
    every,
)
from headrace.core.points import AtOperations
from headrace.core.run.attempts.backoff import GiveUp, RetryIn, decide_retry
from headrace.core.run.attempts.history import Ending, past_attempt, with_attempt
from headrace.core.run.record import (
    ErrorInfo,
    Payload,
    RunRecord,
    TaskRow,
    TaskStatus,
)
from headrace.core.run.stored.rows import marked
from headrace.core.run.transitions.claim import Mine, first_row
from headrace.core.run.transitions.fence import (
    NOT_CANCELLED,
    Attempt,
    failed_entry,
    fence,
    row_path,
    settle,
    stored_row,
    ticket_is,
)
from headrace.core.values import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """The conditions on a task's output: the numbers of those that hold, and of those that could not be evaluated."""

    met: tuple[int, ...] = ()
    broken: tuple[tuple[int, str], ...] = ()


def complete(
    record: RunRecord,
    attempt: Attempt,
    output: Payload,
    *,
    now_ms: int,
    evaluated: Evaluated | None = None,
    then: Sequence[Attempt] = (),
    heir: str | None = None,
) -> Update:
    """RUNNING -> COMPLETED. `then` are the claims of only children of this task that go on in the same invocation; `heir` names the
    waiter that the task's place goes to."""
    row = record.tasks[attempt.task]
    judged = evaluated or Evaluated()
    settled = replace(
        row,
        status=TaskStatus.COMPLETED,
        lease_until_ms=None,
        finished_at_ms=now_ms,
        output=output,
        met=judged.met,
        broken=dict(judged.broken),
        lined_up=(),
        started=False,
        heir=heir,
    )
    sets: dict[Path, Value] = {row_path(attempt.number): stored_row(record, settled)}
    for rider in then:
        sets[row_path(rider.number)] = stored_row(record, _ridden(record, rider, now_ms))
    return settle(attempt, sets)


def _ridden(record: RunRecord, then: Attempt, now_ms: int) -> TaskRow:
    """The row of a task that is claimed in its parent's commit."""
    row = first_row(then, queued_at_ms=now_ms)
    left = record.again.get(then.task)
    if left is None:
        return row
    return replace(
        row,
        retry_count=left.retry_count,
        spawned=left.spawned,
        log=left.log,
        invocations=left.invocations,
        past=left.past,
        notes=left.notes,
    )


def retry_of(record: RunRecord, task: str, *, retryable: bool) -> RetryIn | GiveUp:
    """What a failure of the task's attempt comes to."""
    row = record.tasks[task]
    return decide_retry(
        record.plan.task(task), row.app_retry_count, retryable=retryable, run_id=record.run_id
    )


def fail(
    record: RunRecord,
    attempt: Attempt,
    error: ErrorInfo,
    *,
    now_ms: int,
    retryable: bool,
    beside: bool = False,
    then: Attempt | None = None,
) -> Update:
    """RUNNING -> QUEUED with the next ticket where a retry is left, else FAILED. `beside`: the error of one that is retried is an item.

    `then`: the claim of that ticket, where the retry goes on in the same invocation; the task stays RUNNING.
    """
    row = record.tasks[attempt.task]
    match retry_of(record, attempt.task, retryable=retryable):
        case RetryIn(delay_ms):
            again = replace(
                row,
                status=TaskStatus.QUEUED,
                ticket=row.ticket + 1,
                retry_count=row.retry_count + 1,
                app_retry_count=row.app_retry_count + 1,
                lease_until_ms=None,
                queued_at_ms=now_ms + delay_ms,
                due_at_ms=now_ms + delay_ms if delay_ms else None,
                error=None,
                first_started_at_ms=None,
                past=with_attempt(
                    row.past,
                    past_attempt(row, Ending.RETRIED, ended_at_ms=now_ms, error=error, beside=beside),
                ),
                lined_up=(),
                started=False,
            )
            if then is not None:
                again = _held(again, then)
            return settle(attempt, {row_path(attempt.number): stored_row(record, again)})
        case GiveUp():
            return give_up(record, attempt.task, row, error, now_ms=now_ms)


def _held(row: TaskRow, by: Attempt) -> TaskRow:
    """The row of a task whose next ticket is claimed in the commit that issues it."""
    return replace(
        row,
        status=TaskStatus.RUNNING,
        owner=by.owner,
        lease_until_ms=by.lease_until_ms,
        started_at_ms=by.now_ms,
        via=by.via,
        waits_at=None,
    )


def give_up(record: RunRecord, task: str, row: TaskRow, error: ErrorInfo, *, now_ms: int) -> Update:
    """RUNNING (held as `row` says) -> FAILED. The run enters the index of failures in the same write."""
    failed = replace(
        row,
        status=TaskStatus.FAILED,
        lease_until_ms=None,
        finished_at_ms=now_ms,
        error=error,
        lined_up=(),
        started=False,
    )
    number = record.plan.numbers[task]
    return Update(
        key=record.key,
        require=every(NOT_CANCELLED, *fence(number, row.owner), ticket_is(number, row.ticket)),
        sets={row_path(number): stored_row(record, failed), **failed_entry(record)},
    )


def suspend(record: RunRecord, attempt: Attempt, *, now_ms: int, due_at_ms: int | None = None) -> Update:
    """RUNNING -> SUSPENDED with the next ticket: the first answer to one of the task's durable operations sends that ticket's message.

    `due_at_ms`: when time alone gives an answer.
    """
    row = record.tasks[attempt.task]
    suspended = replace(
        row,
        status=TaskStatus.SUSPENDED,
        ticket=row.ticket + 1,
        takeovers=0,
        lease_until_ms=None,
        queued_at_ms=now_ms,
        due_at_ms=due_at_ms,
        waits_at=AtOperations(),
        lined_up=(),
        started=True,
    )
    return settle(attempt, {row_path(attempt.number): stored_row(record, suspended)})


def holds(record: RunRecord, attempt: Attempt) -> bool:
    """Whether the attempt has its task."""
    row = record.tasks.get(attempt.task)
    return row is not None and row.status is TaskStatus.RUNNING and row.owner == attempt.owner


@dataclass(frozen=True, slots=True)
class Fenced:
    """Another attempt took over, or the run was cancelled: this attempt's result counts for nothing."""

    record: RunRecord | None


def judge_commit(record: RunRecord | None, attempt: Attempt, then: Sequence[Attempt] = ()) -> Mine | Fenced:
    """What a refused commit means: ours already (its response was lost), or fenced. `then`: what it claimed besides."""
    if record is None:
        return Fenced(None)
    row = record.tasks.get(attempt.task)
    if any(holds(record, rider) for rider in then):
        return Mine(record)
    if (
        row is not None
        and row.status is not TaskStatus.RUNNING
        and marked(row.owner) == marked(attempt.owner)
    ):
        return Mine(record)
    return Fenced(record)
