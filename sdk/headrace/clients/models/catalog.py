"""Workflows, workers and rate limits as users read them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import ConfigDict, Field

from headrace.clients.models.resource import Model, Object, PaginationResponse, ResourceId
from headrace.clients.models.schedules import ScheduledWorkflows


class WorkflowVersion(Model):
    """A version of a workflow: its tasks by name, parents first."""

    metadata: ResourceId
    version: str
    workflow_id: str
    tasks: list[str]
    scheduled_workflows: list[ScheduledWorkflows] = Field(default_factory=list)
    """What `workflow.schedule` has just scheduled."""


class Workflow(Model):
    """A workflow; `versions` holds the one that runs start with. `input_schema`: the JSON schema of its input, where `get` knows one."""

    metadata: ResourceId
    name: str
    versions: list[WorkflowVersion]
    is_paused: bool = False
    tenant_id: str = ""
    input_schema: dict[str, Any] | None = None


class WorkflowList(Model):
    """Workflows by name."""

    pagination: PaginationResponse
    rows: list[Workflow]


class WorkerInfo(Model):
    """A worker as it is declared; `status` is ACTIVE, PAUSED or INACTIVE, `slots` is None where it is not capped."""

    metadata: ResourceId
    name: str
    status: str = "ACTIVE"
    slots: int | None = None
    labels: Object = Field(default_factory=dict)
    workflows: list[str] = Field(default_factory=list)
    """The workflows that it runs."""


class UpdateWorkerRequest(Model):
    """What `workers.update` changes."""

    model_config = ConfigDict(populate_by_name=True)

    is_paused: bool | None = Field(default=None, alias="isPaused")


class WorkerList(Model):
    """Workers by name."""

    rows: list[WorkerInfo]


class RateLimit(Model):
    """The limit of a key: `limit_value` units in each `window` ("SECOND" to "YEAR"), `value` of which are left in the current
    one, which began at `last_refill`. `tenant_id` is the stack."""

    key: str
    tenant_id: str
    limit_value: int
    value: int
    window: str
    last_refill: datetime


class RateLimitList(Model):
    """Rate limits, and where this page stands among the others."""

    pagination: PaginationResponse
    rows: list[RateLimit]
