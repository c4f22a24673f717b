"""Commit what came of an attempt: one fenced write, and what a refused one means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from headrace.core.changes import Applied, Put, Update, Written
from headrace.core.run.attempts.backoff import RetryIn
from headrace.core.run.attempts.error_text import LEAST_BYTES, bytes_for, cut
from headrace.core.run.attempts.history import encode_error_item
from headrace.core.run.attempts.notes import with_notes
from headrace.core.run.record import ErrorInfo, RunRecord
from headrace.core.run.transitions.commit import (
    Fenced,
    complete,
    fail,
    judge_commit,
    retry_of,
    suspend,
)
from headrace.core.run.transitions.fence import Attempt
from headrace.core.table import attempt_key
from headrace.core.values import dataclass, replace
from headrace.engine.attempts.ports import (
    EachEnded,
    Raised,
    Succeeded,
    SuspendedOnOperations,
)
from headrace.engine.catalog.plans import record_in
from headrace.engine.engine import Engine
from headrace.engine.runs.claimed import Claimed, Ran
from headrace.errors import RequestRefused
from headrace.runtime.deadline import Ending, Interrupted, TimedOut

UNIT_BYTES = 1_024
"""A write unit is so many bytes of the item, begun ones counted."""

RESERVED_BYTES = 100
"""For what the next attempt adds to the record."""


@dataclass(frozen=True, slots=True)
class Committed:
    """The record after the commit, whether or not its response came back."""

    record: RunRecord


def commit(engine: Engine, claimed: Claimed, ran: Ran, *, then: Sequence[Attempt] = ()) -> Committed | Fenced:
    """One fenced write: COMPLETED, the next ticket (either with the claims of `then`), or FAILED."""
    if isinstance(ran.ending, Interrupted):
        return Fenced(None)
    now_ms = engine.clock.now_ms()
    try:
        written = engine.store.write(commit_write(engine, claimed, ran, now_ms=now_ms, then=then))
    except RequestRefused as refused:
        written = engine.store.write(without_texts(claimed, refused, now_ms=now_ms))
    return judged(engine, claimed, written, then)


def commit_write(
    engine: Engine, claimed: Claimed, ran: Ran, *, now_ms: int, then: Sequence[Attempt] = ()
) -> Update:
    """The commit of an attempt that has ended of itself, or at its limit. What the record has no room for of its error is stored first."""
    record, attempt = claimed.record, claimed.attempt
    again = then[0] if then else None
    if ran.log is not None:
        record = record.with_row(attempt.task, replace(record.tasks[attempt.task], log=ran.log))
    if ran.span is not None:
        record = record.with_row(attempt.task, replace(record.tasks[attempt.task], span=ran.span))
    if ran.notes:
        row = record.tasks[attempt.task]
        noted = with_notes(row.notes, ran.notes, number=row.retry_count)
        record = record.with_row(attempt.task, replace(row, notes=noted))
    match ran.ending:
        case Succeeded():
            return complete(
                record,
                attempt,
                ran.output,
                now_ms=now_ms,
                evaluated=ran.evaluated,
                then=then,
                heir=ran.heir,
            )
        case Raised(error, retryable):
            kept = cut(error, bytes_for(len(record.plan.tasks)))
            beside = _saved_beside(engine, record, attempt, kept, retryable=retryable)
            return fail(record, attempt, kept, now_ms=now_ms, retryable=retryable, beside=beside, then=again)
        case TimedOut(limit_s):
            return fail(record, attempt, timeout_error(limit_s), now_ms=now_ms, retryable=True, then=again)
        case SuspendedOnOperations(due_at_ms):
            return suspend(record, attempt, now_ms=now_ms, due_at_ms=due_at_ms)
        case Interrupted() | EachEnded():
            raise TypeError(f"{type(ran.ending).__name__} is no end of one task")
        case _:
            assert_never(ran.ending)


def judged(
    engine: Engine, claimed: Claimed, written: Written, then: Sequence[Attempt] = ()
) -> Committed | Fenced:
    """What came of a commit."""
    record = record_in(engine, written.item)
    if isinstance(written, Applied) and record is not None:
        return Committed(record)
    verdict = judge_commit(record, claimed.attempt, then)
    return verdict if isinstance(verdict, Fenced) else Committed(verdict.record)


def _saved_beside(
    engine: Engine, record: RunRecord, attempt: Attempt, error: ErrorInfo, *, retryable: bool
) -> bool:
    """The error of an attempt that is retried: an item, where the record has no room for it in the write unit that it takes anyway."""
    if not isinstance(retry_of(record, attempt.task, retryable=retryable), RetryIn):
        return False
    room = UNIT_BYTES - RESERVED_BYTES - record.weight % UNIT_BYTES
    body = encode_error_item(error)
    if len(body.encode()) <= room:
        return False
    key = attempt_key(record.run_id, attempt.task, attempt.ticket)
    engine.store.write(Put(key=key, item={"body": body, "expires_at": record.expires_at_s}))
    return True


def without_texts(claimed: Claimed, refused: RequestRefused, *, now_ms: int) -> Update:
    """The store never takes what the attempt came to, such as a record over its size: FAILED, with as few bytes as can be."""
    reason = cut(ErrorInfo(type="RecordRefusedError", message=str(refused)), LEAST_BYTES)
    return fail(claimed.record, claimed.attempt, reason, now_ms=now_ms, retryable=False)


def failure_of(ending: Ending) -> str | None:
    """What the log says of an ending that is a failure: the type of its error, or its limit. None: it is none."""
    match ending:
        case Raised(error):
            return error.type
        case TimedOut(limit_s):
            return f"timed out after {limit_s:g} s"
        case _:
            return None


def timeout_error(limit_s: float) -> ErrorInfo:
    return ErrorInfo(type="HatchetError", message=f"Task exceeded timeout of {limit_s:g}s")
