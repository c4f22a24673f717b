"""Tasks of a workflow that wait for time or for events: no row, no place, no invocation, until their conditions say what they do.

Whatever may change that sends the first message of the task: its sleeps by delay, an event that satisfied a condition at once. The
message carries nothing: its delivery looks up what is true, and one pure function decides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import assert_never

from headrace.core.changes import Applied
from headrace.core.run.derived.graph import CANCEL_IF_HOLDS, states
from headrace.core.run.message import Conditions, TaskMessage, encode_message
from headrace.core.run.owed import owed_after, owed_by_starter, worker_of
from headrace.core.run.record import ErrorInfo, RunRecord, TaskStatus
from headrace.core.run.transitions.claim import create
from headrace.core.run.transitions.settle import settle_unrun
from headrace.core.table import input_key, run_key
from headrace.core.waits.conditions import (
    Cancels,
    Runs,
    Skips,
    Waits,
    decide,
)
from headrace.engine.attempts.payloads import save
from headrace.engine.attempts.ports import Disposition, Done, Host, Later
from headrace.engine.catalog.plans import record_in
from headrace.engine.engine import Engine
from headrace.engine.owed.pay import pay
from headrace.engine.runs.claim import claim_message, record_for_dead_client
from headrace.engine.runs.claimed import Claimed
from headrace.engine.runs.telling import log_unrun
from headrace.engine.timers import send_at
from headrace.engine.waits.conditions import arm, disarm, facts_for
from headrace.ports import Received

MAX_TRIES = 10
"""How often a decision is tried to be written against a record that keeps changing before the message is left for later."""


def claim_met(engine: Engine, host: Host, received: Received, message: TaskMessage) -> Claimed | Disposition:
    """What a first message of a task that waits comes to: its conditions hold and it is claimed, it is settled, or it waits on."""
    for _ in range(MAX_TRIES):
        record = _record_for(engine, message)
        if record is not None:
            pay(engine, record, owed_by_starter(record, message.task))
        state = states(record).get(message.task) if record is not None else None
        if record is None or state is None or not state.pending:
            return claim_message(engine, host, received, replace(message, conditions=None))
        if message.conditions is Conditions.ARM:
            arm(engine, record, message.task)
        step = _decided(engine, host, received, message, record)
        if step is not None:
            return step
    return Later(0, f"the record of run {message.run_id} kept changing")


def _decided(
    engine: Engine, host: Host, received: Received, message: TaskMessage, record: RunRecord
) -> Claimed | Disposition | None:
    """None: the record has changed meanwhile, look again."""
    task = message.task
    decision = decide(record, task, facts_for(engine, record, task))
    match decision:
        case Runs(at_ms=at_ms, data=data):
            step = claim_message(engine, host, received, _ready(record, message, at_ms), data=_text(data))
            if isinstance(step, Claimed):
                disarm(engine, record, task)
            return step
        case Skips():
            return _settle(engine, record, task, TaskStatus.SKIPPED, None)
        case Cancels():
            error = ErrorInfo(type="HatchetError", message=CANCEL_IF_HOLDS)
            return _settle(engine, record, task, TaskStatus.CANCELLED, error)
        case Waits(due_at_ms):
            return _wait_on(engine, record, message, due_at_ms)
        case _:
            assert_never(decision)


def _record_for(engine: Engine, message: TaskMessage) -> RunRecord | None:
    """The record; where the client died before it put it, put in its stead."""
    item = engine.store.get(run_key(message.run_id))
    if item is not None:
        record = record_in(engine, item)
        return _replayed(engine, record, message) or record if message.replay is not None else record
    if message.record is None or message.task not in message.record.plan.by_name:
        return None
    record = record_for_dead_client(message.record, message.task)
    save(engine, record.input, input_key(record.run_id), message.input, expires_at_s=record.expires_at_s)
    written = engine.store.write(create(record))
    return record if isinstance(written, Applied) or written.item is None else record_in(engine, written.item)


def _replayed(engine: Engine, record: RunRecord, message: TaskMessage) -> RunRecord | None:
    from headrace.engine.runs.replay import replay_for_dead_client

    return replay_for_dead_client(engine, record, message)


def _ready(record: RunRecord, message: TaskMessage, at_ms: int) -> TaskMessage:
    start_by_ms = at_ms + record.plan.task(message.task).schedule_timeout_ms
    return replace(message, conditions=None, queued_at_ms=at_ms, start_by_ms=start_by_ms)


def _text(data: Mapping[str, object]) -> str:
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False)


def _settle(
    engine: Engine, record: RunRecord, task: str, status: TaskStatus, error: ErrorInfo | None
) -> Done | None:
    """Settle the task as its conditions say, and pay. None: the record has changed meanwhile."""
    now_ms = engine.clock.now_ms()
    written = engine.store.write(
        settle_unrun(record, task, status, error, ticket=record.first_ticket(task), now_ms=now_ms)
    )
    if not isinstance(written, Applied) or written.item is None:
        return None
    after = record_in(engine, written.item)
    log_unrun(after, task)
    pay(engine, after, owed_after(after, task))
    disarm(engine, record, task)
    return Done()


def _wait_on(engine: Engine, record: RunRecord, message: TaskMessage, due_at_ms: int | None) -> Done:
    """Nothing holds yet. A message of time sends the next one, without the trigger: the record is there by now."""
    if message.conditions is not Conditions.EVENT and due_at_ms is not None:
        following = replace(message, record=None, input=None, replay=None, conditions=Conditions.TIME)
        send_at(engine, worker_of(record, message.task), due_at_ms, encode_message(following))
    return Done()
