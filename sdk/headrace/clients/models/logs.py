"""Log lines as users read them."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from headrace.clients.models.resource import Model, Object, PaginationResponse


class V1LogLine(Model):
    """A line that a task logged."""

    created_at: datetime
    message: str
    level: str | None = None
    retry_count: int = 0
    attempt: int = 1
    metadata: Object = Field(default_factory=dict)


class V1LogLineList(Model):
    """A task's log lines, oldest first."""

    pagination: PaginationResponse
    rows: list[V1LogLine]
