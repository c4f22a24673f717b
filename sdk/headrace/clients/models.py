"""What the feature clients give and take: runs, tasks, events and lines as users read them.

The names and fields are Hatchet's. Built by `headrace.clients.runs.details`; nothing of a worker's start needs this module.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from headrace.core.durable.views import OperationKind, OperationState
from headrace.core.run.record import RunStatus

V1TaskStatus = RunStatus
"""The status of a run or a task: QUEUED, RUNNING, COMPLETED, CANCELLED, FAILED."""

Object = dict[str, Any]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, populate_by_name=True)


class V1WorkflowType(StrEnum):
    """Whether a run is of a workflow or of a standalone task."""

    DAG = "DAG"
    TASK = "TASK"


class APIResourceMeta(_Model):
    """The identity of a resource."""

    id: str
    created_at: datetime
    updated_at: datetime


class PaginationResponse(_Model):
    """Where a page stands among the others, from 1; `next_page` is None at the end, `num_pages` None where unknown."""

    current_page: int | None = None
    next_page: int | None = None
    num_pages: int | None = None


class DurableLogEntry(_Model):
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


class V1BranchDurableTaskResponse(_Model):
    """What `runs.reset_durable_task` made: the task goes on with branch `branch_id` of its log, which begins at `node_id`."""

    task_external_id: str
    node_id: int
    branch_id: int


class V1RestoreTaskResponse(_Model):
    """What `runs.restore_task` did: `requeued` is False where the task is not evicted, so nothing was to do."""

    requeued: bool


class V1TaskSummary(_Model):
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


class V1TaskSummaryList(_Model):
    """A page of runs, newest first. `searched_until`: runs created before were not looked at; None where all were."""

    pagination: PaginationResponse
    rows: list[V1TaskSummary]
    searched_until: datetime | None = None


class V1TaskEventType(StrEnum):
    """What can happen to a task."""

    CREATED = "CREATED"
    QUEUED = "QUEUED"
    ASSIGNED = "ASSIGNED"
    SENT_TO_WORKER = "SENT_TO_WORKER"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    STARTED = "STARTED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    RETRYING = "RETRYING"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"
    REASSIGNED = "REASSIGNED"
    SKIPPED = "SKIPPED"
    SLOT_RELEASED = "SLOT_RELEASED"
    TIMEOUT_REFRESHED = "TIMEOUT_REFRESHED"
    RETRIED_BY_USER = "RETRIED_BY_USER"
    REQUEUED_NO_WORKER = "REQUEUED_NO_WORKER"
    REQUEUED_RATE_LIMIT = "REQUEUED_RATE_LIMIT"
    RATE_LIMIT_ERROR = "RATE_LIMIT_ERROR"
    SCHEDULING_TIMED_OUT = "SCHEDULING_TIMED_OUT"
    COULD_NOT_SEND_TO_WORKER = "COULD_NOT_SEND_TO_WORKER"
    WAITING_FOR_BATCH = "WAITING_FOR_BATCH"
    BATCH_FLUSHED = "BATCH_FLUSHED"
    DURABLE_EVICTED = "DURABLE_EVICTED"
    DURABLE_RESTORING = "DURABLE_RESTORING"


class V1TaskEvent(_Model):
    """One thing that happened to a task."""

    id: int
    task_id: str
    timestamp: datetime
    event_type: V1TaskEventType
    message: str = ""
    error_message: str | None = None
    output: str | None = None
    worker_id: str | None = None
    task_display_name: str | None = None
    retry_count: int = 0
    attempt: int = 1


class V1WorkflowRun(_Model):
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


class WorkflowRunShapeItem(_Model):
    """A node of the run's graph: a task and the tasks that wait for it (`step_id` is the task's name)."""

    step_id: str
    task_name: str
    task_external_id: str
    children_step_ids: list[str]


class V1WorkflowRunDetails(_Model):
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


class TaskRunDetail(_Model):
    """One task of a run; `error` is text that `TaskRunError.deserialize` reads."""

    external_id: str
    readable_id: str
    output: Object | None = None
    error: str | None = None
    status: RunStatus
    is_evicted: bool = False
    waits_for: str | None = None


class WorkflowRunDetail(_Model):
    """A run and those of its tasks that are due or were, by name."""

    external_id: str
    status: RunStatus
    input: Object | None = None
    additional_metadata: Object | None = None
    task_runs: dict[str, TaskRunDetail]
    done: bool = False


class V1LogLine(_Model):
    """A line that a task logged."""

    created_at: datetime
    message: str
    level: str | None = None
    retry_count: int = 0
    attempt: int = 1
    metadata: Object = Field(default_factory=dict)


class V1LogLineList(_Model):
    """A task's log lines, oldest first."""

    pagination: PaginationResponse
    rows: list[V1LogLine]


class ResourceId(_Model):
    """The identity of what has no history: a workflow, a worker."""

    id: str


class WorkflowVersion(_Model):
    """A version of a workflow: its tasks by name, parents first."""

    metadata: ResourceId
    version: str
    workflow_id: str
    tasks: list[str]
    scheduled_workflows: list[ScheduledWorkflows] = Field(default_factory=list)
    """What `workflow.schedule` has just scheduled."""


class ScheduledRunStatus(StrEnum):
    """SCHEDULED: not due yet; afterwards its run's status. FAILED, too, where the run could not be started."""

    SCHEDULED = "SCHEDULED"
    QUEUED = "QUEUED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class ScheduledWorkflows(_Model):
    """A scheduled run. `workflow_run_id`: the id that its run has, or will have. `problem`: why it could not be started."""

    metadata: APIResourceMeta
    tenant_id: str = ""
    workflow_version_id: str = ""
    workflow_id: str
    workflow_name: str
    trigger_at: datetime
    input: Object = Field(default_factory=dict)
    additional_metadata: Object = Field(default_factory=dict)
    priority: int | None = None
    method: str = "API"
    workflow_run_id: str
    workflow_run_name: str | None = None
    workflow_run_created_at: datetime | None = None
    workflow_run_status: ScheduledRunStatus = ScheduledRunStatus.SCHEDULED
    problem: str | None = None


class ScheduledWorkflowsList(_Model):
    """Scheduled runs, and where this page stands among the others."""

    pagination: PaginationResponse
    rows: list[ScheduledWorkflows]


class ScheduledRunBulkUpdateItem(_Model):
    """One scheduled run to move to another time."""

    id: str
    trigger_at: datetime


class ScheduledWorkflowsBulkError(_Model):
    """Why one of many was left as it is."""

    id: str
    error: str


class ScheduledWorkflowsBulkUpdateResponse(_Model):
    """Which were moved, and why others were not."""

    updated_ids: list[str]
    errors: list[ScheduledWorkflowsBulkError]


class ScheduledWorkflowsBulkDeleteResponse(_Model):
    """Which were deleted, and why others were not."""

    deleted_ids: list[str]
    errors: list[ScheduledWorkflowsBulkError]


class CronWorkflows(_Model):
    """A cron. `method`: DEFAULT where the workflow declares it, API where it was created. `timezone`, `next_at`: ours."""

    metadata: APIResourceMeta
    tenant_id: str = ""
    workflow_version_id: str = ""
    workflow_id: str
    workflow_name: str
    cron: str
    name: str | None = None
    timezone: str = "UTC"
    input: Object = Field(default_factory=dict)
    additional_metadata: Object = Field(default_factory=dict)
    priority: int | None = None
    enabled: bool = True
    method: str = "API"
    next_at: datetime | None = None


class CronWorkflowsList(_Model):
    """Crons, and where this page stands among the others."""

    pagination: PaginationResponse
    rows: list[CronWorkflows]


class Workflow(_Model):
    """A workflow; `versions` holds the one that runs start with. `input_schema`: the JSON schema of its input, where `get` knows one."""

    metadata: ResourceId
    name: str
    versions: list[WorkflowVersion]
    is_paused: bool = False
    tenant_id: str = ""
    input_schema: dict[str, Any] | None = None


class WorkflowList(_Model):
    """Workflows by name."""

    pagination: PaginationResponse
    rows: list[Workflow]


class WorkerInfo(_Model):
    """A worker as it is declared; `status` is ACTIVE, PAUSED or INACTIVE, `slots` is None where it is not capped."""

    metadata: ResourceId
    name: str
    status: str = "ACTIVE"
    slots: int | None = None
    labels: Object = Field(default_factory=dict)
    workflows: list[str] = Field(default_factory=list)
    """The workflows that it runs."""


class UpdateWorkerRequest(_Model):
    """What `workers.update` changes."""

    model_config = ConfigDict(populate_by_name=True)

    is_paused: bool | None = Field(default=None, alias="isPaused")


class WorkerList(_Model):
    """Workers by name."""

    rows: list[WorkerInfo]


class RateLimit(_Model):
    """The limit of a key: `limit_value` units in each `window` ("SECOND" to "YEAR"), `value` of which are left in the current
    one, which began at `last_refill`. `tenant_id` is the stack."""

    key: str
    tenant_id: str
    limit_value: int
    value: int
    window: str
    last_refill: datetime


class RateLimitList(_Model):
    """Rate limits, and where this page stands among the others."""

    pagination: PaginationResponse
    rows: list[RateLimit]


class TaskMetrics(_Model):
    """How many tasks have each status."""

    cancelled: int = 0
    completed: int = 0
    failed: int = 0
    queued: int = 0
    running: int = 0


class TaskStatusStat(_Model):
    """How many tasks have a status, and since when the oldest has it."""

    total: int = 0
    oldest: datetime | None = None


class TaskStat(_Model):
    """The open runs of a task."""

    queued: TaskStatusStat
    running: TaskStatusStat


class GateStat(_Model):
    """A gate: `taken` of `limit` places (or units of this window), and who waits. `limit` None: it has none, or none is known."""

    name: str
    key: str
    limit: int | None = None
    taken: int = 0
    waiters: int = 0
    oldest: datetime | None = None
    """Since when the one who waits the longest is queued."""


class RunFilter(_Model):
    """Which runs: those created from `since` until `until` (None: now); None elsewhere means any. Pairs are ORed."""

    since: datetime
    until: datetime | None = None
    statuses: list[RunStatus] | None = None
    workflow_ids: list[str] | None = None
    additional_metadata: dict[str, str] | None = None


class BulkCancelReplayOpts(_Model):
    """Runs to cancel or replay: by `ids` or by `filters`, exactly one of them."""

    ids: list[str] | None = None
    filters: RunFilter | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> BulkCancelReplayOpts:
        if (self.ids is None) == (self.filters is None):
            raise ValueError("give either ids or filters, not both and not neither")
        return self
