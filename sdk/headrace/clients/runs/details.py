"""A run record, with its payloads, as the models that users read. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime
from typing import Any

from headrace.clients.models.durable import DurableLogEntry
from headrace.clients.models.resource import APIResourceMeta, at
from headrace.clients.models.runs import (
    TaskRunDetail,
    V1TaskSummary,
    V1WorkflowRun,
    V1WorkflowRunDetails,
    V1WorkflowType,
    WorkflowRunDetail,
    WorkflowRunShapeItem,
)
from headrace.clients.runs.facts import display_name, error_text, parent_task, shown
from headrace.clients.runs.history import task_events
from headrace.core.durable.encoding import decode_tail
from headrace.core.durable.log import Entry
from headrace.core.durable.views import operation_views
from headrace.core.run.derived.graph import TaskState
from headrace.core.run.derived.progress import finished_at_ms, public_status, run_status, started_at_ms
from headrace.core.run.ids import task_run_id, workflow_id
from headrace.core.run.owed import ran_on
from headrace.core.run.plans.plan import Json, TaskKind
from headrace.core.run.record import ErrorInfo, RunRecord, RunStatus, TaskStatus
from headrace.core.values import dataclass
from headrace.engine.waits.points import waited_for
from headrace.triggers.results.outcomes import task_error


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A record and its payloads: the run's input, the outputs of its tasks by name, the places of those that are in lines, the logs of
    its durable tasks and, by task and ticket, the errors of earlier attempts that are not in the record."""

    record: RunRecord
    input: Json = None
    outputs: Mapping[str, Any] = field(default_factory=dict)
    places: Mapping[str, int] = field(default_factory=dict)
    logs: Mapping[str, Sequence[Entry]] = field(default_factory=dict)
    errors: Mapping[tuple[str, int], ErrorInfo] = field(default_factory=dict)


def _at(ms: int | None) -> datetime | None:
    return None if ms is None else at(ms)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


# ---------------------------------------------------------------- get_details


def run_detail(loaded: Loaded) -> WorkflowRunDetail:
    """The short form: status, input and the tasks by name."""
    record = loaded.record
    status = run_status(record)
    return WorkflowRunDetail(
        external_id=record.run_id,
        status=status,
        input=_object(loaded.input),
        additional_metadata=dict(record.metadata),
        task_runs={name: _task_detail(loaded, name, state) for name, state in shown(record).items()},
        done=status not in (RunStatus.QUEUED, RunStatus.RUNNING),
    )


def _task_detail(loaded: Loaded, name: str, state: TaskState) -> TaskRunDetail:
    error = task_error(loaded.record, name)
    return TaskRunDetail(
        external_id=task_run_id(loaded.record.plan, loaded.record.run_id, name),
        readable_id=name,
        output=loaded.outputs.get(name),
        error=error.serialize(include_metadata=True) if error is not None else None,
        status=public_status(state.status),
        is_evicted=state.status is TaskStatus.SUSPENDED,
        waits_for=waited_for(state, loaded.record.plan.task(name)),
    )


# ---------------------------------------------------------------- list and get


def _times(record: RunRecord) -> dict[str, Any]:
    started, ended = started_at_ms(record), finished_at_ms(record)
    return {
        "created_at": at(record.created_at_ms),
        "started_at": _at(started),
        "finished_at": _at(ended),
        "duration": ended - started if started is not None and ended is not None else None,
    }


def _meta(run_id: str, created_at_ms: int, updated_at_ms: int | None) -> APIResourceMeta:
    return APIResourceMeta(
        id=run_id, created_at=at(created_at_ms), updated_at=at(updated_at_ms or created_at_ms)
    )


def _output(loaded: Loaded) -> dict[str, Any]:
    """A standalone task's output as it is; a workflow's by task."""
    if not loaded.record.plan.standalone:
        return dict(loaded.outputs)
    return _object(next(iter(loaded.outputs.values()), None))


def _identity(record: RunRecord) -> dict[str, Any]:
    return {
        "type": V1WorkflowType.TASK if record.plan.standalone else V1WorkflowType.DAG,
        "workflow_name": record.plan.workflow,
        "workflow_id": workflow_id(record.plan.workflow),
        "workflow_version_id": record.plan.version,
        "workflow_run_external_id": record.run_id,
        "parent_task_external_id": parent_task(record),
        "additional_metadata": dict(record.metadata),
        "priority": record.priority,
    }


def run_summary(loaded: Loaded) -> V1TaskSummary:
    """A run as a row of the list; the tasks of a workflow's run are its `children`."""
    record = loaded.record
    states = [state for state in shown(record).values() if state.row is not None]
    rows = [state.row for state in states if state.row is not None]
    only = rows[0] if record.plan.standalone and rows else None
    updated = max([max(row.finished_at_ms or 0, row.started_at_ms or 0) for row in rows], default=0)
    retries = only.retry_count if only is not None else 0
    return V1TaskSummary(
        metadata=_meta(record.run_id, record.created_at_ms, updated),
        status=run_status(record),
        display_name=display_name(record.plan.workflow, record.created_at_ms),
        task_external_id=record.run_id,
        **_identity(record),
        **_times(record),
        input=_object(loaded.input),
        output=_output(loaded),
        error_message=error_text(record),
        retry_count=retries,
        attempt=retries + 1,
        is_evicted=only is not None and states[0].status is TaskStatus.SUSPENDED,
        worker_id=ran_on(record, next(iter(record.tasks))) if only is not None else None,
        children=[] if record.plan.standalone else task_summaries(loaded),
        num_spawned_children=sum(row.spawned for row in rows),
    )


def task_summaries(loaded: Loaded) -> list[V1TaskSummary]:
    """The tasks of a run that are due or were, in plan order."""
    return [task_summary(loaded, name) for name in shown(loaded.record)]


def task_summary(loaded: Loaded, task: str) -> V1TaskSummary:
    """One task of a run; KeyError if the run has no such task (yet)."""
    record, state = loaded.record, shown(loaded.record)[task]
    row, error = state.row, task_error(loaded.record, task)
    created = (row.queued_at_ms if row is not None else None) or state.due_since_ms or record.created_at_ms
    started = row.begun_at_ms if row is not None else None
    if row is not None and row.first_started_at_ms is not None:
        is_root = not record.plan.task(task).parents
        created = min(created, record.starts_at_ms if is_root else row.first_started_at_ms)
    ended = (
        ((row.finished_at_ms if row is not None else None) or state.due_since_ms) if state.settled else None
    )
    external_id = task_run_id(record.plan, record.run_id, task)
    retries = row.retry_count if row is not None else 0
    return V1TaskSummary(
        metadata=_meta(external_id, created, ended or started),
        status=public_status(state.status),
        display_name=display_name(task, created),
        task_external_id=external_id,
        task_name=task,
        action_id=f"{record.plan.workflow.lower()}:{task.lower()}",
        **_identity(record),
        created_at=at(created),
        started_at=_at(started),
        finished_at=_at(ended),
        duration=ended - started if started is not None and ended is not None else None,
        input=_object(loaded.input),
        output=_object(loaded.outputs.get(task)),
        error_message=str(error) if error is not None else None,
        retry_count=retries,
        attempt=retries + 1,
        worker_id=ran_on(record, task),
        num_spawned_children=row.spawned if row is not None else 0,
        is_evicted=state.status is TaskStatus.SUSPENDED,
        waits_for=waited_for(state, record.plan.task(task)),
        place_in_line=loaded.places.get(task),
        durable_log=_durable_log(task, loaded) if task in loaded.logs else None,
    )


def _durable_log(task: str, loaded: Loaded) -> list[DurableLogEntry]:
    branches = decode_tail(loaded.record.tasks[task].log).branches
    return [
        DurableLogEntry(
            task_name=task,
            node_id=each.node_id,
            branch_id=each.branch_id,
            kind=each.kind,
            asked=each.asked,
            state=each.state,
            order=each.order,
            result=each.result,
            child_run_id=each.child_run_id,
        )
        for each in operation_views(loaded.logs[task], branches)
    ]


def run_details(loaded: Loaded) -> V1WorkflowRunDetails:
    """The long form: the run, its tasks, its graph and what happened."""
    record = loaded.record
    run = run_summary(loaded)
    return V1WorkflowRunDetails(
        run=V1WorkflowRun(
            metadata=run.metadata,
            status=run.status,
            display_name=run.display_name,
            workflow_id=run.workflow_id,
            workflow_version_id=run.workflow_version_id,
            **_times(record),
            input=run.input,
            output=run.output,
            error_message=run.error_message,
            additional_metadata=run.additional_metadata,
            parent_task_external_id=run.parent_task_external_id,
        ),
        task_events=task_events(record, loaded.errors),
        shape=shape(record),
        tasks=task_summaries(loaded),
    )


def shape(record: RunRecord) -> list[WorkflowRunShapeItem]:
    """The graph of the run's tasks; the on-failure task, which has no place in it, is left out."""
    normal = [task for task in record.plan.tasks if task.kind is TaskKind.NORMAL]
    return [
        WorkflowRunShapeItem(
            step_id=task.name,
            task_name=task.name,
            task_external_id=task_run_id(record.plan, record.run_id, task.name),
            children_step_ids=[other.name for other in normal if task.name in other.parents],
        )
        for task in normal
    ]
