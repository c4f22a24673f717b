"""What waiting for a finished run gives: `{task: output}`, or an exception (PARITY, What result() gives)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from headrace.core.run.derived.graph import States, states
from headrace.core.run.derived.progress import run_status
from headrace.core.run.ids import task_run_id
from headrace.core.run.record import Place, RunRecord, RunStatus, TaskStatus
from headrace.core.run.stored.rows import marked
from headrace.core.run.stored.texts import payload_text
from headrace.core.sealed import check_opened, readable_text
from headrace.core.table import output_key
from headrace.engine.runs.read import output_text
from headrace.errors import (
    DedupeViolationError,
    FailedTaskRunExceptionGroup,
    PayloadSealedError,
    RunCancelled,
    TaskRunError,
)

if TYPE_CHECKING:
    from headrace.engine.engine import Engine
    from headrace.settings.settings import Settings

Outputs: TypeAlias = dict[str, Any]
"""Task name -> its output as parsed JSON (None: the task returned nothing)."""

DUPLICATE = "DUPLICATE_WORKFLOW_RUN"
"""In an error's text: a child was spawned twice under one key (PARITY C4)."""


class Connected(Protocol):
    """What of an app is needed to read runs: its engine and its settings."""

    @property
    def engine(self) -> Engine: ...

    @property
    def settings(self) -> Settings: ...


def outcome_of(app: Connected, record: RunRecord, *, lenient: bool = False) -> Outputs:
    """The outputs of a finished run by task; raises for a FAILED or CANCELLED one.

    `lenient` is the asynchronous callers' reading: tasks without an output are left out, and a CANCELLED run gives what
    its finished tasks returned. Otherwise every task is there, and CANCELLED raises RunCancelled.
    """
    found = outcomes_of(app, [record], lenient=lenient)[0]
    if isinstance(found, Exception):
        raise found
    return found


def outcomes_of(
    app: Connected, records: Sequence[RunRecord], *, lenient: bool = False
) -> list[Outputs | Exception]:
    """As `outcome_of` for many runs: outputs that are items of their own are read in batches; exceptions are values."""
    failures = [failure_of(record, lenient=lenient) for record in records]
    readable = [record for record, failure in zip(records, failures, strict=True) if failure is None]
    outputs = iter(outputs_of(app.engine, readable))
    return [_readable(next(outputs), lenient) if failure is None else failure for failure in failures]


def _readable(outputs: Outputs, lenient: bool) -> Outputs | Exception:
    try:
        for name, value in outputs.items():
            check_opened(f"the output of task {name}", value)
    except PayloadSealedError as error:
        return error
    return _trimmed(outputs, lenient)


def _trimmed(outputs: Outputs, lenient: bool) -> Outputs:
    return {name: value for name, value in outputs.items() if value is not None} if lenient else outputs


def failure_of(record: RunRecord, *, lenient: bool = False) -> Exception | None:
    """The exception that a finished run raises; None where it gives outputs."""
    match run_status(record):
        case RunStatus.FAILED:
            errors = task_errors(record)
            if any(DUPLICATE in error.exc for error in errors):
                return DedupeViolationError(next(error.exc for error in errors if DUPLICATE in error.exc))
            return FailedTaskRunExceptionGroup(f"Workflow run {record.run_id} failed.", errors)
        case RunStatus.CANCELLED if not lenient:
            return RunCancelled(record.run_id)
        case _:
            return None


def task_errors(record: RunRecord) -> list[TaskRunError]:
    """One error for each FAILED task, in plan order."""
    return [
        error
        for name, state in states(record).items()
        if state.status is TaskStatus.FAILED and (error := task_error(record, name)) is not None
    ]


def task_error(record: RunRecord, task: str) -> TaskRunError | None:
    """Why a task is FAILED or CANCELLED; None where it is neither (an earlier attempt may have failed all the same)."""
    state = states(record).get(task)
    if state is None or state.status not in (TaskStatus.FAILED, TaskStatus.CANCELLED):
        return None
    run_id = task_run_id(record.plan, record.run_id, task)
    row = state.row
    if row is not None and row.settled and row.error is not None:
        message, trace = readable_text(row.error.message), readable_text(row.error.trace)
        return TaskRunError(message, row.error.type, trace, run_id)
    return TaskRunError(state.reason or state.status.value, "HatchetError", "", run_id)


def outputs_of(engine: Engine, records: Sequence[RunRecord]) -> list[Outputs]:
    """For each run, the outputs of its COMPLETED and SKIPPED tasks by name, in plan order."""
    known = [states(record) for record in records]
    wanted = [
        output_key(record.run_id, name, state.row.ticket, marked(state.row.owner))
        for record, found in zip(records, known, strict=True)
        for name, state in found.items()
        if state.row is not None
        and state.status is TaskStatus.COMPLETED
        and state.row.output.place is Place.ITEM
    ]
    bodies = {
        key: payload_text(item)
        for key, item in zip(wanted, engine.store.get_many(wanted) if wanted else [], strict=True)
        if item is not None
    }
    return [_outputs(engine, record, found, bodies) for record, found in zip(records, known, strict=True)]


def _outputs(engine: Engine, record: RunRecord, found: States, bodies: Mapping[Any, str]) -> Outputs:
    out: Outputs = {}
    for name, state in found.items():
        if state.status not in (TaskStatus.COMPLETED, TaskStatus.SKIPPED):
            continue
        if (
            state.row is not None
            and state.status is TaskStatus.COMPLETED
            and state.row.output.place is Place.ITEM
        ):
            text = bodies.get(output_key(record.run_id, name, state.row.ticket, marked(state.row.owner)))
        else:
            text = output_text(engine, record, name)
        out[name] = json.loads(text) if text is not None else None
    return out
