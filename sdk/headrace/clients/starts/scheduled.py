"""`hatchet.scheduled`: runs that start once, at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from headrace.clients.asked import among, pairs
from headrace.clients.naming import App, namespaced, workflow_name
from headrace.clients.pages import page_of
from headrace.core.run.derived.progress import run_status
from headrace.core.run.ids import workflow_id as id_of_workflow
from headrace.core.run.record import RunRecord, RunStatus
from headrace.engine.clock.scheduled import (
    ScheduledRun,
    delete_scheduled,
    get_scheduled,
    list_scheduled,
    move_scheduled,
    schedule_run,
)
from headrace.engine.runs.read import read_many
from headrace.options.priority import check_priority
from headrace.options.times import from_epoch_ms, to_epoch_ms
from headrace.telemetry import tracing
from headrace.triggers.definition import found_here, found_or_raise
from headrace.triggers.faces import aio
from headrace.values.codec import input_text, metadata_of

if TYPE_CHECKING:
    import builtins

    from headrace.clients.models.catalog import WorkflowVersion
    from headrace.clients.models.schedules import (
        ScheduledRunBulkUpdateItem,
        ScheduledRunStatus,
        ScheduledWorkflows,
        ScheduledWorkflowsBulkDeleteResponse,
        ScheduledWorkflowsBulkUpdateResponse,
        ScheduledWorkflowsList,
    )

_STATUS = {
    RunStatus.QUEUED: "QUEUED",
    RunStatus.RUNNING: "RUNNING",
    RunStatus.COMPLETED: "SUCCEEDED",
    RunStatus.FAILED: "FAILED",
    RunStatus.CANCELLED: "CANCELLED",
}


class ScheduledClient:
    """Scheduled runs: every method has an `aio_` twin that does not block the event loop.

    A naive datetime is taken as UTC, with a warning. A time that has passed means at once.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    def create(
        self,
        workflow_name: str,
        trigger_at: datetime,
        input: Mapping[str, Any] | None = None,
        additional_metadata: Mapping[str, Any] | None = None,
        priority: int | None = None,
    ) -> ScheduledWorkflows:
        """Start one run of a workflow at `trigger_at`, by the definition that is deployed then. ValueError where the workflow is not in
        the stack now; PayloadTooLargeError for an input of more than 256 KB."""
        name = namespaced(self._app, workflow_name)
        where = f"scheduled run of workflow {name}"
        due_ms = to_epoch_ms(trigger_at, f"{where}: trigger_at")
        if priority is not None:
            check_priority(priority, f"{where}: priority")
        found = found_here(self._app, name, "a scheduled run")
        ids = self._app.engine.ids
        wanted = ScheduledRun(
            id=ids.run_id(),
            workflow=name,
            due_ms=due_ms,
            run_id=ids.run_id(),
            input=input_text(input),
            metadata=metadata_of(additional_metadata),
            priority=int(priority) if priority is not None else None,
            worker=found.published.plan.tasks[0].worker,
        )
        with tracing.scheduling(name, due_ms, wanted.metadata) as metadata:
            return _shown(schedule_run(self._app.engine, replace(wanted, metadata=metadata)), None)

    aio_create = aio(create)

    def schedule(
        self,
        workflow_name: str,
        trigger_at: datetime,
        input: Mapping[str, Any] | None = None,
        additional_metadata: Mapping[str, Any] | None = None,
        priority: int | None = None,
    ) -> WorkflowVersion:
        """As `create`; gives the workflow's version, as `workflow.schedule` does, with what was scheduled in `scheduled_workflows`."""
        from headrace.clients.models.catalog import WorkflowVersion
        from headrace.clients.models.resource import ResourceId

        made = self.create(workflow_name, trigger_at, input, additional_metadata, priority)
        plan = found_or_raise(self._app, made.workflow_name).published.plan
        return WorkflowVersion(
            metadata=ResourceId(id=f"{made.workflow_id}:{plan.version}"),
            version=plan.version,
            workflow_id=made.workflow_id,
            tasks=[task.name for task in plan.tasks],
            scheduled_workflows=[made],
        )

    aio_schedule = aio(schedule)

    def get(self, scheduled_id: str) -> ScheduledWorkflows:
        """A scheduled run by its id, also once it has started. ValueError if there is none."""
        found = get_scheduled(self._app.engine, scheduled_id)
        if found is None or not self._is_ours(found):
            raise self._none(scheduled_id)
        return self._show([found])[0]

    aio_get = aio(get)

    def update(self, scheduled_id: str, trigger_at: datetime) -> ScheduledWorkflows:
        """Have it start at another time. ValueError where there is none, or its run has started."""
        due_ms = to_epoch_ms(trigger_at, f"scheduled run {scheduled_id}: trigger_at")
        self._find_waiting(scheduled_id)
        moved = move_scheduled(self._app.engine, scheduled_id, due_ms)
        if moved is None:
            raise self._started(scheduled_id)
        return _shown(moved, None)

    aio_update = aio(update)

    def delete(self, scheduled_id: str) -> None:
        """Forget a run that has not started. ValueError where there is none, or its run has started: then cancel the run."""
        self._find_waiting(scheduled_id)
        if not delete_scheduled(self._app.engine, scheduled_id):
            raise self._started(scheduled_id)

    aio_delete = aio(delete)

    def list(
        self,
        offset: int | None = None,
        limit: int | None = None,
        workflow_id: str | None = None,
        parent_workflow_run_id: str | None = None,
        statuses: Sequence[ScheduledRunStatus] | None = None,
        additional_metadata: Mapping[str, str] | None = None,
        order_by_field: str | None = None,
        order_by_direction: str | None = None,
    ) -> ScheduledWorkflowsList:
        """Scheduled runs, the next one first; those that match all that is given, started ones among them. `order_by_field`:
        "triggerAt" or "createdAt"; `order_by_direction`: "ASC" or "DESC"."""
        from headrace.clients.models.schedules import ScheduledWorkflowsList

        found = self._matching(workflow_id, parent_workflow_run_id, statuses, additional_metadata)
        if order_by_field in ("createdAt", "created_at"):
            found.sort(key=lambda each: each.metadata.created_at)
        if (order_by_direction or "").upper() == "DESC":
            found.reverse()
        rows, pagination = page_of(found, offset, limit)
        return ScheduledWorkflowsList(rows=[*rows], pagination=pagination)

    aio_list = aio(list)

    def bulk_update(
        self, updates: Sequence[ScheduledRunBulkUpdateItem | tuple[str, datetime]]
    ) -> ScheduledWorkflowsBulkUpdateResponse:
        """Move many; what cannot be moved is named with the reason, the others are moved."""
        from headrace.clients.models.schedules import (
            ScheduledWorkflowsBulkError,
            ScheduledWorkflowsBulkUpdateResponse,
        )

        done: builtins.list[str] = []
        errors: builtins.list[ScheduledWorkflowsBulkError] = []
        for each in updates:
            given, trigger_at = each if isinstance(each, tuple) else (each.id, each.trigger_at)
            try:
                self.update(given, trigger_at)
                done.append(given)
            except ValueError as error:
                errors.append(ScheduledWorkflowsBulkError(id=given, error=str(error)))
        return ScheduledWorkflowsBulkUpdateResponse(updated_ids=done, errors=errors)

    aio_bulk_update = aio(bulk_update)

    def bulk_delete(
        self,
        *,
        scheduled_ids: Sequence[str] | None = None,
        workflow_id: str | None = None,
        parent_workflow_run_id: str | None = None,
        parent_step_run_id: str | None = None,
        statuses: Sequence[ScheduledRunStatus] | None = None,
        additional_metadata: Mapping[str, str] | None = None,
    ) -> ScheduledWorkflowsBulkDeleteResponse:
        """Delete those with these ids, or all that match the filters and have not started. ValueError where nothing is given."""
        from headrace.clients.models.schedules import (
            ScheduledWorkflowsBulkDeleteResponse,
            ScheduledWorkflowsBulkError,
        )

        filters = (workflow_id, parent_workflow_run_id, parent_step_run_id, statuses, additional_metadata)
        if scheduled_ids is None and all(each is None for each in filters):
            raise ValueError("bulk_delete: give scheduled_ids or at least one filter")
        if scheduled_ids is None:
            parent = parent_workflow_run_id or parent_step_run_id
            found = self._matching(workflow_id, parent, statuses, additional_metadata)
            scheduled_ids = [each.metadata.id for each in found if each.workflow_run_status == "SCHEDULED"]
        done: builtins.list[str] = []
        errors: builtins.list[ScheduledWorkflowsBulkError] = []
        for given in scheduled_ids:
            try:
                self.delete(given)
                done.append(given)
            except ValueError as error:
                errors.append(ScheduledWorkflowsBulkError(id=given, error=str(error)))
        return ScheduledWorkflowsBulkDeleteResponse(deleted_ids=done, errors=errors)

    aio_bulk_delete = aio(bulk_delete)

    # ---- reading

    def _matching(
        self,
        workflow_id: str | None,
        parent: str | None,
        statuses: Iterable[str] | None,
        metadata: Mapping[str, str] | None,
    ) -> builtins.list[ScheduledWorkflows]:
        from headrace.clients.models import ScheduledRunStatus

        wanted = among(statuses, ScheduledRunStatus, "statuses")
        name = workflow_name(self._app, workflow_id) if workflow_id is not None else None
        asked = dict(pairs(metadata))
        if parent is not None:
            asked["hatchet__parent_workflow_run_id"] = parent
        found = [
            each
            for each in list_scheduled(self._app.engine)
            if self._is_ours(each)
            and name in (None, each.workflow)
            and all(str(each.metadata.get(key)) == str(value) for key, value in asked.items())
        ]
        return [
            each for each in self._show(found) if wanted is None or str(each.workflow_run_status) in wanted
        ]

    def _show(self, found: Sequence[ScheduledRun]) -> builtins.list[ScheduledWorkflows]:
        """With the status of the runs that have started: one batch of reads."""
        started = [each.run_id for each in found if each.started]
        records = dict(zip(started, read_many(self._app.engine, started), strict=True)) if started else {}
        return [_shown(each, records.get(each.run_id)) for each in found]

    def _is_ours(self, run: ScheduledRun) -> bool:
        return run.workflow.startswith(self._app.settings.prefix)

    def _find_waiting(self, scheduled_id: str) -> None:
        found = get_scheduled(self._app.engine, scheduled_id)
        if found is None or not self._is_ours(found):
            raise self._none(scheduled_id)
        if found.started or found.problem is not None:
            raise self._started(scheduled_id)

    def _none(self, scheduled_id: str) -> ValueError:
        return ValueError(f"no scheduled run {scheduled_id!r} in stack {self._app.settings.stack!r}")

    def _started(self, scheduled_id: str) -> ValueError:
        return ValueError(
            f"scheduled run {scheduled_id} has started (or was dropped) already: it can be neither moved nor deleted; cancel its run "
            "with hatchet.runs.cancel(workflow_run_id)"
        )


def _shown(run: ScheduledRun, record: RunRecord | None) -> ScheduledWorkflows:
    from headrace.clients.models.resource import APIResourceMeta
    from headrace.clients.models.schedules import ScheduledRunStatus, ScheduledWorkflows

    created = from_epoch_ms(run.created_at_ms)
    status = "FAILED" if run.problem is not None else "PENDING" if run.started else "SCHEDULED"
    if record is not None:
        status = _STATUS[run_status(record)]
    return ScheduledWorkflows(
        metadata=APIResourceMeta(id=run.id, created_at=created, updated_at=created),
        workflow_id=id_of_workflow(run.workflow),
        workflow_name=run.workflow,
        trigger_at=from_epoch_ms(run.due_ms),
        input=json.loads(run.input or "{}"),
        additional_metadata=dict(run.metadata),
        priority=run.priority,
        workflow_run_id=run.run_id,
        workflow_run_name=run.workflow if record is not None else None,
        workflow_run_created_at=from_epoch_ms(record.created_at_ms) if record is not None else None,
        workflow_run_status=ScheduledRunStatus(status),
        problem=run.problem,
    )
