"""Identifiers that follow from others: a task run's from its run's, a workflow's from its name."""

from __future__ import annotations

import uuid

from headrace.core.run.plans.plan import RunPlan
from headrace.errors import RunNotFound

MAX_RUN_ID_CHARS = 500
"""Of the id of a run or a task run that is looked up: far above any that is given out, and within DynamoDB's limit of a key in any script."""

_WORKFLOWS = uuid.UUID("6f1f7a2e-5d55-5c7a-9d0e-2b1d3a1c8e44")


def task_run_id(plan: RunPlan, run_id: str, task: str) -> str:
    """The id of one task of a run. A standalone task's is the run's own (PARITY A3); others name run and task."""
    return run_id if plan.standalone else f"{run_id}:{task}"


def checked_run_id(given: object) -> str:
    """An id of a run or a task run, as a caller gave it. TypeError where it is no text; RunNotFound where it is one that no run can have."""
    if not isinstance(given, str):
        raise TypeError(
            f"a run id is a str, not {type(given).__name__}: give ref.workflow_run_id or a row's metadata.id"
        )
    if len(given) > MAX_RUN_ID_CHARS or given != given.encode(errors="ignore").decode():
        raise RunNotFound(ascii(given[:40])[1:-1] + "...")
    return given


def split_task_run_id(given: str) -> tuple[str, str | None]:
    """(run id, task name) of a task run's id; the name is None where the id is a run's own."""
    run_id, found, task = given.partition(":")
    return run_id, task if found else None


def workflow_id(name: str) -> str:
    """A workflow's id: a UUID that follows from its (namespaced) name, so it needs no look-up and never changes."""
    return str(uuid.uuid5(_WORKFLOWS, name))
