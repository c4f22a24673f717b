"""Claim the members of a batch, each with its own ticket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.changes import Applied
from headrace.core.points import AtBatch
from headrace.core.run.message import BatchMessage, TaskMessage
from headrace.core.run.owed import owed_after, owed_to
from headrace.core.run.record import RunRecord, TaskRow, TaskStatus
from headrace.core.run.transitions.claim import claim, take_over
from headrace.core.run.transitions.commit import give_up
from headrace.core.run.transitions.fence import Attempt
from headrace.core.run.transitions.settle import overdue, schedule_timed_out, turn_away
from headrace.core.waits.batch import Member
from headrace.engine.attempts.payloads import load_input
from headrace.engine.catalog.plans import record_in
from headrace.engine.engine import Engine
from headrace.engine.owed.cancel import PARENT_CANCELLED, cancel, parent_cancelled
from headrace.engine.owed.pay import pay
from headrace.engine.runs.batches.lease import Taken
from headrace.engine.runs.claim import lost_worker
from headrace.engine.runs.claimed import Claimed
from headrace.engine.runs.telling import log_unrun

if TYPE_CHECKING:
    from headrace.ports import Received


def claim_all(
    engine: Engine, received: Received, message: BatchMessage, point: AtBatch, taken: Taken
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
        pay(engine, record, owed_to(record, message_of(record, attempt, member)))
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


def message_of(record: RunRecord, attempt: Attempt, member: Member) -> TaskMessage:
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
        log_unrun(after, attempt.task)
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
