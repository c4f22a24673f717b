"""How many tasks have a status, run or wait."""

from __future__ import annotations

from datetime import datetime

from headrace.clients.models.resource import Model


class TaskMetrics(Model):
    """How many tasks have each status."""

    cancelled: int = 0
    completed: int = 0
    failed: int = 0
    queued: int = 0
    running: int = 0


class TaskStatusStat(Model):
    """How many tasks have a status, and since when the oldest has it."""

    total: int = 0
    oldest: datetime | None = None


class TaskStat(Model):
    """The open runs of a task."""

    queued: TaskStatusStat
    running: TaskStatusStat


class GateStat(Model):
    """A gate: `taken` of `limit` places (or units of this window), and how many tasks wait. `limit` None: it has none, or none is known."""

    name: str
    key: str
    limit: int | None = None
    taken: int = 0
    waiters: int = 0
    oldest: datetime | None = None
    """Since when the task that waits the longest is queued."""
