"""Runs and tasks as users read them, and which of them a call means."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field, model_validator

from headrace.clients.models.durable import DurableLogEntry
from headrace.clients.models.resource import APIResourceMeta, Model, Object, PaginationResponse
from headrace.clients.models.task_events import V1TaskEvent
from headrace.core.run.record import RunStatus

V1TaskStatus = RunStatus
"""The status of a run or a task: QUEUED, RUNNING, COMPLETED, CANCELLED, FAILED."""


class V1WorkflowType(StrEnum):
    """Whether a run is of a workflow or of a standalone task."""

    DAG = "DAG"
    TASK = "TASK"


class V1TaskSummary(Model):
    """A run, or one task of a run. `duration` in milliseconds; `output` of a workflow's run is `{task: output}`."""

    metadata: APIResourceMeta
    type: V1WorkflowType
    status: RunStatus
    display_name: str
    workflow_name: str
    workflow_id: str
    workflow_version_id: str
    workflow_run_external_id: str
    task_external_id: str
    parent_task_external_id: str | None = None
    action_id: str | None = None
    task_name: str | None = None
    worker_id: str | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration: int | None = None
    input: Object = Field(default_factory=dict)
    output: Object = Field(default_factory=dict)
    error_message: str | None = None
    additional_metadata: Object = Field(default_factory=dict)
    priority: int = 1
    retry_count: int = 0
    attempt: int = 1
    children: list[V1TaskSummary] = Field(default_factory=list)
    num_spawned_children: int = 0
    is_evicted: bool = False
    tenant_id: str = ""
    waits_for: str | None = None
    """What a task that is QUEUED, or evicted, waits for where that is not its worker: a place of a key, units of a rate limit, its children."""
    place_in_line: int | None = None
    """Its place there, from 1: in `runs.get` and `get_task_run` only."""
    durable_log: list[DurableLogEntry] | None = None
    """What a durable task has asked for so far, by node: in `runs.get` and `get_task_run` only. None: it is not durable, or has not begun."""


class V1TaskSummaryList(Model):
    """A page of runs, newest first. `searched_until`: runs created before were not looked at; None where all were."""

    pagination: PaginationResponse
    rows: list[V1TaskSummary]
    searched_until: datetime | None = None


class V1WorkflowRun(Model):
    """A run as a whole. `duration` in milliseconds."""

    metadata: APIResourceMeta
    status: RunStatus
    display_name: str
    workflow_id: str
    workflow_version_id: str
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration: int | None = None
    input: Object = Field(default_factory=dict)
    output: Object = Field(default_factory=dict)
    error_message: str | None = None
    additional_metadata: Object = Field(default_factory=dict)
    parent_task_external_id: str | None = None
    tenant_id: str = ""


class WorkflowRunShapeItem(Model):
    """A node of the run's graph: a task and the tasks that wait for it (`step_id` is the task's name)."""

    step_id: str
    task_name: str
    task_external_id: str
    children_step_ids: list[str]


class V1WorkflowRunDetails(Model):
    """A run with its tasks, its graph and what happened to them, in order."""

    run: V1WorkflowRun
    task_events: list[V1TaskEvent]
    shape: list[WorkflowRunShapeItem]
    tasks: list[V1TaskSummary]
    workflow_config: Object | None = None

    @property
    def durable_log(self) -> list[DurableLogEntry]:
        """The logs of its durable tasks, one after the other; each task's own is `durable_log` of that task."""
        return [entry for task in self.tasks for entry in task.durable_log or ()]


class TaskRunDetail(Model):
    """One task of a run; `error` is text that `TaskRunError.deserialize` reads."""

    external_id: str
    readable_id: str
    output: Object | None = None
    error: str | None = None
    status: RunStatus
    is_evicted: bool = False
    waits_for: str | None = None


class WorkflowRunDetail(Model):
    """A run and those of its tasks that are due or were, by name."""

    external_id: str
    status: RunStatus
    input: Object | None = None
    additional_metadata: Object | None = None
    task_runs: dict[str, TaskRunDetail]
    done: bool = False


class RunFilter(Model):
    """Which runs: those created from `since` until `until` (None: now); None elsewhere means any. Pairs are ORed."""

    since: datetime
    until: datetime | None = None
    statuses: list[RunStatus] | None = None
    workflow_ids: list[str] | None = None
    additional_metadata: dict[str, str] | None = None


class BulkCancelReplayOpts(Model):
    """Runs to cancel or replay: by `ids` or by `filters`, exactly one of them."""

    ids: list[str] | None = None
    filters: RunFilter | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> BulkCancelReplayOpts:
        if (self.ids is None) == (self.filters is None):
            raise ValueError("give either ids or filters, not both and not neither")
        return self
