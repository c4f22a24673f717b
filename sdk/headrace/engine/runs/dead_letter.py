"""Fails the task of a message that no worker could process, with the reason."""

from __future__ import annotations

from typing import assert_never

from headrace.core.changes import Applied
from headrace.core.run.message import (
    MAX_REASON_CHARS,
    BadMessage,
    BatchMessage,
    BulkMessage,
    FireMessage,
    RefillMessage,
    TaskMessage,
    TimersMessage,
)
from headrace.core.run.owed import DEAD_LETTER
from headrace.core.run.record import ErrorInfo, RunRecord, TaskStatus
from headrace.core.run.transitions.claim import Busy, Lost, Mine, Spent, Stale, create, judge_record, rides_on
from headrace.core.run.transitions.commit import give_up
from headrace.core.run.transitions.settle import settle_unrun
from headrace.core.table import run_key
from headrace.engine.attempts.ports import Disposition, Done, Later, Poison
from headrace.engine.catalog.plans import message_in, record_in
from headrace.engine.engine import Engine
from headrace.engine.runs.claim import record_for_dead_client, stale, waits_for
from headrace.engine.runs.deliver import refusal
from headrace.engine.runs.telling import log_unrun
from headrace.errors import RequestRefused
from headrace.ports import Received

NO_OWNER = "-"
MAX_TRIES = 10
BURIED_TIMERS_MS = 30_000
"""How long timers that no worker could send are sent from here, before the rest is handed on."""


def fail_dead_letter(engine: Engine, received: Received, *, reason: str) -> Disposition:
    """A message from the dead-letter queue: its task is FAILED with `reason`, unless it has ended or is alive.

    Done: all is settled. Later: an attempt holds a live lease; look again. Poison: the message names no run, or asks for what the store
    never takes; `keep_message` it, or drop it.
    """
    try:
        outcome = _outcome(engine, received, reason)
        return Poison(outcome.reason[:MAX_REASON_CHARS]) if isinstance(outcome, Poison) else outcome
    except BadMessage as error:
        return Poison(str(error))
    except (RequestRefused, UnicodeError) as error:
        return Poison(refusal(error))


def _outcome(engine: Engine, received: Received, reason: str) -> Disposition:
    message = message_in(engine, received.body)
    if isinstance(message, RefillMessage):
        from headrace.engine.waits.kinds.rate_limit import refill

        refill(engine.acting_for(received, message.account, redelivered=True), message)
        return Done()
    if isinstance(message, TimersMessage):
        from headrace.engine.clock.tick import go_on_sending

        go_on_sending(engine, message, received.queue, lambda: BURIED_TIMERS_MS)
        return Done()
    if isinstance(message, BulkMessage):
        from headrace.engine.runs.bulk.work import stop

        stop(engine, message, reason)
        return Done()
    if isinstance(message, FireMessage):
        from headrace.engine.clock.fire import give_up

        give_up(engine, message, reason)
        return Done()
    engine = engine.acting_for(received, message.account, redelivered=True)
    if isinstance(message, BatchMessage):
        from headrace.engine.runs.batches.dead_letter import fail_dead_batch

        return fail_dead_batch(engine, received, message, ErrorInfo(type=DEAD_LETTER, message=reason))
    for _ in range(MAX_TRIES):
        step = _try(engine, received, message, reason)
        if step is not None:
            return step
    return Later(0, f"the record of run {message.run_id} kept changing")


def _try(engine: Engine, received: Received, message: TaskMessage, reason: str) -> Disposition | None:
    item = engine.store.get(run_key(message.run_id))
    if item is None:
        if message.record is None and message.place is not None:
            from headrace.engine.waits.park import forget_waiter

            forget_waiter(engine, *message.place, message.ticket, seat=message.seat)
            return Done()
        if message.record is None or message.task not in message.record.plan.by_name:
            return Poison(f"run {message.run_id} has no record")
        engine.store.write(create(record_for_dead_client(message.record, message.task)))
        return None
    record = record_in(engine, item)
    error = ErrorInfo(type=DEAD_LETTER, message=reason)
    if waits_for(record, message.task, message.ticket):
        return _settle_waiting(engine, message, record, error)
    return _settle_running(engine, received, message, record, error)


def _settle_waiting(
    engine: Engine, message: TaskMessage, record: RunRecord, error: ErrorInfo
) -> Disposition | None:
    now_ms = engine.clock.now_ms()
    written = engine.store.write(
        settle_unrun(record, message.task, TaskStatus.FAILED, error, ticket=message.ticket, now_ms=now_ms)
    )
    if not isinstance(written, Applied) or written.item is None:
        return None
    after = record_in(engine, written.item)
    log_unrun(after, message.task)
    return _paid(engine, message, after)


def _settle_running(
    engine: Engine, received: Received, message: TaskMessage, record: RunRecord, error: ErrorInfo
) -> Disposition | None:
    now_ms = engine.clock.now_ms()
    verdict = judge_record(
        record, message, owner=NO_OWNER, now_ms=now_ms, max_crashes=engine.limits.max_crashes
    )
    match verdict:
        case Lost(lost, task, row) | Spent(lost, task, row):
            written = engine.store.write(give_up(lost, task, row, error, now_ms=now_ms))
            if not isinstance(written, Applied) or written.item is None:
                return None
            after = record_in(engine, written.item)
            log_unrun(after, task)
            paid = _paid(engine, message, after)
            return None if rides_on(after, message) else paid
        case Busy(until_ms=until_ms):
            seconds = max(1, (until_ms - now_ms) // 1000 + 1)
            engine.queues.hide(received, min(seconds, 43_200))
            return Later(seconds, "an attempt holds a live lease")
        case Mine() | Stale():
            return _paid(engine, message, record)
        case _:
            assert_never(verdict)


def _paid(engine: Engine, message: TaskMessage, record: RunRecord) -> Disposition:
    return stale(engine, record, message)
