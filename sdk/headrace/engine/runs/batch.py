"""A batch's message delivered: close it, claim its members, call the code once, commit each.

    take the lease and close every page ── claim each member ── run once ── commit each, and pay ── forget the batch ── delete

A crash anywhere leaves the batch's message and its pages. The next delivery takes the lease once it is over, takes over the members
that ran, pays again for those that ended, and runs the rest. A member that was cancelled, or that another batch runs, is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from headrace.core.changes import Applied, Update, Written
from headrace.core.run.message import BatchMessage, TaskMessage
from headrace.core.run.owed import owed_after, owed_to
from headrace.core.run.record import ErrorInfo, RunRecord, TaskRow, TaskStatus
from headrace.core.run.transitions.cancel import was_cancelled
from headrace.core.run.transitions.claim import claim, take_over
from headrace.core.run.transitions.commit import Fenced, give_up
from headrace.core.run.transitions.fence import Attempt
from headrace.core.run.transitions.settle import overdue, schedule_timed_out, settle_unrun, turn_away
from headrace.core.table import batch_pages, batch_state_key, run_key
from headrace.core.values import dataclass
from headrace.core.waits import batch
from headrace.core.waits.batch import At, Member, Page
from headrace.core.waits.points import AtBatch, point_at
from headrace.engine.catalog.plans import record_in
from headrace.engine.engine import Engine
from headrace.engine.runs.attempt import (
    Claimed,
    Ran,
    Runner,
    commit_write,
    judged,
    run_live,
    stored,
    without_texts,
    work_of,
)
from headrace.engine.runs.cancel import PARENT_CANCELLED, cancel, parent_cancelled
from headrace.engine.runs.claim import lost_worker, waits_for
from headrace.engine.runs.patience import INVOCATION_MARGIN_MS, patiently
from headrace.engine.runs.pay import pay
from headrace.engine.runs.payloads import load_input
from headrace.engine.runs.ports import Disposition, Done, EachEnded, Host, Later, Poison, Raised, Succeeded
from headrace.engine.runs.telling import begun
from headrace.engine.waits.kinds.batch import send_batch
from headrace.errors import RequestRefused
from headrace.runtime.control import LiveControl
from headrace.runtime.deadline import Ending, Interrupted, TimedOut
from headrace.telemetry import tracing
from headrace.telemetry.events import AttemptEnded, Outcome, TaskCancelled

if TYPE_CHECKING:
    from headrace.ports import Received

MAX_PAGES = 1_000
"""Pages of a batch: 16,000 members."""


def deliver_batch(
    engine: Engine, host: Host, received: Received, message: BatchMessage, runner: Runner = run_live
) -> Disposition:
    """Run a batch, unless it has run, or runs elsewhere, or as many of its line run as may."""
    point = point_at(message.line) if message.line else None
    if not isinstance(point, AtBatch):
        return Poison(f"there is no batch line {message.line!r}")
    taken = _take(engine, host, received, message)
    if not isinstance(taken, _Taken):
        return taken
    members = _claim_all(engine, received, message, point, taken)
    if members and not _run(engine, host, taken, members, runner):
        return Later(0, "another delivery took the batch over")
    _forget(engine, taken)
    return Done()


# ---------------------------------------------------------------- taking it


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """A batch that is closed, under this delivery's lease."""

    message: BatchMessage
    worker: str
    owner: str
    pages: int
    members: tuple[Member, ...]
    limited: bool


def _take(engine: Engine, host: Host, received: Received, message: BatchMessage) -> _Taken | Disposition:
    items = engine.store.query(message.line, prefix=batch_pages(message.number))
    pages = [batch.decode_page(item) for item in items]
    if not pages:
        return _gone(engine, host.worker, message)
    max_runs = next((page.max_runs for page in pages if page.max_runs is not None), None)
    if max_runs is not None and not _may_run(engine, host.worker, message, max_runs):
        return Done()
    owner, now_ms = engine.ids.owner(), engine.clock.now_ms()
    lease_ms = now_ms + host.visibility_s * 950
    write = batch.take(message.line, message.number, owner=owner, now_ms=now_ms, lease_until_ms=lease_ms)
    written = engine.store.write(write)
    if written.item is None:
        return Later(1, "the batch kept changing")
    first = batch.decode_page(written.item)
    if not isinstance(written, Applied) and first.owner != owner:
        seconds = max(1, -(-((first.lease_until_ms or 0) - now_ms) // 1000) + 1)
        engine.queues.hide(received, min(seconds, 43_200))
        return Later(seconds, "another delivery runs the batch")
    closed = [first, *_close_rest(engine, message, first, last=pages[-1].at.page)]
    members = [member for page in closed for member in page.members.values()]
    return _Taken(
        message=message,
        worker=host.worker,
        owner=owner,
        pages=len(closed),
        members=tuple(sorted(members, key=lambda each: (each.queued_at_ms, each.run_id))),
        limited=max_runs is not None,
    )


def _close_rest(engine: Engine, message: BatchMessage, first: Page, *, last: int) -> list[Page]:
    """Close the pages after the first. Behind a full one another may have been opened since: it is closed too, or kept from being."""
    out: list[Page] = []
    before = first
    for number in range(1, MAX_PAGES):
        if number > last and len(before.members) < batch.PAGE_MEMBERS:
            break
        item = engine.store.write(batch.close_page(message.line, At(message.number, number))).item
        if item is None:
            break
        before = batch.decode_page(item)
        out.append(before)
    return out


def _may_run(engine: Engine, worker: str, message: BatchMessage, max_runs: int) -> bool:
    """Whether the batch may run now. If not it waits: who ends sends its message. Looked at once more, as one may have ended just before."""
    line, number = message.line, message.number
    written = engine.store.write(batch.may_run(line, number, max_runs))
    if isinstance(written, Applied) or number in batch.decode_line(written.item).running:
        return True
    state = batch.decode_line(engine.store.write(batch.wait_to_run(line, number)).item)
    if len(state.running) < max_runs:
        send_batch(engine, worker, line, number)
    return False


def _gone(engine: Engine, worker: str, message: BatchMessage) -> Disposition:
    """It has run. Who ran it may have died before the next one of the line was told."""
    state = batch.decode_line(engine.store.get(batch_state_key(message.line)))
    if message.number in state.running or message.number in state.waiting:
        state = batch.decode_line(engine.store.write(batch.has_run(message.line, message.number)).item)
    _tell_next(engine, worker, message, state)
    return Done()


def _tell_next(engine: Engine, worker: str, message: BatchMessage, state: batch.Line) -> None:
    if state.next_to_run is not None:
        send_batch(engine, worker, message.line, state.next_to_run)


def _forget(engine: Engine, taken: _Taken) -> None:
    """All members have ended: the batch goes, if the lease is still this delivery's."""
    line, number = taken.message.line, taken.message.number
    written = engine.store.write(batch.forget_first(line, number, owner=taken.owner))
    if not isinstance(written, Applied) and written.item is not None:
        return
    rest = [batch.forget_page(line, At(number, page)) for page in range(1, taken.pages)]
    if rest:
        engine.store.write_many(rest)
    if taken.limited:
        state = batch.decode_line(engine.store.write(batch.has_run(line, number)).item)
        _tell_next(engine, taken.worker, taken.message, state)


# ---------------------------------------------------------------- its members


def _claim_all(
    engine: Engine, received: Received, message: BatchMessage, point: AtBatch, taken: _Taken
) -> list[Claimed]:
    """Claim each member, in parallel; what a member that cannot be claimed owes is paid."""
    now_ms = engine.clock.now_ms()
    attempts = [
        Attempt(
            run_id=member.run_id,
            number=member.number,
            task=point.task,
            ticket=member.ticket,
            owner=engine.ids.owner(),
            now_ms=now_ms,
            lease_until_ms=now_ms,
            via=via_of(message),
        )
        for member in taken.members
    ]
    writes = [claim(a, queued_at_ms=m.queued_at_ms) for a, m in zip(attempts, taken.members, strict=True)]
    written = engine.store.write_many(writes) if writes else []
    out: list[Claimed] = []
    for attempt, member, result in zip(attempts, taken.members, written, strict=True):
        record = record_in(engine, result.item)
        if record is not None and not isinstance(result, Applied):
            record = _claim_again(engine, record, attempt, member)
        if record is not None and _may_start(engine, record, attempt):
            out.append(
                Claimed(record=record, attempt=attempt, received=received, input=load_input(engine, record))
            )
    return out


def via_of(message: BatchMessage) -> str:
    """What the row of a member says it rides on: no task's message is called so."""
    return f"#{message.number}"


def _claim_again(engine: Engine, record: RunRecord, attempt: Attempt, member: Member) -> RunRecord | None:
    """A member that could not be claimed: ours already, of a delivery that died, or not to be run. None: it is left out."""
    row = record.tasks.get(attempt.task)
    running = row is not None and row.status is TaskStatus.RUNNING and record.cancelled_at_ms is None
    if row is None or not running or row.ticket != member.ticket or row.via != attempt.via:
        pay(engine, record, owed_to(record, _message_of(record, attempt, member)))
        return None
    if row.owner == attempt.owner:
        return record
    if row.takeovers >= engine.limits.max_crashes:
        _give_up(engine, record, attempt, row)
        return None
    written = engine.store.write(take_over(attempt, row))
    after = record_in(engine, written.item)
    if after is None:
        return None
    mine = after.tasks[attempt.task].owner == attempt.owner
    return after if isinstance(written, Applied) or mine else None


def _message_of(record: RunRecord, attempt: Attempt, member: Member) -> TaskMessage:
    """The message that a member's ticket has none of any more: what the record owes on its account."""
    return TaskMessage(
        run_id=record.run_id,
        number=attempt.number,
        task=attempt.task,
        ticket=member.ticket,
        queued_at_ms=member.queued_at_ms,
        start_by_ms=member.queued_at_ms,
    )


def _give_up(engine: Engine, record: RunRecord, attempt: Attempt, row: TaskRow) -> None:
    error = lost_worker(attempt.task, row)
    written = engine.store.write(give_up(record, attempt.task, row, error, now_ms=engine.clock.now_ms()))
    after = record_in(engine, written.item)
    if isinstance(written, Applied) and after is not None:
        pay(engine, after, owed_after(after, attempt.task))


def _may_start(engine: Engine, record: RunRecord, attempt: Attempt) -> bool:
    """Whether a claimed member is to be run: not if its parent was cancelled, or if it has waited for too long."""
    if parent_cancelled(engine, record):
        cancel(engine, record.run_id, reason=PARENT_CANCELLED)
        return False
    row, now_ms = record.tasks[attempt.task], engine.clock.now_ms()
    if row.takeovers or not overdue(
        record, attempt.task, queued_at_ms=row.queued_at_ms or now_ms, now_ms=now_ms
    ):
        return True
    error = schedule_timed_out(record, attempt.task)
    written = engine.store.write(turn_away(record, attempt, TaskStatus.CANCELLED, error, now_ms=now_ms))
    after = record_in(engine, written.item)
    if isinstance(written, Applied) and after is not None:
        pay(engine, after, owed_after(after, attempt.task))
    return False


# ---------------------------------------------------------------- running it


def _run(engine: Engine, host: Host, taken: _Taken, members: Sequence[Claimed], runner: Runner) -> bool:
    """Call the code once for all members, and commit each. False: the lease was lost."""
    first = replace(
        members[0],
        keep_lease=lambda control: _keep(engine, taken, members[0].received, control),
        on_timeout=lambda timed_out: _commit_all(engine, host, taken, members, timed_out),
    )
    for each in members:
        host.tell(begun(each.record.plan.workflow, each.attempt, each.row))
    runnable = host.runnables.get((first.record.plan.workflow, first.attempt.task))
    if runnable is None:
        error = ErrorInfo(
            type="UnknownTaskError",
            message=f"worker {host.worker} has no task {first.attempt.task} of workflow "
            f"{first.record.plan.workflow}: its code is not deployed there",
        )
        return _commit_all(engine, host, taken, members, Raised(error, retryable=False))
    ceiling_s = (host.time_left_ms() - INVOCATION_MARGIN_MS) / 1000
    control = LiveControl(
        engine,
        first.record,
        first.attempt,
        limit_s=first.plan.execution_timeout_ms / 1000,
        ceiling_s=ceiling_s,
    )
    works = tuple(work_of(engine, each, control) for each in members)
    span = None
    if tracing.installed is not None:
        from headrace.engine.runs.traced import begin

        span, host = begin(tracing.installed, host, [(c.record, c.attempt.task) for c in members])
    ending = runner(engine, host, first, control, runnable, replace(works[0], members=works))
    control.flush()
    if span is not None:
        from headrace.engine.runs.traced import end

        end(span, ending)
    if not _commit_all(engine, host, taken, members, ending):
        return False
    return not control.running.lives or _outlasted(engine, host, taken, members[0].received, control)


def _outlasted(engine: Engine, host: Host, taken: _Taken, received: Received, control: LiveControl) -> bool:
    """The members have ended and the code has not. Where so many batches of the line may run, this one counts until it ends: its lease
    is kept for as long as this host has the time. Whether the batch may be forgotten."""
    host.left_behind(control.running)
    while taken.limited and not control.running.wait(engine.limits.beat_every_s):
        if host.stopping() or host.time_left_ms() < INVOCATION_MARGIN_MS:
            return False
        if not patiently(engine, host, lambda: _keep(engine, taken, received, control)):
            return False
    return True


def _keep(engine: Engine, taken: _Taken, received: Received, control: LiveControl) -> bool:
    """Keep the batch's lease and its message. False: another delivery has taken it over, and its control was told so."""
    lease_s = engine.limits.lease_s
    until_ms = engine.clock.now_ms() + int(lease_s * 1000)
    message = taken.message
    write = batch.keep(message.line, message.number, owner=taken.owner, lease_until_ms=until_ms)
    if not isinstance(engine.store.write(write), Applied):
        control.tell_cancelled()
        return False
    engine.queues.hide(received, int(lease_s))
    control.flush()
    return True


def _endings(members: Sequence[Claimed], ending: Ending) -> Mapping[str, Ending]:
    """How each member ended, by its run's id."""
    match ending:
        case EachEnded(endings):
            return endings
        case Raised() | TimedOut():
            final = Raised(ending.error, retryable=False) if isinstance(ending, Raised) else ending
            return {each.record.run_id: final for each in members}
        case _:
            error = ErrorInfo(
                type="HatchetError", message=f"a batch task cannot end by {type(ending).__name__}"
            )
            return {each.record.run_id: Raised(error, retryable=False) for each in members}


def _commit_all(
    engine: Engine, host: Host, taken: _Taken, members: Sequence[Claimed], ending: Ending
) -> bool:
    """Commit each member, in parallel, and pay what that makes owed."""
    if isinstance(ending, Interrupted):
        return False
    endings = _endings(members, ending)
    now_ms = engine.clock.now_ms()
    rans = patiently(
        engine, host, lambda: [stored(engine, each, endings[each.record.run_id]) for each in members]
    )
    writes = [commit_write(engine, each, ran, now_ms=now_ms) for each, ran in zip(members, rans, strict=True)]
    after = patiently(engine, host, lambda: _written(engine, members, writes, now_ms))
    for each, ran, record in zip(members, rans, after, strict=True):
        _pay_member(engine, host, each, ran, record)
    return True


def _written(
    engine: Engine, members: Sequence[Claimed], writes: Sequence[Update], now_ms: int
) -> list[RunRecord | None]:
    """The records after the commits; None where the member was fenced. What the store never takes fails that member alone."""
    try:
        results = engine.store.write_many(writes)
    except RequestRefused:
        results = [
            _write_or_fail(engine, each, write, now_ms) for each, write in zip(members, writes, strict=True)
        ]
    found = [judged(engine, each, result) for each, result in zip(members, results, strict=True)]
    return [None if isinstance(each, Fenced) else each.record for each in found]


def _write_or_fail(engine: Engine, each: Claimed, write: Update, now_ms: int) -> Written:
    try:
        return engine.store.write(write)
    except RequestRefused as refused:
        return engine.store.write(without_texts(each, refused, now_ms=now_ms))


def _pay_member(engine: Engine, host: Host, each: Claimed, ran: Ran, record: RunRecord | None) -> None:
    """What a member's end owes. One that was cancelled meanwhile owes what that makes owed; its result counts for nothing."""
    task = each.attempt.task
    if record is not None:
        _tell_end(engine, host, ran, each)
        pay(engine, record, owed_after(record, task))
        return
    found = record_in(engine, engine.store.get(run_key(each.record.run_id)))
    if found is not None and (found.cancelled_at_ms is not None or was_cancelled(found, task)):
        host.tell(TaskCancelled(workflow=each.record.plan.workflow, task=task))
        member = Member(
            run_id=found.run_id,
            number=each.attempt.number,
            ticket=each.attempt.ticket,
            queued_at_ms=each.attempt.now_ms,
        )
        pay(engine, found, owed_to(found, _message_of(found, each.attempt, member)))


def _tell_end(engine: Engine, host: Host, ran: Ran, each: Claimed) -> None:
    outcome = Outcome.COMPLETED if isinstance(ran.ending, Succeeded) else Outcome.FAILED
    run_ms = max(0, engine.clock.now_ms() - each.attempt.now_ms)
    workflow = each.record.plan.workflow
    host.tell(AttemptEnded(workflow=workflow, task=each.attempt.task, outcome=outcome, run_ms=run_ms))


# ---------------------------------------------------------------- a message that no worker could process


def bury_batch(engine: Engine, received: Received, message: BatchMessage, error: ErrorInfo) -> Disposition:
    """A batch's message from the dead-letter queue: its members are FAILED, unless a delivery runs them."""
    point = point_at(message.line) if message.line else None
    if not isinstance(point, AtBatch):
        return Poison(f"there is no batch line {message.line!r}")
    grave = Host(worker="", runnables={}, visibility_s=60)
    taken = _take(engine, grave, received, message)
    if not isinstance(taken, _Taken):
        return taken
    for member in taken.members:
        record = record_in(engine, engine.store.get(run_key(member.run_id)))
        if record is not None:
            _bury_member(engine, record, point.task, member, message, error)
    _forget(engine, taken)
    return Done()


def _bury_member(
    engine: Engine, record: RunRecord, task: str, member: Member, message: BatchMessage, error: ErrorInfo
) -> None:
    row, now_ms = record.tasks.get(task), engine.clock.now_ms()
    if waits_for(record, task, member.ticket):
        status = TaskStatus.FAILED
        write = settle_unrun(record, task, status, error, ticket=member.ticket, now_ms=now_ms)
    elif row is not None and row.status is TaskStatus.RUNNING and row.via == via_of(message):
        write = give_up(record, task, row, error, now_ms=now_ms)
    else:
        return
    written = engine.store.write(write)
    after = record_in(engine, written.item)
    if isinstance(written, Applied) and after is not None:
        pay(engine, after, owed_after(after, task))
