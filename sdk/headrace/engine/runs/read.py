"""Read runs back: records, outputs, waiting."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.core.changes import Applied
from headrace.core.points import AtPause
from headrace.core.run.derived.graph import TaskState, states
from headrace.core.run.owed import owed_after
from headrace.core.run.record import RunRecord, TaskRow, TaskStatus
from headrace.core.run.transitions.settle import overdue, schedule_timed_out, settle_unrun
from headrace.core.table import run_key
from headrace.engine.attempts.payloads import load_input, load_output
from headrace.engine.catalog.plans import record_in
from headrace.engine.engine import Engine
from headrace.engine.owed.pay import pay
from headrace.errors import AccessDenied, RequestRefused

UNKNOWN_TRIES = 10
"""How often an id is looked for before it counts as unknown (Hatchet does 10)."""

UNKNOWN_PAUSE_S = 0.1
"""At least so long between two looks at an id that is not there yet."""


def read(engine: Engine, run_id: str) -> RunRecord | None:
    """The run as it stands (strongly consistent). A task overdue in its queue is cancelled on the way."""
    return read_many(engine, [run_id])[0]


def read_many(engine: Engine, run_ids: Sequence[str], *, consistent: bool = True) -> list[RunRecord | None]:
    """As `read`, for many: one batched read. Not `consistent`: half the price, and perhaps as it was a moment ago."""
    if len(run_ids) == 1:
        items = [engine.store.get(run_key(run_ids[0]), consistent=consistent)]
    else:
        items = engine.store.get_many([run_key(run_id) for run_id in run_ids], consistent=consistent)
    return [None if item is None else _expire(engine, record_in(engine, item)) for item in items]


def _expire(engine: Engine, record: RunRecord) -> RunRecord:
    """Cancel tasks that waited past their schedule timeout: nothing else may look at them. A role that may only read sees them as they
    are: another reader, or a worker, cancels them."""
    now_ms = engine.clock.now_ms()
    for name, state in states(record).items():
        since = _waits_since_ms(state)
        if since is None or not overdue(record, name, queued_at_ms=since, now_ms=now_ms):
            continue
        ticket = state.row.ticket if state.row is not None else record.first_ticket(name)
        error = schedule_timed_out(record, name)
        expiry = settle_unrun(record, name, TaskStatus.CANCELLED, error, ticket=ticket, now_ms=now_ms)
        try:
            written = engine.store.write(expiry)
        except (RequestRefused, AccessDenied):
            return (
                record  # a record that can hold no more, or may not be written here, can be read all the same
            )
        if written.item is not None:
            record = record_in(engine, written.item)
        if isinstance(written, Applied):
            pay(engine, record, owed_after(record, name))
    return record


def _waits_since_ms(state: TaskState) -> int | None:
    """Since when the task has waited to start, where its schedule timeout runs."""
    if state.status not in (TaskStatus.QUEUED, TaskStatus.PARKED) or waits_without_limit(state.row):
        return None
    row = state.row
    return row.queued_at_ms if row is not None and row.queued_at_ms else state.due_since_ms


def expires_at_ms(record: RunRecord) -> int | None:
    """When the first of its tasks will have waited too long to start; None where none waits."""
    times = [
        since + record.plan.task(name).schedule_timeout_ms
        for name, state in states(record).items()
        if (since := _waits_since_ms(state)) is not None
    ]
    return min(times, default=None)


def input_text(engine: Engine, record: RunRecord) -> str | None:
    """The run's input, from wherever it is."""
    return load_input(engine, record)


SKIPPED_OUTPUT = '{"skipped":true}'


def output_text(engine: Engine, record: RunRecord, task: str) -> str | None:
    """The JSON text of a settled task's output, from wherever it is; a skipped task's is {"skipped":true}."""
    state = states(record).get(task)
    if state is not None and state.status is TaskStatus.SKIPPED:
        return SKIPPED_OUTPUT
    return load_output(engine, record, task) if task in record.tasks else None


def waits_without_limit(row: TaskRow | None) -> bool:
    """Whether the schedule timeout does not run: the task has started and waits for its children, or its workflow is paused, and
    then the clock ends it after the pause's own limit."""
    if row is None:
        return False
    paused = row.status is TaskStatus.PARKED and isinstance(row.waits_at, AtPause)
    return paused or row.status is TaskStatus.SUSPENDED
