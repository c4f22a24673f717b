"""What `hatchet.waits` gives."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from headrace.core.run.ids import task_run_id
from headrace.core.run.record import RunRecord
from headrace.core.waits.waiting import Waiting, WaitKind


class WaitEvent(BaseModel):
    """An event that would end a wait, or a part of it: of this key; of `scope`, and with a payload for which the CEL `expression` holds,
    where they are given."""

    model_config = ConfigDict(frozen=True)

    key: str
    scope: str | None = None
    expression: str | None = None


class Wait(BaseModel):
    """One wait of a task.

    `what`: all of it in words. `node_id`: of a durable task, which operation it is. `child_run_id`: of a CHILD of a durable task.
    `since`: when it was suspended, or when its parents were done. `until`: when time alone ends it; None: it cannot.
    """

    model_config = ConfigDict(frozen=True)

    run_id: str
    workflow_name: str
    task_name: str
    task_external_id: str
    kind: WaitKind
    what: str
    node_id: int | None = None
    events: list[WaitEvent] = []
    child_run_id: str | None = None
    since: datetime
    until: datetime | None = None


def wait_of(record: RunRecord, wait: Waiting) -> Wait:
    """A wait as users read it."""
    return Wait(
        run_id=record.run_id,
        workflow_name=record.plan.workflow,
        task_name=wait.task,
        task_external_id=task_run_id(record.plan, record.run_id, wait.task),
        kind=wait.kind,
        what=wait.what,
        node_id=wait.node_id,
        events=[
            WaitEvent(key=each.key, scope=each.scope, expression=each.expression) for each in wait.events
        ],
        child_run_id=wait.child_run_id,
        since=_time(wait.since_ms),
        until=_time(wait.until_ms) if wait.until_ms is not None else None,
    )


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
