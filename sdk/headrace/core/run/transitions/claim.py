"""The beginning of an attempt as a conditional write: a run is created, its tasks are claimed or taken over; and what a refused claim means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from headrace.core.changes import (
    ITEM_EXISTS,
    ITEM_MISSING,
    Equal,
    Missing,
    Path,
    Put,
    Update,
    Value,
    every,
)
from headrace.core.run.attempts.history import Ending, past_attempt, with_attempt
from headrace.core.run.generation import Generation
from headrace.core.run.message import TaskMessage, riders
from headrace.core.run.record import (
    RunRecord,
    TaskRow,
    TaskStatus,
)
from headrace.core.run.stored.record import encode_record
from headrace.core.run.stored.rows import encode_row, status_code
from headrace.core.run.transitions.fence import NOT_CANCELLED, Attempt, fence, row_path, ticket_is, unclaimed
from headrace.core.table import run_key
from headrace.core.values import dataclass

MAX_CRASHES = 3
"""How often a task whose worker crashed is taken over before it is FAILED, where no setting says otherwise: so code without retries runs
once, and at most three times more. A durable task that suspends has got on, and counts from there."""


def create(record: RunRecord) -> Put:
    """The record of a new run, unless there is one."""
    return Put(key=record.key, item=encode_record(record), require=ITEM_MISSING)


def first_row(attempt: Attempt, *, queued_at_ms: int, data: str | None = None) -> TaskRow:
    """The row of a task at its first claim. `data`: what its conditions brought."""
    return TaskRow(
        status=TaskStatus.RUNNING,
        ticket=attempt.ticket,
        owner=attempt.owner,
        lease_until_ms=attempt.lease_until_ms,
        queued_at_ms=queued_at_ms,
        started_at_ms=attempt.now_ms,
        via=attempt.via,
        data=data,
    )


def claim(
    attempt: Attempt,
    *,
    queued_at_ms: int,
    resumed: Resumed | None = None,
    data: str | None = None,
    replay: Generation | None = None,
) -> Update:
    """QUEUED -> RUNNING if the ticket is current. Ticket 1 has no row yet; a later one has.

    `resumed`: what a suspended durable task goes on with is written in the same write, before its code can see it.
    `data`: what the conditions brought that the task has waited for. `replay`: the message is of that replay, so it claims in no other
    one's generation: there its task may have to wait.
    """
    if attempt.ticket == 1:
        return Update(
            key=run_key(attempt.run_id),
            require=every(ITEM_EXISTS, NOT_CANCELLED, Missing(row_path(attempt.number))),
            sets={
                row_path(attempt.number): encode_row(
                    first_row(attempt, queued_at_ms=queued_at_ms, data=data), created_at_ms=0
                )
            },
        )
    return Update(
        key=run_key(attempt.run_id),
        require=every(
            NOT_CANCELLED,
            ticket_is(attempt.number, attempt.ticket),
            unclaimed(attempt.number),
            *(() if replay is None else (Equal(("rp",), replay.token),)),
        ),
        sets=_running(attempt)
        | {row_path(attempt.number, "q"): queued_at_ms}
        | (_resumed(attempt.number, resumed) if resumed is not None else {})
        | ({row_path(attempt.number, "cd"): data} if data is not None else {}),
        removes=_left_behind(attempt),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """The log of a durable task with what is answered by now, how often it was resumed, and when its code began first."""

    log: str
    invocations: int
    begun_at_ms: int | None = None


def _resumed(number: int, resumed: Resumed) -> dict[Path, Value]:
    out: dict[Path, Value] = {
        row_path(number, "L"): resumed.log,
        row_path(number, "iv"): resumed.invocations,
    }
    if resumed.begun_at_ms is not None:
        out[row_path(number, "fb")] = resumed.begun_at_ms
    return out


def _running(attempt: Attempt) -> dict[Path, Value]:
    number = attempt.number
    out: dict[Path, Value] = {
        row_path(number, "s"): status_code(TaskStatus.RUNNING),
        row_path(number, "o"): attempt.owner,
        row_path(number, "l"): attempt.lease_until_ms,
        row_path(number, "b"): attempt.now_ms,
    }
    if attempt.via is not None:
        out[row_path(number, "v")] = attempt.via
    return out


def _left_behind(attempt: Attempt) -> tuple[Path, ...]:
    via = () if attempt.via is not None else (row_path(attempt.number, "v"),)
    return (*via, row_path(attempt.number, "d"), row_path(attempt.number, "g"))


def take_over(attempt: Attempt, row: TaskRow) -> Update:
    """RUNNING under a lease that is over -> RUNNING here. Uses up no retry of the user's; counted, see MAX_CRASHES."""
    sets = _running(attempt)
    sets[row_path(attempt.number, "k")] = row.takeovers + 1
    sets[row_path(attempt.number, "r")] = row.retry_count + 1
    sets[row_path(attempt.number, "hx")] = with_attempt(
        row.past, past_attempt(row, Ending.LOST, ended_at_ms=attempt.now_ms)
    )
    return Update(
        key=run_key(attempt.run_id),
        require=every(
            NOT_CANCELLED, *fence(attempt.number, row.owner), ticket_is(attempt.number, row.ticket)
        ),
        sets=sets,
        removes=(row_path(attempt.number, "fb"),) if row.first_started_at_ms is not None else (),
    )


@dataclass(frozen=True, slots=True)
class Mine:
    """The write took place after all: its response was lost."""

    record: RunRecord


@dataclass(frozen=True, slots=True)
class Vanished:
    """There is no record: the client died before it put one, or it expired."""


@dataclass(frozen=True, slots=True)
class Busy:
    """Another attempt holds a live lease until then."""

    record: RunRecord
    until_ms: int


@dataclass(frozen=True, slots=True)
class Lost:
    """The holder's lease is over: `task` (this message's, or one that rode on it) may be taken over."""

    record: RunRecord
    task: str
    row: TaskRow


@dataclass(frozen=True, slots=True)
class Spent:
    """`task` was taken over too often: it fails."""

    record: RunRecord
    task: str
    row: TaskRow


@dataclass(frozen=True, slots=True)
class Stale:
    """The ticket was used: all that is left is to pay what the record owes on its account."""

    record: RunRecord


RecordVerdict: TypeAlias = Mine | Busy | Lost | Spent | Stale
ClaimVerdict: TypeAlias = RecordVerdict | Vanished


def judge_claim(
    record: RunRecord | None,
    message: TaskMessage,
    *,
    owner: str,
    now_ms: int,
    max_crashes: int = MAX_CRASHES,
) -> ClaimVerdict:
    """What a refused claim means, from the record as it was."""
    if record is None:
        return Vanished()
    return judge_record(record, message, owner=owner, now_ms=now_ms, max_crashes=max_crashes)


def judge_record(
    record: RunRecord, message: TaskMessage, *, owner: str, now_ms: int, max_crashes: int = MAX_CRASHES
) -> RecordVerdict:
    """What the record says about `message`, which could not claim."""
    if record.cancelled_at_ms is not None:
        return Stale(record)
    own = record.tasks.get(message.task)
    current = [message.task] if own is not None and own.ticket == message.ticket else []
    for name in (*current, *riders(record, message)):
        row = record.tasks[name]
        if row.status is not TaskStatus.RUNNING:
            continue
        if row.owner == owner:
            return Mine(record)
        if row.lease_until_ms is not None and row.lease_until_ms > now_ms:
            return Busy(record, row.lease_until_ms)
        if row.takeovers >= max_crashes:
            return Spent(record, name, row)
        return Lost(record, name, row)
    return Stale(record)


def rides_on(record: RunRecord, message: TaskMessage, *, beside: Sequence[str] = ()) -> bool:
    """Whether anything that rides on this message is RUNNING, `beside` these tasks: the message may not be deleted before that has ended,
    or another has it."""
    riding = (name for name in riders(record, message) if name not in beside)
    return any(record.tasks[name].status is TaskStatus.RUNNING for name in riding)
