"""What happened to a task, in order."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from headrace.clients.models.resource import Model


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


class V1TaskEvent(Model):
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
