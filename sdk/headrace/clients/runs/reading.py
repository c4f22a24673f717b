"""The reading half of `hatchet.runs`: one run, many runs, results, streams."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from headrace.clients.asked import among, pairs, texts, time_ms
from headrace.clients.naming import App, namespaced
from headrace.clients.pages import span_of
from headrace.core.run.derived.progress import run_status
from headrace.core.run.ids import checked_run_id, split_task_run_id
from headrace.core.run.record import RunStatus
from headrace.errors import RunNotFound
from headrace.triggers.faces import aio
from headrace.triggers.refs import WorkflowRunRef
from headrace.triggers.results import stream
from headrace.triggers.results.outcomes import Outputs

if TYPE_CHECKING:
    import builtins

    from headrace.clients.models.runs import (
        V1TaskSummary,
        V1TaskSummaryList,
        V1WorkflowRunDetails,
        WorkflowRunDetail,
    )
    from headrace.clients.runs.details import Loaded
    from headrace.core.run.record import RunRecord
    from headrace.engine.runs.listing import Wanted

DAY_MS = 86_400_000
EVERY = 2**31


class RunsReading:
    """Reads of runs. Ids are those of runs; where a task run's is given, its run is meant."""

    def __init__(self, app: App) -> None:
        self._app = app

    # ---- one run

    def get(self, workflow_run_id: str) -> V1WorkflowRunDetails:
        """The run with its tasks, its graph and what happened to them. RunNotFound if there is no such run."""
        from headrace.clients.runs.details import run_details

        return run_details(self._load_whole(workflow_run_id))

    aio_get = aio(get)

    def get_details(self, external_id: str) -> WorkflowRunDetail:
        """The run's status, input and tasks by name, strongly consistent. RunNotFound if there is no such run."""
        from headrace.clients.runs.details import run_detail

        return run_detail(self._load(external_id))

    aio_get_details = aio(get_details)

    def get_status(self, workflow_run_id: str) -> RunStatus:
        """The run's status. RunNotFound if there is no such run."""
        return run_status(self._record(workflow_run_id))

    aio_get_status = aio(get_status)

    def get_task_run(self, task_run_id: str) -> V1TaskSummary:
        """One task of a run, by its own id. RunNotFound if there is no such task run (yet)."""
        from headrace.clients.runs.details import task_summary
        from headrace.clients.runs.facts import shown

        loaded = self._load_whole(task_run_id)
        task = split_task_run_id(task_run_id)[1] or loaded.record.plan.tasks[0].name
        if task not in shown(loaded.record):
            raise RunNotFound(task_run_id, "Task run")
        return task_summary(loaded, task)

    aio_get_task_run = aio(get_task_run)

    def get_run_ref(self, workflow_run_id: str) -> WorkflowRunRef:
        """A reference to the run; nothing is read."""
        return WorkflowRunRef(self._app, workflow_run_id)

    def get_result(self, run_id: str) -> Outputs:
        """Wait for the run's end and give `{task: output}`; raises as `run()` does."""
        return self.get_run_ref(run_id).result()

    async def aio_get_result(self, run_id: str) -> Outputs:
        """As `get_result`, with the reading of `aio_result`."""
        return await self.get_run_ref(run_id).aio_result()

    def subscribe_to_stream(self, workflow_run_id: str) -> AsyncIterator[str | bytes]:
        """The chunks that the run's tasks put from now on (`async for`), each task's in order; ends with the run."""
        return stream.subscribe(self._app, workflow_run_id)

    # ---- many runs

    def list(
        self,
        since: datetime | None = None,
        only_tasks: bool = False,
        offset: int | None = None,
        limit: int | None = None,
        statuses: Sequence[RunStatus] | None = None,
        until: datetime | None = None,
        additional_metadata: Mapping[str, str] | None = None,
        workflow_ids: Sequence[str] | None = None,
        worker_id: str | None = None,
        parent_task_external_id: str | None = None,
        triggering_event_external_id: str | None = None,
        include_payloads: bool = True,
    ) -> V1TaskSummaryList:
        """Runs, newest first: those created from `since` (default: a day ago) until `until` (default: now).

        `limit` defaults to 50. `workflow_ids` takes ids or names; by default all workflows of the stack (of this namespace).
        One pair of `additional_metadata` that matches is enough. `only_tasks` lists the tasks of the runs in place of the runs.
        The index that this reads is eventually consistent: a run may be missing for a moment.
        """
        first, size = span_of(offset, limit)
        return self._list(
            offset=first,
            limit=size,
            only_tasks=only_tasks,
            payloads=include_payloads,
            since=since,
            until=until,
            statuses=statuses,
            additional_metadata=additional_metadata,
            workflow_ids=workflow_ids,
            worker_id=worker_id,
            parent_task_external_id=parent_task_external_id,
            triggering_event_external_id=triggering_event_external_id,
        )

    aio_list = aio(list)

    def list_with_pagination(
        self,
        since: datetime | None = None,
        only_tasks: bool = False,
        offset: int | None = None,
        limit: int | None = None,
        statuses: Sequence[RunStatus] | None = None,
        until: datetime | None = None,
        additional_metadata: Mapping[str, str] | None = None,
        workflow_ids: Sequence[str] | None = None,
        worker_id: str | None = None,
        parent_task_external_id: str | None = None,
        triggering_event_external_id: str | None = None,
        include_payloads: bool = True,
    ) -> builtins.list[V1TaskSummary]:
        """As `list`, every page of it: all the rows, or the first `limit` after `offset`."""
        found = self.list(
            since=since,
            only_tasks=only_tasks,
            offset=offset,
            limit=limit if limit is not None else EVERY,
            statuses=statuses,
            until=until,
            additional_metadata=additional_metadata,
            workflow_ids=workflow_ids,
            worker_id=worker_id,
            parent_task_external_id=parent_task_external_id,
            triggering_event_external_id=triggering_event_external_id,
            include_payloads=include_payloads,
        )
        return found.rows

    aio_list_with_pagination = aio(list_with_pagination)

    # ---- within

    def _list(
        self,
        *,
        offset: int,
        limit: int,
        only_tasks: bool,
        payloads: bool,
        look_at: int | None = None,
        **wanted: Any,
    ) -> V1TaskSummaryList:
        """`list`; reads at most `look_at` records, where that is given: a page for people has to come back soon."""
        from headrace.clients.runs.pages import page

        return page(
            self._app.engine,
            self._wanted(**wanted),
            offset=offset,
            limit=limit,
            only_tasks=only_tasks,
            payloads=payloads,
            look_at=look_at,
        )

    def _record(self, given: str) -> RunRecord:
        from headrace.clients.runs.loading import record_of_run

        return record_of_run(
            self._app.engine, split_task_run_id(checked_run_id(given))[0], self._app.settings.prefix
        )

    def _load(self, given: str) -> Loaded:
        from headrace.clients.runs.loading import load

        return load(self._app.engine, split_task_run_id(checked_run_id(given))[0], self._app.settings.prefix)

    def _load_whole(self, given: str) -> Loaded:
        from headrace.clients.runs.loading import load_whole

        return load_whole(
            self._app.engine, split_task_run_id(checked_run_id(given))[0], self._app.settings.prefix
        )

    def _wanted(
        self,
        *,
        since: datetime | None,
        until: datetime | None = None,
        statuses: Sequence[RunStatus] | None = None,
        additional_metadata: Mapping[str, str] | None = None,
        workflow_ids: Sequence[str] | None = None,
        worker_id: str | None = None,
        parent_task_external_id: str | None = None,
        triggering_event_external_id: str | None = None,
    ) -> Wanted:
        from headrace.clients.runs.naming import named
        from headrace.engine.runs.listing import Wanted

        now_ms = self._app.engine.clock.now_ms()
        return Wanted(
            workflows=named(
                self._app, texts(workflow_ids, "workflow_ids") if workflow_ids is not None else None
            ),
            namespace=namespaced(self._app, ""),
            since_ms=time_ms(since, "since", now_ms - DAY_MS),
            until_ms=time_ms(until, "until", now_ms),
            statuses=among(statuses, RunStatus, "statuses"),
            metadata=pairs(additional_metadata) or None,
            worker=worker_id,
            parent=split_task_run_id(parent_task_external_id) if parent_task_external_id else None,
            event=triggering_event_external_id,
        )
