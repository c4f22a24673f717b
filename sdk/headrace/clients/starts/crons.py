"""`hatchet.cron`: crons that are created at run time, and those that workflows declare."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headrace.clients.asked import pairs
from headrace.clients.naming import App, namespaced, workflow_name
from headrace.clients.pages import page_of
from headrace.core.run.ids import workflow_id as id_of_workflow
from headrace.core.schedules.cron import parse_cron
from headrace.engine.clock.crons import NEVER_MS, CronJob, create_cron, delete_cron, get_cron, list_crons
from headrace.errors import DefinitionError
from headrace.options.priority import check_priority
from headrace.options.times import from_epoch_ms
from headrace.triggers.definition import found_here
from headrace.triggers.faces import aio
from headrace.values.codec import input_text, metadata_of

if TYPE_CHECKING:
    from headrace.clients.models.schedules import CronWorkflows, CronWorkflowsList


class CronClient:
    """Crons: every method has an `aio_` twin that does not block the event loop."""

    def __init__(self, app: App) -> None:
        self._app = app

    def create(
        self,
        workflow_name: str,
        cron_name: str,
        expression: str,
        input: Mapping[str, Any] | None = None,
        additional_metadata: Mapping[str, Any] | None = None,
        priority: int | None = None,
        timezone: str | None = None,
    ) -> CronWorkflows:
        """Start a run of a workflow whenever the expression is due: 5 fields, or 6 with seconds first, or an alias such as @daily.

        In UTC, unless `timezone` names another one ("Europe/Berlin"). It fires from now on, also right after this call. ValueError where
        the workflow is not in the stack; DefinitionError for an expression that is wrong or never due, and where there is a cron of that
        name and expression.
        """
        name = namespaced(self._app, workflow_name)
        where = f"cron {cron_name!r} of workflow {name}"
        if not isinstance(cron_name, str) or not cron_name:
            raise DefinitionError(f"{where}: cron_name is {cron_name!r}: give it a name")
        cron = parse_cron(expression, where, timezone)
        if priority is not None:
            check_priority(priority, f"{where}: priority")
        found = found_here(self._app, name, "a cron")
        job = CronJob(
            workflow=name,
            cron=cron,
            name=cron_name,
            input=input_text(input),
            metadata=metadata_of(additional_metadata),
            priority=int(priority) if priority is not None else None,
            worker=found.published.plan.tasks[0].worker,
        )
        made = create_cron(self._app.engine, job)
        if made is None:
            raise DefinitionError(
                f"{where}: there is a cron of that name with the expression {str(cron)!r}: delete it first ({job.id}), or give another name"
            )
        return _shown(made)

    aio_create = aio(create)

    def get(self, cron_id: str) -> CronWorkflows:
        """A cron by its id. ValueError if there is none."""
        found = get_cron(self._app.engine, cron_id)
        if found is None or not self._is_ours(found):
            raise ValueError(f"no cron {cron_id!r} in stack {self._app.settings.stack!r}")
        return _shown(found)

    aio_get = aio(get)

    def delete(self, cron_id: str) -> None:
        """Forget a cron: it starts nothing from now on. Deleting again is harmless. DefinitionError for one that a workflow declares:
        take it out of `on_crons` and deploy."""
        found = get_cron(self._app.engine, cron_id)
        if found is None or not self._is_ours(found):
            return
        if found.declared:
            raise DefinitionError(
                f"cron {found.cron} is declared by workflow {found.workflow}: take it out of on_crons and deploy"
            )
        delete_cron(self._app.engine, cron_id)

    aio_delete = aio(delete)

    def list(
        self,
        offset: int | None = None,
        limit: int | None = None,
        workflow_id: str | None = None,
        additional_metadata: Mapping[str, str] | None = None,
        order_by_field: str | None = None,
        order_by_direction: str | None = None,
        workflow_name: str | None = None,
        cron_name: str | None = None,
    ) -> CronWorkflowsList:
        """Crons, declared and created, by workflow and name; those that match all that is given. `order_by_field`: "name" or
        "createdAt"; `order_by_direction`: "ASC" or "DESC"."""
        from headrace.clients.models.schedules import CronWorkflowsList

        wanted = workflow_id or workflow_name
        name = _name_of(self._app, wanted) if wanted is not None else None
        asked = pairs(additional_metadata).items()
        found = [
            job
            for job in list_crons(self._app.engine)
            if self._is_ours(job)
            and name in (None, job.workflow)
            and cron_name in (None, job.name)
            and all(str(job.metadata.get(key)) == str(value) for key, value in asked)
        ]
        if order_by_field in ("createdAt", "created_at"):
            found.sort(key=lambda job: (job.created_at_ms, job.id))
        else:
            found.sort(key=lambda job: (job.workflow, job.name, str(job.cron)))
        if (order_by_direction or "").upper() == "DESC":
            found.reverse()
        rows, pagination = page_of(found, offset, limit)
        return CronWorkflowsList(rows=[_shown(job) for job in rows], pagination=pagination)

    aio_list = aio(list)

    def _is_ours(self, job: CronJob) -> bool:
        return job.workflow.startswith(self._app.settings.prefix)


def _name_of(app: App, given: str) -> str:
    return workflow_name(app, given)


def _shown(job: CronJob) -> CronWorkflows:
    from headrace.clients.models.resource import APIResourceMeta
    from headrace.clients.models.schedules import CronWorkflows

    created = from_epoch_ms(job.created_at_ms)
    return CronWorkflows(
        metadata=APIResourceMeta(id=job.id, created_at=created, updated_at=created),
        workflow_id=id_of_workflow(job.workflow),
        workflow_name=job.workflow,
        cron=job.cron.expression,
        name=job.name or None,
        timezone=job.cron.timezone,
        input=json.loads(job.input or "{}"),
        additional_metadata=dict(job.metadata),
        priority=job.priority,
        method="DEFAULT" if job.declared else "API",
        next_at=from_epoch_ms(job.due_ms) if job.due_ms < NEVER_MS else None,
    )
