"""Scheduled runs and crons as users read them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from headrace.clients.models.resource import APIResourceMeta, Model, Object, PaginationResponse


class ScheduledRunStatus(StrEnum):
    """SCHEDULED: not due yet; afterwards its run's status. FAILED, too, where the run could not be started."""

    SCHEDULED = "SCHEDULED"
    QUEUED = "QUEUED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class ScheduledWorkflows(Model):
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


class ScheduledWorkflowsList(Model):
    """Scheduled runs, and where this page stands among the others."""

    pagination: PaginationResponse
    rows: list[ScheduledWorkflows]


class ScheduledRunBulkUpdateItem(Model):
    """One scheduled run to move to another time."""

    id: str
    trigger_at: datetime


class ScheduledWorkflowsBulkError(Model):
    """Why one of many was left as it is."""

    id: str
    error: str


class ScheduledWorkflowsBulkUpdateResponse(Model):
    """Which were moved, and why others were not."""

    updated_ids: list[str]
    errors: list[ScheduledWorkflowsBulkError]


class ScheduledWorkflowsBulkDeleteResponse(Model):
    """Which were deleted, and why others were not."""

    deleted_ids: list[str]
    errors: list[ScheduledWorkflowsBulkError]


class CronWorkflows(Model):
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


class CronWorkflowsList(Model):
    """Crons, and where this page stands among the others."""

    pagination: PaginationResponse
    rows: list[CronWorkflows]
