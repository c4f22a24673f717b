"""`hatchet.workflows`: what workflows there are."""

from __future__ import annotations

import json
from collections.abc import Container
from typing import TYPE_CHECKING, Any, Literal

from headrace.clients.naming import App, namespaced, plan_of, workflow_names
from headrace.clients.pages import span_of
from headrace.core.run.ids import workflow_id
from headrace.engine.catalog.workflows import all_published, forget_workflow, published
from headrace.engine.waits.kinds.pause import Pause, pause, pauses, unpause
from headrace.errors import DefinitionError, NotSupportedError
from headrace.options.durations import Duration, to_ms
from headrace.triggers.definition import found_here
from headrace.triggers.faces import aio

if TYPE_CHECKING:
    from headrace.clients.models.catalog import Workflow, WorkflowList, WorkflowVersion
    from headrace.core.run.plans.plan import RunPlan
    from headrace.engine.engine import Engine


QueueBehavior = Literal["QUEUE", "DROP"]
"""What becomes of the runs that crons and schedules would start in a paused workflow."""


class WorkflowsClient:
    """The workflows of this app and, by name, those that others registered in the stack."""

    def __init__(self, app: App) -> None:
        self._app = app

    def list(
        self, workflow_name: str | None = None, limit: int | None = None, offset: int | None = None
    ) -> WorkflowList:
        """The workflows of the app and of its stack (of this namespace, where one is set), by name. `workflow_name` asks for one."""
        from headrace.clients.models.catalog import WorkflowList
        from headrace.clients.models.resource import PaginationResponse
        from headrace.clients.naming import find_plan

        if workflow_name is not None:
            names = [namespaced(self._app, workflow_name)]
        else:
            space = self._app.settings.prefix
            listed = (name for name in all_published(self._app.engine) if name.startswith(space))
            names = sorted({*self._app._workflows_by_name, *listed})
        first, size = span_of(offset, limit, default=max(1, len(names)))
        wanted = names[first : first + size]
        plans = [plan for name in wanted if (plan := find_plan(self._app, name)) is not None]
        paused = pauses(self._app.engine)
        return WorkflowList(
            rows=[_workflow(plan, paused) for plan in plans], pagination=PaginationResponse(current_page=1)
        )

    aio_list = aio(list)

    def get(self, workflow_id: str) -> Workflow:
        """A workflow by its id or name. ValueError if there is none."""
        plan = self._plan(workflow_id)
        found = _workflow(plan, pauses(self._app.engine))
        return found.model_copy(update={"input_schema": self._input_schema(plan.workflow)})

    aio_get = aio(get)

    def get_version(self, workflow_id: str, version: str | None = None) -> WorkflowVersion:
        """The version that runs start with now. ValueError for any other: runs carry theirs, nothing else keeps them."""
        plan = self._plan(workflow_id)
        if version is not None and version != plan.version:
            raise ValueError(f"workflow {plan.workflow} is at version {plan.version}; {version} is not kept")
        return _version(plan)

    aio_get_version = aio(get_version)

    def delete(self, workflow_id: str) -> None:
        """Take a workflow out of the stack, by its id or name, that no worker has any more: no run of it starts from then on, its crons,
        scheduled runs and filters go. Its runs stay until their retention is over, and can be read.

        NotSupportedError while a function that is deployed, or a process that is alive, registers it: deploy, or stop, that first.
        ZoneError for a workflow of another zone, whose workers are not known here. ValueError where there is no such workflow.
        """
        engine, name = self._app.engine, self._plan(workflow_id).workflow
        found_here(self._app, name, "the deletion")
        worker = _registered_by(engine, name)
        if worker is not None:
            raise NotSupportedError(
                f"workflow {name} is registered by worker {worker}: deploy the worker without it, or stop its processes, and delete it then"
            )
        _delete_what_starts(engine, name)
        forget_workflow(engine, name)  # last: until then the call can be made again

    aio_delete = aio(delete)

    def pause(
        self,
        workflow_id: str,
        queue_ttl: Duration,
        paused_workflow_cron_run_queue_behavior: QueueBehavior = "QUEUE",
        paused_workflow_scheduled_run_queue_behavior: QueueBehavior = "QUEUE",
    ) -> None:
        """Hold new runs of a workflow, by its id or name, back until `unpause`: each stays QUEUED, and is CANCELLED once it has
        waited for `queue_ttl`. Runs that have started go on. Pausing again changes how.

        "DROP": crons, or schedules, start no run in the meantime. Processes know of it within 10 seconds. DefinitionError for a
        `queue_ttl` that is not above 0 or another behavior; ValueError where there is no such workflow.
        """
        name = self._plan(workflow_id).workflow
        found_here(self._app, name, "a pause")
        ttl_ms = to_ms(queue_ttl, f"workflow {name}: queue_ttl")
        if ttl_ms <= 0:
            raise DefinitionError(f"workflow {name}: queue_ttl is {queue_ttl!r}: give a time above 0")
        given = {
            "paused_workflow_cron_run_queue_behavior": paused_workflow_cron_run_queue_behavior,
            "paused_workflow_scheduled_run_queue_behavior": paused_workflow_scheduled_run_queue_behavior,
        }
        for option, value in given.items():
            if value not in ("QUEUE", "DROP"):
                raise DefinitionError(f"workflow {name}: {option} is {value!r}: give 'QUEUE' or 'DROP'")
        crons, schedules = given.values()
        pause(self._app.engine, name, Pause(queue_ttl_ms=ttl_ms, crons=crons, schedules=schedules))

    aio_pause = aio(pause)

    def unpause(self, workflow_id: str) -> None:
        """Let runs of a workflow, by its id or name, start again: those that wait, too, within seconds.

        A workflow that is not paused stays as it is. ValueError where there is none.
        """
        name = self._plan(workflow_id).workflow
        found_here(self._app, name, "a pause")
        unpause(self._app.engine, name)

    aio_unpause = aio(unpause)

    def _input_schema(self, name: str) -> dict[str, Any] | None:
        mine = self._app._workflows_by_name.get(name)
        stored = published(self._app.engine, name) if mine is None else None
        text = (
            mine.input_schema() if mine is not None else stored.input_schema if stored is not None else None
        )
        return json.loads(text) if text else None

    def _plan(self, given: str) -> RunPlan:
        [name] = workflow_names(self._app, [given])
        return plan_of(self._app, name)


def _registered_by(engine: Engine, workflow: str) -> str | None:
    """The worker that would register the workflow again: one with a function, or with a process that is alive."""
    from headrace.engine.catalog.workers import declared, live

    found = [worker for worker in declared(engine) if workflow in worker.workflows]
    alive = {process.worker for process in live(engine)} if any(worker.process for worker in found) else ()
    return next((each.worker for each in found if not each.process or each.worker in alive), None)


def _delete_what_starts(engine: Engine, workflow: str) -> None:
    """Its crons, declared and created, the runs that are scheduled of it, and the filters that were created."""
    from headrace.engine.clock.crons import delete_cron, list_crons
    from headrace.engine.clock.scheduled import delete_scheduled, list_scheduled
    from headrace.engine.events import filters

    for job in list_crons(engine):
        if job.workflow == workflow:
            delete_cron(engine, job.id)
    for run in list_scheduled(engine):
        if run.workflow == workflow:
            delete_scheduled(engine, run.id)
    for each in filters.all_filters(engine):
        if each.workflow == workflow and not each.declared:
            filters.delete(engine, each)


def _version(plan: RunPlan) -> WorkflowVersion:
    from headrace.clients.models.catalog import WorkflowVersion
    from headrace.clients.models.resource import ResourceId

    return WorkflowVersion(
        metadata=ResourceId(id=f"{workflow_id(plan.workflow)}:{plan.version}"),
        version=plan.version,
        workflow_id=workflow_id(plan.workflow),
        tasks=[task.name for task in plan.tasks],
    )


def _workflow(plan: RunPlan, paused: Container[str]) -> Workflow:
    from headrace.clients.models.catalog import Workflow
    from headrace.clients.models.resource import ResourceId

    return Workflow(
        metadata=ResourceId(id=workflow_id(plan.workflow)),
        name=plan.workflow,
        versions=[_version(plan)],
        is_paused=plan.workflow in paused,
    )
