"""The message of a batch task: the run joins its batch, or passes first what stands before it."""

from __future__ import annotations

from headrace.core.changes import Applied
from headrace.core.points import AtBatch
from headrace.core.run.message import TaskMessage
from headrace.core.run.owed import owed_after, owed_by_starter
from headrace.core.run.record import ErrorInfo, RunRecord, TaskStatus
from headrace.core.run.routing import NotEvaluated
from headrace.core.run.transitions.claim import create
from headrace.core.run.transitions.commit import Fenced, judge_commit
from headrace.core.run.transitions.settle import settle_unrun, unclaim
from headrace.core.table import input_key, run_key
from headrace.engine.attempts.payloads import save
from headrace.engine.attempts.ports import Disposition, Done, Host, Later, Poison
from headrace.engine.catalog.plans import record_in
from headrace.engine.engine import Engine
from headrace.engine.owed.pay import pay
from headrace.engine.runs.claim import (
    claim_message,
    expire,
    record_for_dead_client,
    stale,
    waits_for,
)
from headrace.engine.runs.claimed import Claimed
from headrace.engine.runs.telling import log_unrun
from headrace.engine.waits.kinds.batch import join_batch, line_of
from headrace.ports import Received


def line_up_for_batch(
    engine: Engine, host: Host, received: Received, message: TaskMessage
) -> Claimed | Disposition:
    """Do what the message of a batch task asks for: the run joins the batch that is filling.

    Claimed: something stands before the task. It is parked at its batch once it has passed that.
    """
    if engine.clock.now_ms() > message.start_by_ms:
        expired = expire(engine, message, engine.clock.now_ms())
        if expired is not None:
            return expired
    record = _record(engine, message)
    if record is None:
        return Poison(
            f"run {message.run_id} has no record, and its message for task {message.task} carries none"
        )
    if not waits_for(record, message.task, message.ticket):
        own = _claimed_by_its_own_message(record, message)
        return claim_message(engine, host, received, message) if own else stale(engine, record, message)
    key = record.routing.batch_keys.get(message.task)
    if isinstance(key, NotEvaluated):
        return _fail(engine, record, message, key.reason)
    if _needs_admission(engine, record, message.task):
        return claim_message(engine, host, received, message)
    join_batch(engine, record, message.task, message.ticket, queued_at_ms=message.queued_at_ms)
    return Done()


def _claimed_by_its_own_message(record: RunRecord, message: TaskMessage) -> bool:
    """Whether the ticket was claimed on the way to its batch, by a delivery that may have died; and not by a batch, which sees to its members."""
    row = record.tasks.get(message.task)
    running = row is not None and row.status is TaskStatus.RUNNING and record.cancelled_at_ms is None
    return running and row is not None and row.ticket == message.ticket and row.via is None


def _record(engine: Engine, message: TaskMessage) -> RunRecord | None:
    """The record, put here where the client died before it did. A stale one lets a run join that is over: its batch leaves it out."""
    key, item = run_key(message.run_id), None
    if not engine.account.redelivered and message.replay is None:
        item = engine.store.get(key, consistent=False)
    found = record_in(engine, item or engine.store.get(key))
    if found is not None and message.replay is not None:
        from headrace.engine.runs.replay import replay_for_dead_client

        return replay_for_dead_client(engine, found, message) or found
    if found is not None or message.record is None or message.task not in message.record.plan.by_name:
        return found
    record = record_for_dead_client(message.record, message.task)
    save(engine, record.input, input_key(record.run_id), message.input, expires_at_s=record.expires_at_s)
    written = engine.store.write(create(record))
    record = record_in(engine, written.item) or record
    pay(engine, record, owed_by_starter(record, message.task))
    return record


def _fail(engine: Engine, record: RunRecord, message: TaskMessage, reason: str) -> Disposition:
    """A key that could not be evaluated fails this run alone."""
    error = ErrorInfo(type="ExpressionError", message=reason)
    write = settle_unrun(
        record,
        message.task,
        TaskStatus.FAILED,
        error,
        ticket=message.ticket,
        now_ms=engine.clock.now_ms(),
    )
    written = engine.store.write(write)
    after = record_in(engine, written.item)
    if after is None:
        return Done()
    if isinstance(written, Applied):
        log_unrun(after, message.task)
        pay(engine, after, owed_after(after, message.task))
        return Done()
    return stale(engine, after, message)


# ---------------------------------------------------------------- what has to be passed before


def _needs_admission(engine: Engine, record: RunRecord, task: str) -> bool:
    """Whether a pause, rate limits or the run's own limits hold it back. It takes no slot of its worker: its batch is no task of its own."""
    from headrace.engine.waits.kinds.pause import pause_of

    row = record.tasks.get(task)
    if row is not None and isinstance(row.waits_at, AtBatch):
        return False
    plan = record.plan
    return bool(plan.gates or plan.task(task).rates) or pause_of(engine, plan.workflow) is not None


def park_at_batch(engine: Engine, claimed: Claimed) -> Disposition:
    """The attempt has passed what stands before its task: parked, with the next ticket, at its batch."""
    task = claimed.attempt.task
    write = unclaim(
        claimed.record,
        claimed.attempt,
        point=line_of(claimed.record, task),
        now_ms=engine.clock.now_ms(),
    )
    written = engine.store.write(write)
    record = record_in(engine, written.item)
    if record is None:
        return Done()
    if not isinstance(written, Applied):
        verdict = judge_commit(record, claimed.attempt)
        if isinstance(verdict, Fenced) and record.cancelled_at_ms is None:
            return Later(0, f"another attempt took task {task} over")
    pay(engine, record, owed_after(record, task))
    return Done()
