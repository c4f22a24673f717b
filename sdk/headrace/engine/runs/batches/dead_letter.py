"""Fail the members of a batch whose message came back from the dead-letter queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.changes import Applied
from headrace.core.points import AtBatch, point_at
from headrace.core.run.message import BatchMessage
from headrace.core.run.owed import owed_after
from headrace.core.run.record import ErrorInfo, RunRecord, TaskStatus
from headrace.core.run.transitions.commit import give_up
from headrace.core.run.transitions.settle import settle_unrun
from headrace.core.table import run_key
from headrace.core.waits.batch import Member
from headrace.engine.attempts.ports import Disposition, Done, Host, Poison
from headrace.engine.catalog.plans import record_in
from headrace.engine.engine import Engine
from headrace.engine.owed.pay import pay
from headrace.engine.runs.batches.claim import via_of
from headrace.engine.runs.batches.lease import Taken, forget, take
from headrace.engine.runs.claim import waits_for
from headrace.engine.runs.telling import log_unrun

if TYPE_CHECKING:
    from headrace.ports import Received


def fail_dead_batch(
    engine: Engine, received: Received, message: BatchMessage, error: ErrorInfo
) -> Disposition:
    """A batch's message from the dead-letter queue: its members are FAILED, unless a delivery runs them."""
    point = point_at(message.line) if message.line else None
    if not isinstance(point, AtBatch):
        return Poison(f"there is no batch line {message.line!r}")
    grave = Host(worker="", runnables={}, visibility_s=60)
    taken = take(engine, grave, received, message)
    if not isinstance(taken, Taken):
        return taken
    for member in taken.members:
        record = record_in(engine, engine.store.get(run_key(member.run_id)))
        if record is not None:
            _fail_member(engine, record, point.task, member, message, error)
    forget(engine, taken)
    return Done()


def _fail_member(
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
        log_unrun(after, task)
        pay(engine, after, owed_after(after, task))
