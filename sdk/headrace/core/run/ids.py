"""Identifiers that follow from others: a task run's from its run's, a workflow's from its name."""

from __future__ import annotations

import uuid

from headrace.core.run.plan import RunPlan

_WORKFLOWS = uuid.UUID("6f1f7a2e-5d55-5c7a-9d0e-2b1d3a1c8e44")


def task_run_id(plan: RunPlan, run_id: str, task: str) -> str:
    """The id of one task of a run. A standalone task's is the run's own (PARITY A3); others name run and task."""
    return run_id if plan.standalone else f"{run_id}:{task}"


def split_task_run_id(given: str) -> tuple[str, str | None]:
    """(run id, task name) of a task run's id; the name is None where the id is a run's own."""
    run_id, found, task = given.partition(":")
    return run_id, task if found else None


def workflow_id(name: str) -> str:
    """A workflow's id: a UUID that follows from its (namespaced) name, so it needs no look-up and never changes."""
    return str(uuid.uuid5(_WORKFLOWS, name))
