"""Runs brought to where a test wants them by the real transitions."""

from __future__ import annotations

import json
from dataclasses import replace

from headrace.core.changes import Applied, Write, apply
from headrace.core.durable.encoding import encode_tail
from headrace.core.durable.log import ChildRun, Entry, Kind, Tail
from headrace.core.run.plans.plan import Json, RunPlan
from headrace.core.run.record import ErrorInfo, Payload, RunRecord, TaskStatus
from headrace.core.run.stored.record import encode_record, record_of
from headrace.core.run.transitions.claim import claim, create, take_over
from headrace.core.run.transitions.commit import complete, fail, suspend
from headrace.core.run.transitions.fence import Attempt
from headrace.core.run.transitions.settle import cancel_run, schedule_timed_out, settle_unrun
from support.records import T0


def born(
    plan: RunPlan, run_id: str = "r1", *, at_ms: int = T0, input: Json = None, **fields: object
) -> RunRecord:
    """A new run."""
    given = Payload.inline(None if input is None else json.dumps(input))
    return RunRecord(
        run_id=run_id,
        plan=plan,
        input=given,
        created_at_ms=at_ms,
        expires_at_s=at_ms // 1000 + 86_400,
        **fields,  # type: ignore[arg-type]  # fields of RunRecord
    )


def after(record: RunRecord, write: Write) -> RunRecord:
    """The record after a write that must take place."""
    before = apply(create(record), None).item
    written = apply(write, before)
    assert isinstance(written, Applied), f"refused: {write}"
    assert written.item is not None
    return record_of(written.item)


def _attempt(record: RunRecord, task: str, at_ms: int) -> Attempt:
    row = record.tasks.get(task)
    return Attempt(
        run_id=record.run_id,
        task=task,
        number=record.plan.numbers[task],
        ticket=row.ticket if row is not None else 1,
        owner=f"owner-of-{task}-{row.ticket if row is not None else 1}",
        now_ms=at_ms,
        lease_until_ms=at_ms + 30_000,
    )


def started(record: RunRecord, task: str, at_ms: int = T0 + 10) -> RunRecord:
    """The task's current ticket is claimed."""
    return after(record, claim(_attempt(record, task, at_ms), queued_at_ms=T0))


def returned(record: RunRecord, task: str, output: Json = None, at_ms: int = T0 + 20) -> RunRecord:
    """The task was started and returned `output`."""
    running = started(record, task, at_ms - 5)
    payload = Payload.inline(None if output is None else json.dumps(output))
    return after(running, complete(running, _attempt(running, task, at_ms), payload, now_ms=at_ms))


def stored(record: RunRecord, task: str, payload: Payload, at_ms: int = T0 + 20) -> RunRecord:
    """As `returned`, with an output that is somewhere else."""
    running = started(record, task, at_ms - 5)
    return after(running, complete(running, _attempt(running, task, at_ms), payload, now_ms=at_ms))


def raised(
    record: RunRecord,
    task: str,
    message: str = "boom",
    *,
    type: str = "RuntimeError",
    trace: str = "",
    at_ms: int = T0 + 20,
) -> RunRecord:
    """The task was started and raised: it is QUEUED again where a retry is left, else FAILED."""
    running = started(record, task, at_ms - 5)
    error = ErrorInfo(type=type, message=message, trace=trace)
    write = fail(running, _attempt(running, task, at_ms), error, now_ms=at_ms, retryable=True)
    return after(running, write)


def lost(record: RunRecord, task: str, at_ms: int = T0 + 60_000) -> RunRecord:
    """The running task's worker died and another took over."""
    row = record.tasks[task]
    attempt = replace(_attempt(record, task, at_ms), owner=f"{row.owner}'")
    return after(record, take_over(attempt, row))


def cancelled(record: RunRecord, at_ms: int = T0 + 30, reason: str = "CANCELLED_BY_USER") -> RunRecord:
    """The run was cancelled."""
    return after(record, cancel_run(record.run_id, now_ms=at_ms, reason=reason))


def never_started(record: RunRecord, task: str, at_ms: int = T0 + 300_001) -> RunRecord:
    """The task waited in the queue past its schedule timeout."""
    error = schedule_timed_out(record, task)
    return after(record, settle_unrun(record, task, TaskStatus.CANCELLED, error, ticket=1, now_ms=at_ms))


def item_of(record: RunRecord) -> dict[str, object]:
    """The record as a store holds it."""
    return {**encode_record(record), "pk": record.key.pk, "sk": record.key.sk}


def suspended(record: RunRecord, task: str, *, child: str, at_ms: int = T0 + 20) -> RunRecord:
    """The run after a started task has ended its invocation to wait for a child run."""
    record = started(record, task) if task not in record.tasks else record
    waits = Entry(node=1, kind=Kind.RUN, asked="", child=ChildRun(child, 0))
    row = replace(record.tasks[task], log=encode_tail(Tail(entries=(waits,))))
    return after(record, suspend(record.with_row(task, row), _attempt(record, task, at_ms), now_ms=at_ms))
