"""`hatchet.workflows`: what workflows there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from headrace.clients.faces import aio
from headrace.clients.naming import App, namespaced, plan_of, workflow_names
from headrace.core.ids import workflow_id
from headrace.errors import NotSupportedError

if TYPE_CHECKING:
    from headrace.core.plan import RunPlan
    from headrace.models import Workflow, WorkflowList, WorkflowVersion


class WorkflowsClient:
    """The workflows of this app and, by name, those that others registered in the stack."""

    def __init__(self, app: App) -> None:
        self._app = app

    def list(
        self, workflow_name: str | None = None, limit: int | None = None, offset: int | None = None
    ) -> WorkflowList:
        """The app's workflows, by name. `workflow_name` asks for one, which may be another app's in the same stack."""
        from headrace.clients.naming import find_plan
        from headrace.models import PaginationResponse, WorkflowList

        if workflow_name is not None:
            names = [namespaced(self._app, workflow_name)]
        else:
            names = sorted(self._app.workflows_by_name)
        first = offset or 0
        wanted = names[first : None if limit is None else first + limit]
        plans = [plan for name in wanted if (plan := find_plan(self._app, name)) is not None]
        return WorkflowList(
            rows=[_workflow(plan) for plan in plans], pagination=PaginationResponse(current_page=1)
        )

    aio_list = aio(list)

    def get(self, workflow_id: str) -> Workflow:
        """A workflow by its id or name. ValueError if there is none."""
        return _workflow(self._plan(workflow_id))

    aio_get = aio(get)

    def get_version(self, workflow_id: str, version: str | None = None) -> WorkflowVersion:
        """The version that runs start with now. ValueError for any other: runs carry theirs, nothing else keeps them."""
        plan = self._plan(workflow_id)
        if version is not None and version != plan.version:
            raise ValueError(f"workflow {plan.workflow} is at version {plan.version}; {version} is not kept")
        return _version(plan)

    aio_get_version = aio(get_version)

    def delete(self, workflow_id: str) -> NoReturn:
        """Not supported: take it out of its worker and deploy."""
        raise NotSupportedError("a workflow is deleted by deploying its worker without it")

    aio_delete = aio(delete)

    def pause(self, workflow_id: str) -> NoReturn:
        """Not supported."""
        raise NotSupportedError("workflows cannot be paused")

    aio_pause = aio(pause)

    def unpause(self, workflow_id: str) -> NoReturn:
        """Not supported."""
        raise NotSupportedError("workflows cannot be paused")

    aio_unpause = aio(unpause)

    def _plan(self, given: str) -> RunPlan:
        return plan_of(self._app, workflow_names(self._app, [given])[0])


def _version(plan: RunPlan) -> WorkflowVersion:
    from headrace.models import ResourceId, WorkflowVersion

    return WorkflowVersion(
        metadata=ResourceId(id=f"{workflow_id(plan.workflow)}:{plan.version}"),
        version=plan.version,
        workflow_id=workflow_id(plan.workflow),
        tasks=[task.name for task in plan.tasks],
    )


def _workflow(plan: RunPlan) -> Workflow:
    from headrace.models import ResourceId, Workflow

    return Workflow(
        metadata=ResourceId(id=workflow_id(plan.workflow)), name=plan.workflow, versions=[_version(plan)]
    )
