"""Every transition of a run as one conditional write: what happened, and now, give a change.

Each transition of a live attempt is fenced by the attempt's `owner` and by the absence of the cancel mark. A refused write
carries the record as it is, and `judge_claim` / `judge_commit` say what that means. A write whose response was lost shows
itself: the row carries our own owner.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from headrace.core.changes import (
    ITEM_EXISTS,
    ITEM_MISSING,
    Condition,
    Equal,
    Missing,
    Path,
    Put,
    Update,
    Value,
    either,
    every,
)
from headrace.core.run.backoff import GiveUp, RetryIn, decide_retry
from headrace.core.run.encoding import encode_record, encode_row, marked, status_code
from headrace.core.run.generation import Generation
from headrace.core.run.graph import states
from headrace.core.run.history import Ending, past_attempt, with_attempt
from headrace.core.run.message import TaskMessage, riders
from headrace.core.run.record import (
    UNCLAIMED,
    ErrorInfo,
    Payload,
    RunRecord,
    TaskRow,
    TaskStatus,
    index_entry,
)
from headrace.core.table import run_key
from headrace.core.values import dataclass
from headrace.core.waits.points import AdmissionPoint, AtOperations, AtPause

MAX_CRASHES = 3
"""How often a task whose worker crashed is taken over before it is FAILED, where no setting says otherwise: so code without retries runs
once, and at most three times more. A durable task that suspends has got on, and counts from there."""

NOT_CANCELLED = Missing(("x",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt at a task: the task's number in the plan, who makes it, when it began, until when its lease holds, and which message carries it."""

    run_id: str
    task: str
    number: int
    ticket: int
    owner: str
    now_ms: int
    lease_until_ms: int
    via: str | None = None


def _row_path(number: int, *names: str) -> Path:
    """An attribute of the row of the task of that number in the plan."""
    return ("tasks", str(number), *names)


def _status_is(number: int, status: TaskStatus) -> Condition:
    return Equal(_row_path(number, "s"), status_code(status))


def _unclaimed(number: int) -> Condition:
    """Its ticket waits for its message: that of a row, or the first one after a replay."""
    return either(*(_status_is(number, status) for status in sorted({*UNCLAIMED, TaskStatus.WAITING})))


def _ticket_is(number: int, ticket: int) -> Condition:
    """Ticket 1 is not stored."""
    path = _row_path(number, "t")
    return Missing(path) if ticket == 1 else Equal(path, ticket)


def _stored(record: RunRecord, row: TaskRow) -> Value:
    return encode_row(row, created_at_ms=record.created_at_ms)


def create(record: RunRecord) -> Put:
    """The record of a new run, unless there is one."""
    return Put(key=record.key, item=encode_record(record), require=ITEM_MISSING)


# ---------------------------------------------------------------- claim


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
            require=every(ITEM_EXISTS, NOT_CANCELLED, Missing(_row_path(attempt.number))),
            sets={
                _row_path(attempt.number): encode_row(
                    first_row(attempt, queued_at_ms=queued_at_ms, data=data), created_at_ms=0
                )
            },
        )
    return Update(
        key=run_key(attempt.run_id),
        require=every(
            NOT_CANCELLED,
            _ticket_is(attempt.number, attempt.ticket),
            _unclaimed(attempt.number),
            *(() if replay is None else (Equal(("rp",), replay.token),)),
        ),
        sets=_running(attempt)
        | {_row_path(attempt.number, "q"): queued_at_ms}
        | (_resumed(attempt.number, resumed) if resumed is not None else {})
        | ({_row_path(attempt.number, "cd"): data} if data is not None else {}),
        removes=_left_behind(attempt),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """The log of a durable task with what is answered by now, and how often it was resumed."""

    log: str
    invocations: int


def _resumed(number: int, resumed: Resumed) -> dict[Path, Value]:
    return {_row_path(number, "L"): resumed.log, _row_path(number, "iv"): resumed.invocations}


def _running(attempt: Attempt) -> dict[Path, Value]:
    number = attempt.number
    out: dict[Path, Value] = {
        _row_path(number, "s"): status_code(TaskStatus.RUNNING),
        _row_path(number, "o"): attempt.owner,
        _row_path(number, "l"): attempt.lease_until_ms,
        _row_path(number, "b"): attempt.now_ms,
    }
    if attempt.via is not None:
        out[_row_path(number, "v")] = attempt.via
    return out


def _left_behind(attempt: Attempt) -> tuple[Path, ...]:
    via = () if attempt.via is not None else (_row_path(attempt.number, "v"),)
    return (*via, _row_path(attempt.number, "d"), _row_path(attempt.number, "g"))


def take_over(attempt: Attempt, row: TaskRow) -> Update:
    """RUNNING under a lease that is over -> RUNNING here. Uses up no retry of the user's; counted, see MAX_CRASHES."""
    sets = _running(attempt)
    sets[_row_path(attempt.number, "k")] = row.takeovers + 1
    sets[_row_path(attempt.number, "r")] = row.retry_count + 1
    sets[_row_path(attempt.number, "hx")] = with_attempt(
        row.past, past_attempt(row, Ending.LOST, ended_at_ms=attempt.now_ms)
    )
    return Update(
        key=run_key(attempt.run_id),
        require=every(
            NOT_CANCELLED, *_fence(attempt.number, row.owner), _ticket_is(attempt.number, row.ticket)
        ),
        sets=sets,
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
    for name in (message.task, *riders(record, message)):
        row = record.tasks.get(name)
        if row is None or row.status is not TaskStatus.RUNNING:
            continue
        if name == message.task and row.ticket != message.ticket:
            continue
        if row.owner == owner:
            return Mine(record)
        if row.lease_until_ms is not None and row.lease_until_ms > now_ms:
            return Busy(record, row.lease_until_ms)
        if row.takeovers >= max_crashes:
            return Spent(record, name, row)
        return Lost(record, name, row)
    return Stale(record)


# ---------------------------------------------------------------- commit


def _fence(number: int, owner: str | None) -> tuple[Condition, ...]:
    path = _row_path(number, "o")
    mine = Equal(path, owner) if owner is not None else Missing(path)
    return (_status_is(number, TaskStatus.RUNNING), mine)


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
    then: Attempt | None = None,
) -> Update:
    """RUNNING -> COMPLETED. `then` is the claim of an only child of this task that goes on in the same invocation."""
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
    )
    sets: dict[Path, Value] = {_row_path(attempt.number): _stored(record, settled)}
    if then is not None:
        sets[_row_path(then.number)] = _stored(record, _ridden(record, then, now_ms))
    return _settle(attempt, sets)


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
    )


def skip_output() -> Payload:
    """The output of a task that was skipped."""
    return Payload.inline('{"skipped":true}')


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
) -> Update:
    """RUNNING -> QUEUED with the next ticket where a retry is left, else FAILED. `beside`: the error of one that is retried is an item."""
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
                past=with_attempt(
                    row.past,
                    past_attempt(row, Ending.RETRIED, ended_at_ms=now_ms, error=error, beside=beside),
                ),
                lined_up=(),
                started=False,
            )
            return _settle(attempt, {_row_path(attempt.number): _stored(record, again)})
        case GiveUp():
            return give_up(record, attempt.task, row, error, now_ms=now_ms)


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
        require=every(NOT_CANCELLED, *_fence(number, row.owner), _ticket_is(number, row.ticket)),
        sets={_row_path(number): _stored(record, failed), **_failed_entry(record)},
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
    return _settle(attempt, {_row_path(attempt.number): _stored(record, suspended)})


def unclaim(record: RunRecord, attempt: Attempt, *, point: AdmissionPoint, now_ms: int) -> Update:
    """RUNNING -> PARKED with the next ticket, without having run: the task lines up at `point`.

    It keeps the time since when it is queued, and remembers every point that it lined up at until its next commit: it is no
    newcomer there any more. Were it to remember the last one only, two of them could send it back and forth for ever.
    A paused workflow stops that time: where it waited for one, it is queued from now on.
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
        due_at_ms=None,
        waits_at=point,
        lined_up=row.lined_up if point in row.lined_up else (*row.lined_up, point),
    )
    return _settle(attempt, {_row_path(attempt.number): _stored(record, waiting)})


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
        finished_at_ms=now_ms,
        error=error,
        lined_up=(),
        started=False,
    )
    sets: dict[Path, Value] = {_row_path(attempt.number): _stored(record, ended)}
    if status is TaskStatus.FAILED:
        sets |= _failed_entry(record)
    return _settle(attempt, sets)


def _failed_entry(record: RunRecord) -> dict[Path, Value]:
    partition, order = index_entry(record)
    return {("fpk",): partition, ("fsk",): order}


def _settle(attempt: Attempt, sets: dict[Path, Value]) -> Update:
    return Update(
        key=run_key(attempt.run_id),
        require=every(NOT_CANCELLED, *_fence(attempt.number, attempt.owner)),
        sets=sets,
    )


@dataclass(frozen=True, slots=True)
class Fenced:
    """Another attempt took over, or the run was cancelled: this attempt's result counts for nothing."""

    record: RunRecord | None


def judge_commit(record: RunRecord | None, attempt: Attempt) -> Mine | Fenced:
    """What a refused commit means: ours already (its response was lost), or fenced."""
    if record is None:
        return Fenced(None)
    row = record.tasks.get(attempt.task)
    if (
        row is not None
        and row.status is not TaskStatus.RUNNING
        and marked(row.owner) == marked(attempt.owner)
    ):
        return Mine(record)
    return Fenced(record)


# ---------------------------------------------------------------- end without running


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
            Missing(_row_path(number)) if first is None else _ticket_is(number, ticket),
        )
        if first is not None:
            require = every(*require.parts, _unclaimed(number))
        row = replace(first or TaskRow(status=status), queued_at_ms=states(record)[task].due_since_ms)
    else:
        require = every(NOT_CANCELLED, _unclaimed(number), _ticket_is(number, ticket))
    ended = replace(
        row, status=status, ticket=ticket, finished_at_ms=now_ms, error=error, lease_until_ms=None
    )
    sets: dict[Path, Value] = {_row_path(number): _stored(record, ended)}
    if status is TaskStatus.FAILED:
        sets |= _failed_entry(record)
    return Update(key=record.key, require=require, sets=sets)


SCHEDULING_TIMED_OUT = "SCHEDULING_TIMED_OUT"


def overdue(record: RunRecord, task: str, *, queued_at_ms: int, now_ms: int) -> bool:
    """Whether the time that `task` may wait in the queue is over."""
    return now_ms - queued_at_ms > record.plan.task(task).schedule_timeout_ms


def schedule_timed_out(record: RunRecord, task: str) -> ErrorInfo:
    row = record.tasks.get(task)
    if row is not None and isinstance(row.waits_at, AtPause):
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


def save_log(attempt: Attempt, log: str | None) -> Update:
    """Write the log of a running durable task. Refused: the attempt is fenced, or the run was cancelled."""
    path = _row_path(attempt.number, "L")
    return Update(
        key=run_key(attempt.run_id),
        require=every(NOT_CANCELLED, *_fence(attempt.number, attempt.owner)),
        sets={path: log} if log is not None else {},
        removes=() if log is not None else (path,),
    )


def beat(attempt: Attempt, *, lease_until_ms: int) -> Update:
    """Keep the lease. Refused: the attempt is fenced, or the run was cancelled."""
    return Update(
        key=run_key(attempt.run_id),
        require=every(NOT_CANCELLED, *_fence(attempt.number, attempt.owner)),
        sets={_row_path(attempt.number, "l"): lease_until_ms},
    )
