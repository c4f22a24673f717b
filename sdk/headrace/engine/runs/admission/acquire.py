"""Pass everything that stands before a task, in order: its line, its gates, its rate limits.

    enter each gate ── take the units of each limit ── leave the lines ── look at gates that may have room ── run
        │ full              │ nothing left
        └── unclaim (next ticket) ── give back what was passed ── line up ── delete

A crash between any two steps is repaired by redelivery: a takeover enters again what it finds itself in, a stale delivery gives back
and lines up.
"""

from __future__ import annotations

from dataclasses import field

from headrace.core.changes import Applied, Update
from headrace.core.points import AdmissionPoint, encode_point
from headrace.core.run.effects import CancelEvicted
from headrace.core.run.message import TaskMessage
from headrace.core.run.owed import first_message, gatekeeper, owed_after, owed_to, waiting_roots
from headrace.core.run.plans.plan import GateStrategy
from headrace.core.run.record import ErrorInfo, RunRecord, TaskRow, TaskStatus
from headrace.core.run.transitions.claim import Mine
from headrace.core.run.transitions.commit import Fenced, judge_commit
from headrace.core.run.transitions.settle import RATE_LIMIT_ERROR, turn_away, unclaim
from headrace.core.table import run_key
from headrace.core.values import dataclass
from headrace.core.waits.holders import GateState
from headrace.core.waits.line import place_of, unwait
from headrace.core.waits.passes import KeyFailed, Pass
from headrace.core.waits.rate_limit import Take, takes
from headrace.engine.attempts.ports import Disposition, Done, Host, Later
from headrace.engine.catalog.plans import record_in
from headrace.engine.engine import Engine
from headrace.engine.owed.cancel import cancel
from headrace.engine.owed.pay import pay, pay_evictions
from headrace.engine.runs.admission.ahead import remember_full
from headrace.engine.runs.claimed import Claimed
from headrace.engine.runs.telling import log_failure
from headrace.engine.waits.evictions import evictions_at
from headrace.engine.waits.kinds.concurrency import (
    Full,
    Inside,
    Outrun,
    PutOut,
    TurnedAway,
    find_handed,
    give_places_back,
    take_places,
    wake_next,
    was_put_in,
)
from headrace.engine.waits.kinds.rate_limit import Never, NothingLeft, Taken, return_units, take_units
from headrace.engine.waits.park import known_passes, line_up, passes_of, waiter_of, wake_next_at
from headrace.engine.waits.wake import wake
from headrace.telemetry.events import AttemptEnded, Outcome, TaskCancelled, TaskEvent, TaskParked


@dataclass(slots=True)
class _Passing:
    """One attempt on its way through."""

    engine: Engine
    host: Host
    message: TaskMessage
    claimed: Claimed
    inside: list[Pass] = field(default_factory=list)
    entered: dict[str, GateState] = field(default_factory=dict)
    struck: list[str] = field(default_factory=list)  # the limits in whose lines it stands no more

    @property
    def record(self) -> RunRecord:
        return self.claimed.record

    @property
    def task(self) -> str:
        return self.claimed.attempt.task


def pass_all(
    engine: Engine, host: Host, message: TaskMessage, claimed: Claimed, line: AdmissionPoint | None
) -> Claimed | Disposition:
    """See `admission.admit`. `line`: one to wait in whatever the gates say."""
    way = _Passing(engine, host, message, claimed)
    if line is not None:
        return _park(way, line)
    try:
        wanted = passes_of(engine, way.record, way.task, claimed.attempt.ticket)
        units = takes(way.record, way.task)
    except KeyFailed as error:
        return _settle(way, TaskStatus.FAILED, ErrorInfo(type="ExpressionError", message=str(error)))
    ended = _enter_all(way, wanted) or _take_all(way, units)
    if ended is not None:
        return ended
    _leave_lines(way, but=None)
    _wake_next_if_room(way)
    if way.task == gatekeeper(way.record):
        pay(engine, way.record, [first_message(way.record, root) for root in waiting_roots(way.record)])
    return claimed


# ---------------------------------------------------------------- gates


def _enter_all(way: _Passing, wanted: tuple[Pass, ...]) -> Disposition | None:
    row = way.record.tasks[way.task]
    again = _may_be_inside(way.record, row)
    for of in wanted:
        entry = _handed_over(way, of) or take_places(
            way.engine,
            of,
            waited=of.point in row.lined_up,
            again=again or _was_sent_with(way, of),
            expires_at_s=way.record.expires_at_s,
        )
        match entry:
            case Inside(state, number):
                way.inside.append(of)
                way.entered[of.gate] = state
                if state.waiting is not None:
                    remember_full(way.engine, of)
                way.engine.account.inside[of.gate, of.member] = number
                pay_evictions(way.engine, evictions_at(of.gate, state))
                if of.of_run and of.point in row.lined_up:
                    _let_the_run_in(way, of.point)
            case Full(first):
                remember_full(way.engine, of)
                return _park(way, of.point, first)
            case Outrun():
                return _stale(way)
            case PutOut():
                eviction = CancelEvicted(gate=of.gate, run_id=way.record.run_id)
                pay_evictions(way.engine, [eviction])  # the process that evicted it may have died before
                return _stale(way)
            case TurnedAway(reason):
                return _turned_away(way, of, reason)
    return None


def _handed_over(way: _Passing, of: Pass) -> Inside | None:
    """The place that a task which ended has handed over to this one, whose waiter it has struck from the line."""
    seat = way.message.seat
    if seat is None or not _was_sent_with(way, of) or way.record.tasks[way.task].takeovers:
        return None
    found = find_handed(way.engine, of, seat)
    if found is not None:
        way.struck.append(of.gate)
    return found


def _was_sent_with(way: _Passing, of: Pass) -> bool:
    """Whether the message says that a place at the limit may have been handed over."""
    message = way.message
    here = message.place is not None and message.place[0] == of.gate and message.task == way.task
    return here and message.seat is not None


def _turned_away(way: _Passing, of: Pass, reason: str) -> Disposition:
    if of.of_run or of.strategy is GateStrategy.CANCEL_IN_PROGRESS:
        cancel(way.engine, way.record.run_id, reason=reason)
        return _stale(way)
    return _settle(
        way, TaskStatus.CANCELLED, ErrorInfo(type="CONCURRENCY", message=reason.removeprefix("CONCURRENCY: "))
    )


def _may_be_inside(record: RunRecord, row: TaskRow) -> bool:
    """Whether an earlier attempt, or ticket, may have entered a limit and not left it."""
    tried = row.takeovers > 0 or row.app_retry_count > 0 or row.started or len(row.lined_up) > 1
    return tried or (row.ticket > 1 and not row.lined_up) or record.generation is not None


def _wake_next_if_room(way: _Passing) -> None:
    """After a wake-up, wake the next waiter if there is still room. At a limit of several items, each look wakes all that fit."""
    row = way.record.tasks[way.task]
    for of in way.inside:
        if of.point in row.lined_up and of.limit > of.cost and of.items == 1:
            wake_next(way.engine, of.gate, of.limit, [way.entered[of.gate]])


def _let_the_run_in(way: _Passing, point: AdmissionPoint) -> None:
    """A root that waited has taken the run's place: other roots may wait for it too, if the one that stood there for all has ended."""
    item = way.engine.store.get(way.record.key) if len(way.record.plan.tasks) > 1 else None
    if item is None:
        return
    record = record_in(way.engine, item)
    parked = [
        name
        for name, row in record.tasks.items()
        if row.status is TaskStatus.PARKED and row.waits_at == point
    ]
    wake(way.engine, [waiter_of(way.engine, record, name) for name in parked])


# ---------------------------------------------------------------- rate limits


def _take_all(way: _Passing, units: tuple[Take, ...]) -> Disposition | None:
    """All or nothing: where one limit has nothing left, what the others gave goes back."""
    row = way.record.tasks[way.task]
    taken: list[tuple[Take, Taken]] = []
    for each in units:
        match take_units(way.engine, each, waited=each.point in row.lined_up):
            case Taken() as got:
                taken.append((each, got))
            case NothingLeft():
                _return_all(way, taken)
                return _park(way, each.point)
            case Never(reason):
                _return_all(way, taken)
                return _settle(way, TaskStatus.FAILED, ErrorInfo(type=RATE_LIMIT_ERROR, message=reason))
    return None


def _return_all(way: _Passing, taken: list[tuple[Take, Taken]]) -> None:
    for each, got in taken:
        return_units(way.engine, each, got)


# ---------------------------------------------------------------- not admitted


def _park(way: _Passing, point: AdmissionPoint, seen: GateState | None = None) -> Disposition:
    """Hand the task back, with the next ticket, and line up. `seen`: the first item of the limit that is full."""
    record = _written(
        way, unclaim(way.record, way.claimed.attempt, point=point, now_ms=way.engine.clock.now_ms())
    )
    if record is None or record.tasks[way.task].waits_at != point:  # the task may have been buried meanwhile
        return _stale(way)
    way.host.tell(TaskParked(workflow=record.plan.workflow, task=way.task, point=point))
    for of in reversed(way.inside):
        if not of.of_run:
            pay_evictions(way.engine, evictions_at(of.gate, give_places_back(way.engine, of)))
    for other in _leave_lines(
        way, but=(encode_point(point), place_of(record, way.task, record.tasks[way.task]))
    ):
        _look_where_it_stood(way, other)
    line_up(way.engine, record, way.task, seen=seen)
    return Done()


def _look_where_it_stood(way: _Passing, gate: str) -> None:
    """While it stood in that line, noted as woken, others may have passed the place by; and a place may have been handed over to it, at a
    limit that it has not come to."""
    passes = known_passes(way.engine, way.record, way.task, way.claimed.attempt.ticket)
    of = next((each for each in passes if each.gate == gate and each not in way.inside), None)
    if of is not None and (_was_sent_with(way, of) or was_put_in(way.engine, of)):
        give_places_back(way.engine, of)
    else:
        wake_next_at(way.engine, gate)


def _leave_lines(way: _Passing, *, but: tuple[str, str] | None) -> list[str]:
    """The waiter that this message woke goes; and those that it may have left at other gates. The gates of those that went."""
    row = way.record.tasks[way.task]
    places = {(encode_point(point), place_of(way.record, way.task, row)) for point in row.lined_up}
    if way.message.place is not None and way.message.task == way.task:
        places.add(way.message.place)
    left = sorted(place for place in places if place != but and place[0] not in way.struck)
    for gate, sk in left:
        way.engine.store.write(unwait(gate, sk, way.claimed.attempt.ticket))
    return [gate for gate, _ in left]


def _settle(way: _Passing, status: TaskStatus, error: ErrorInfo) -> Disposition:
    """The task ends here, with the reason, without having run."""
    now_ms = way.engine.clock.now_ms()
    record = _written(way, turn_away(way.record, way.claimed.attempt, status, error, now_ms=now_ms))
    if record is None:
        return _stale(way)
    way.host.tell(_refused(record, way.task, status))
    if status is TaskStatus.FAILED:
        attempt = way.record.tasks[way.task].app_retry_count + 1
        log_failure(record, way.task, error.type, attempt=attempt, retried=False)
    _leave_lines(way, but=None)
    pay(way.engine, record, owed_after(record, way.task))
    return Done()


def _refused(record: RunRecord, task: str, status: TaskStatus) -> TaskEvent:
    workflow = record.plan.workflow
    if status is TaskStatus.FAILED:
        return AttemptEnded(workflow=workflow, task=task, outcome=Outcome.FAILED, run_ms=None)
    return TaskCancelled(workflow=workflow, task=task)


def _written(way: _Passing, write: Update) -> RunRecord | None:
    """The record after a write that is fenced by this attempt. None: the attempt is not the live one any more."""
    written = way.engine.store.write(write)
    if isinstance(written, Applied) and written.item is not None:
        return record_in(way.engine, written.item)
    match judge_commit(record_in(way.engine, written.item), way.claimed.attempt):
        case Mine(record):
            return record
        case Fenced():
            return None


def _stale(way: _Passing) -> Disposition:
    """The attempt counts for nothing. Where its ticket is used up, or the run cancelled, pay what is owed on its account."""
    item = way.engine.store.get(run_key(way.record.run_id))
    if item is None:
        return Done()
    record = record_in(way.engine, item)
    row = record.tasks.get(way.task)
    attempt = way.claimed.attempt
    live = row is not None and row.status is TaskStatus.RUNNING and row.ticket == attempt.ticket
    if live and record.cancelled_at_ms is None:
        return Later(0, f"another attempt took task {way.task} over")
    for gate in _leave_lines(way, but=None):
        wake_next_at(way.engine, gate)
    pay(way.engine, record, owed_to(record, way.message))
    return Done()
