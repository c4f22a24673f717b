"""What a record says in one value: the name of its run, its error, the tasks of it that users see."""

from __future__ import annotations

from headrace.core.run.derived.graph import TaskState, states
from headrace.core.run.derived.progress import run_status
from headrace.core.run.record import RunRecord, RunStatus, TaskStatus
from headrace.triggers.results.outcomes import task_error, task_errors

PARENT_TASK = "hatchet__parent_step_run_id"
"""The metadata entry of a child run that names the task run which spawned it."""


def display_name(name: str, created_at_ms: int) -> str:
    return f"{name}-{created_at_ms}"


def shown(record: RunRecord) -> dict[str, TaskState]:
    """The tasks of a run that users see: those that are due, or were. A task that waits for parents is not there yet."""
    return {name: state for name, state in states(record).items() if state.status is not TaskStatus.WAITING}


def parent_task(record: RunRecord) -> str | None:
    """The id of the task run that spawned this run."""
    if record.parent is None:
        return None
    named = record.metadata.get(PARENT_TASK)
    return named if isinstance(named, str) else f"{record.parent.run_id}:{record.parent.task}"


def error_text(record: RunRecord) -> str | None:
    """What went wrong with the run, in one text: the errors of its FAILED tasks, or why it was cancelled."""
    match run_status(record):
        case RunStatus.FAILED:
            return "\n\n".join(str(error) for error in task_errors(record))
        case RunStatus.CANCELLED:
            found = [task_error(record, name) for name in shown(record)]
            return record.cancel_reason or next((error.exc for error in found if error is not None), None)
        case _:
            return None
