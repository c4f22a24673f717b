"""Of a task whose conditions hang on time or on events: its events, and when its first sleep is over."""

from __future__ import annotations

from headrace.core.run.derived.graph import states
from headrace.core.run.plans.plan import PlannedEvent, PlannedSleep, TaskPlan
from headrace.core.run.record import RunRecord


def first_due_ms(record: RunRecord, task: str) -> int | None:
    """When the first sleep of a task that waits is over; None: it has no sleep."""
    return next_due_ms(record.plan.task(task), states(record)[task].due_since_ms, 0)


def events_of(plan: TaskPlan) -> tuple[PlannedEvent, ...]:
    """The conditions of a task that are on events."""
    return tuple(leaf for leaf in plan.leaves if isinstance(leaf, PlannedEvent))


def next_due_ms(plan: TaskPlan, since_ms: int, now_ms: int) -> int | None:
    dues = [since_ms + leaf.duration_ms for leaf in plan.leaves if isinstance(leaf, PlannedSleep)]
    return min([due_ms for due_ms in dues if due_ms > now_ms], default=None)
