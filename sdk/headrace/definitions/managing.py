"""What can be done with a deployed workflow by its object: pause it, schedule it, list its runs. Each is a client's method, by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from headrace.options.priority import Priority
from headrace.triggers.children import current, handed_down
from headrace.triggers.faces import aio
from headrace.triggers.options import ScheduleTriggerWorkflowOptions
from headrace.triggers.triggered import Triggered
from headrace.values.codec import input_text

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from headrace.clients.models.catalog import WorkflowVersion
    from headrace.clients.models.events import V1Filter
    from headrace.clients.models.runs import V1TaskSummary
    from headrace.clients.models.schedules import CronWorkflows
    from headrace.core.run.record import RunStatus

I = TypeVar("I")  # noqa: E741  # the input
R = TypeVar("R")

PausedQueueBehavior = Literal["QUEUE", "DROP"]
"""What becomes of the runs that crons and schedules would start in a paused workflow."""


class Managed(Triggered[I, R]):
    """A workflow that the stack knows, as far as managing it goes."""

    @property
    def id(self) -> str:
        raise NotImplementedError

    # ---- pausing

    def pause(
        self,
        queue_ttl: timedelta,
        paused_workflow_cron_run_queue_behavior: PausedQueueBehavior = "QUEUE",
        paused_workflow_scheduled_run_queue_behavior: PausedQueueBehavior = "QUEUE",
    ) -> None:
        """Keep new runs QUEUED until `unpause`; each is cancelled after `queue_ttl`. "DROP": crons, schedules start none."""
        self.app.workflows.pause(
            self.id,
            queue_ttl=queue_ttl,
            paused_workflow_cron_run_queue_behavior=paused_workflow_cron_run_queue_behavior,
            paused_workflow_scheduled_run_queue_behavior=paused_workflow_scheduled_run_queue_behavior,
        )

    aio_pause = aio(pause)

    def unpause(self) -> None:
        """Let runs start again, those that were kept too."""
        self.app.workflows.unpause(self.id)

    aio_unpause = aio(unpause)

    # ---- at a time

    def schedule(
        self,
        run_at: datetime,
        input: I | None = None,
        options: ScheduleTriggerWorkflowOptions | None = None,
        child_key: str | None = None,
        additional_metadata: Mapping[str, Any] | None = None,
        priority: Priority | int | None = None,
    ) -> WorkflowVersion:
        """Start one run at `run_at` (naive: UTC, with a warning), by the definition that is deployed then. What was scheduled is in
        `scheduled_workflows` of what is returned. Inside a task the run is no child, but its metadata names the task's run."""
        given = options or ScheduleTriggerWorkflowOptions()
        spawner = current.get()
        text = input_text(input)
        metadata = {
            **self.default_additional_metadata,
            **(handed_down(spawner) if spawner is not None else {}),
            **given.additional_metadata,
            **(additional_metadata or {}),
        }
        return self.app.scheduled.schedule(
            self.app.settings.apply_namespace(self.name, given.namespace),
            run_at,
            json.loads(text) if text is not None else {},
            metadata,
            priority if priority is not None else given.priority,
        )

    aio_schedule = aio(schedule)

    def create_cron(
        self,
        cron_name: str,
        expression: str,
        input: I | None = None,
        additional_metadata: Mapping[str, Any] | None = None,
        priority: Priority | int | None = None,
        timezone: str | None = None,
    ) -> CronWorkflows:
        """Start a run whenever the expression is due: see `hatchet.cron.create`."""
        text = input_text(input)
        return self.app.cron.create(
            self.name,
            cron_name,
            expression,
            json.loads(text) if text is not None else {},
            {**self.default_additional_metadata, **(additional_metadata or {})},
            priority,
            timezone,
        )

    aio_create_cron = aio(create_cron)

    # ---- filters, runs, tools

    def create_filter(
        self, expression: str, scope: str, payload: Mapping[str, Any] | None = None
    ) -> V1Filter:
        """Let events of `scope` for which the CEL `expression` is true start this workflow: see `hatchet.filters.create`."""
        return self.app.filters.create(self.name, expression, scope, payload)

    aio_create_filter = aio(create_filter)

    def list_runs(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = 100,
        offset: int | None = None,
        statuses: Sequence[RunStatus] | None = None,
        additional_metadata: Mapping[str, str] | None = None,
        worker_id: str | None = None,
        parent_task_external_id: str | None = None,
        only_tasks: bool = False,
        triggering_event_external_id: str | None = None,
    ) -> list[V1TaskSummary]:
        """This workflow's runs, newest first: those created from `since` (default: a day ago) until `until` (default: now)."""
        return self.app.runs.list(
            since=since,
            until=until,
            limit=limit,
            offset=offset,
            statuses=statuses,
            additional_metadata=additional_metadata,
            worker_id=worker_id,
            parent_task_external_id=parent_task_external_id,
            only_tasks=only_tasks,
            triggering_event_external_id=triggering_event_external_id,
            workflow_ids=[self.id],
        ).rows

    aio_list_runs = aio(list_runs)

    def delete(self) -> None:
        """See `hatchet.workflows.delete`: only what no worker registers any more can be deleted."""
        self.app.workflows.delete(self.id)

    aio_delete = aio(delete)
