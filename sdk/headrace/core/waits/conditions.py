"""What a task of a workflow does whose conditions hang on time or on events: a function of the record and of what is true by now. Pure.

Its sleeps begin, and its events count, once its parents are done. The action whose conditions hold first is taken; of several at one
time SKIP goes before CANCEL, and CANCEL before run. Nothing is stored while it waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from headrace.core.run.derived.due import next_due_ms
from headrace.core.run.derived.graph import leaf_met, states
from headrace.core.run.plans.plan import Groups, Json, Leaf, ParentLeaf, PlannedEvent, PlannedSleep, TaskPlan
from headrace.core.run.record import RunRecord
from headrace.core.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSeen:
    """The event that satisfied a condition: when it was pushed, and its payload."""

    at_ms: int
    payload: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is true by now. `events`: by the number of the condition."""

    now_ms: int
    events: Mapping[int, EventSeen]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Its `wait_for` held first, at `at_ms`. `data`: what each condition brought, by its data key."""

    at_ms: int
    data: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Skips:
    """Its `skip_if` held first."""


@dataclass(frozen=True, slots=True)
class Cancels:
    """Its `cancel_if` held first."""


@dataclass(frozen=True, slots=True)
class Waits:
    """Nothing holds yet. `due_at_ms`: when a sleep will next be over; None: an event must come."""

    due_at_ms: int | None


Decision: TypeAlias = Runs | Skips | Cancels | Waits

TimeOf: TypeAlias = Callable[[Leaf], "int | None"]
"""Since when a condition holds; None: it does not yet."""


def decide(record: RunRecord, task: str, facts: Facts) -> Decision:
    """What a task does whose state is `pending`."""
    plan, known = record.plan.task(task), states(record)
    since_ms = known[task].due_since_ms

    def time_of(leaf: Leaf) -> int | None:
        match leaf:
            case ParentLeaf():
                return since_ms if leaf_met(record, leaf, known) else None
            case PlannedSleep():
                due_ms = since_ms + leaf.duration_ms
                return due_ms if due_ms <= facts.now_ms else None
            case PlannedEvent():
                seen = facts.events.get(leaf.number)
                return max(since_ms, seen.at_ms) if seen is not None else None

    skips, cancels = _held_at(plan.skip_if, time_of), _held_at(plan.cancel_if, time_of)
    runs = since_ms if not plan.wait_for else _held_at(plan.wait_for, time_of)
    found = [(at_ms, rank) for rank, at_ms in enumerate((skips, cancels, runs)) if at_ms is not None]
    if not found:
        return Waits(next_due_ms(plan, since_ms, facts.now_ms))
    at_ms, rank = min(found)
    if rank == 0:
        return Skips()
    return Cancels() if rank == 1 else Runs(at_ms=at_ms, data=_data(plan, time_of, facts))


def _held_at(groups: Groups, time_of: TimeOf) -> int | None:
    """When the last group began to hold, each by the first of its conditions; None: not all hold, or there is none."""
    times: list[int] = []
    for group in groups:
        held = [at_ms for leaf in group if (at_ms := time_of(leaf)) is not None]
        if not held:
            return None
        times.append(min(held))
    return max(times, default=None)


def _data(plan: TaskPlan, time_of: TimeOf, facts: Facts) -> dict[str, Json]:
    out: dict[str, Json] = {}
    for group in plan.wait_for:
        for leaf in group:
            if isinstance(leaf, PlannedEvent) and leaf.number in facts.events:
                out[leaf.key] = facts.events[leaf.number].payload
            elif isinstance(leaf, PlannedSleep) and time_of(leaf) is not None:
                out[leaf.key] = {"sleep_duration": f"{leaf.duration_ms / 1000:g}s"}
    return out
