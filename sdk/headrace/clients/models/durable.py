"""The operations of a durable task as users read them, and what resetting or restoring it gives."""

from __future__ import annotations

from typing import Any

from headrace.clients.models.resource import Model
from headrace.core.durable.views import OperationKind, OperationState


class DurableLogEntry(Model):
    """One operation of a durable task.

    `node_id`: its place among those that the code made, from 0, as `runs.reset_durable_task` takes it. `asked`: the label, and what it
    waits for while it is open. `order`: its place among the answers, from 1. `result`: of a WAIT_FOR what each satisfied condition
    brought, by its data key; of a MEMO its value; a RUN's is in its child.
    """

    task_name: str
    node_id: int
    branch_id: int
    kind: OperationKind
    asked: str
    state: OperationState
    order: int | None = None
    result: Any = None
    child_run_id: str | None = None


class V1BranchDurableTaskResponse(Model):
    """What `runs.reset_durable_task` made: the task goes on with branch `branch_id` of its log, which begins at `node_id`."""

    task_external_id: str
    node_id: int
    branch_id: int


class V1RestoreTaskResponse(Model):
    """What `runs.restore_task` did: `requeued` is False where the task is not evicted, so nothing was to do."""

    requeued: bool
