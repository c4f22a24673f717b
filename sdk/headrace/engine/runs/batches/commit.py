"""Commit each member of a batch, and pay what its end owes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from headrace.core.changes import Update, Written
from headrace.core.run.attempts.notes import Note
from headrace.core.run.owed import owed_after, owed_to
from headrace.core.run.record import ErrorInfo, RunRecord
from headrace.core.run.transitions.cancel import was_cancelled
from headrace.core.run.transitions.commit import Fenced
from headrace.core.table import run_key
from headrace.core.waits.batch import Member
from headrace.engine.attempts.patience import patiently
from headrace.engine.attempts.ports import EachEnded, Host, Raised, Succeeded
from headrace.engine.catalog.plans import record_in
from headrace.engine.engine import Engine
from headrace.engine.owed.pay import pay
from headrace.engine.runs.attempt import stored
from headrace.engine.runs.batches.claim import message_of
from headrace.engine.runs.batches.lease import Taken
from headrace.engine.runs.claimed import Claimed, Ran
from headrace.engine.runs.commit import commit_write, failure_of, judged, without_texts
from headrace.engine.runs.telling import log_ending
from headrace.errors import RequestRefused
from headrace.runtime.deadline import Ending, Interrupted, TimedOut
from headrace.telemetry.events import AttemptEnded, Outcome, TaskCancelled


def commit_all(
    engine: Engine,
    host: Host,
    taken: Taken,
    members: Sequence[Claimed],
    ending: Ending,
    notes: tuple[Note, ...] = (),
) -> bool:
    """Commit each member, in parallel, and pay what that makes owed. `notes`: what the code asked, for all of them."""
    if isinstance(ending, Interrupted):
        return False
    endings = _endings(members, ending)
    now_ms = engine.clock.now_ms()
    rans = patiently(
        engine, host, lambda: [stored(engine, each, endings[each.record.run_id]) for each in members]
    )
    rans = [replace(ran, notes=notes) for ran in rans] if notes else rans
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
        _tell_end(engine, host, ran, each, record)
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
        pay(engine, found, owed_to(found, message_of(found, each.attempt, member)))


def _tell_end(engine: Engine, host: Host, ran: Ran, each: Claimed, record: RunRecord) -> None:
    log_ending(record, each.row, each.attempt.task, failure_of(ran.ending))
    outcome = Outcome.COMPLETED if isinstance(ran.ending, Succeeded) else Outcome.FAILED
    run_ms = max(0, engine.clock.now_ms() - each.attempt.now_ms)
    workflow = each.record.plan.workflow
    host.tell(AttemptEnded(workflow=workflow, task=each.attempt.task, outcome=outcome, run_ms=run_ms))


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
