"""What tasks wait for, as people are shown it: its kind, its name and its key."""

from __future__ import annotations

from enum import StrEnum
from typing import assert_never

from headrace.core.durable.words import conditions_in_words, operations_in_words
from headrace.core.points import (
    WORKER_GATE,
    WORKER_PAUSE,
    AtBatch,
    AtConcurrency,
    AtLabels,
    AtOperations,
    AtPause,
    AtRateLimit,
    AtSlots,
    WaitPoint,
    point_at,
)
from headrace.core.run.derived.graph import TaskState
from headrace.core.run.plans.plan import TaskPlan
from headrace.core.run.record import TaskStatus
from headrace.core.table import GATE, LABELS, PAUSE, RATE
from headrace.core.values import dataclass


class GateKind(StrEnum):
    """What tasks wait for."""

    CONCURRENCY = "concurrency"  # a place among those of a key
    SLOTS = "slots"  # a slot of a worker
    RATE = "rate"  # units of a rate limit
    PAUSE = "pause"  # a paused workflow or worker
    LABELS = "labels"  # a process of the worker with the right labels
    BATCH = "batch"  # the batch of a batch task to fill


@dataclass(frozen=True, slots=True)
class Address:
    """What the partition of a gate says: its kind, its name and its key (of a long key, its beginning and its hash)."""

    kind: GateKind
    name: str
    key: str = ""

    def matches(self, text: str) -> bool:
        """Whether `text` is its name or its key, or that of its workflow, task or worker."""
        names = {
            self.name,
            self.key,
            self.name.removeprefix(WORKER_GATE),
            self.name.removeprefix(WORKER_PAUSE),
        }
        if self.kind is GateKind.CONCURRENCY:
            owner = self.name.rpartition("/")[0]
            names |= {owner, *owner.split(":")}
        return text in names - {""}


def is_gate(text: str) -> bool:
    """Whether it is the whole name of a gate: the partition of its item."""
    return text.startswith((GATE, RATE, PAUSE, LABELS))


def address_of(gate: str) -> Address:
    """The parts of a gate's partition. ValueError where it is none."""
    point = point_at(gate)
    match point:
        case AtConcurrency(name, key):
            return Address(GateKind.CONCURRENCY, name, key)
        case AtSlots(worker):
            return Address(GateKind.SLOTS, WORKER_GATE + worker)
        case AtRateLimit(key):
            return Address(GateKind.RATE, key)
        case AtPause(name):
            return Address(GateKind.PAUSE, name)
        case AtLabels(worker):
            return Address(GateKind.LABELS, worker)
        case AtBatch(workflow, task, key):
            return Address(GateKind.BATCH, f"{workflow}:{task}", key)
        case _:
            assert_never(point)


def waited_for(state: TaskState, plan: TaskPlan) -> str | None:
    """What a task waits for, in words; None: it waits for nothing but its parents or its worker."""
    if state.pending:
        return conditions_in_words(plan, state.due_since_ms)
    if plan.batch is not None and state.ready and state.row is None:
        return "its batch"
    waits = state.status in (TaskStatus.PARKED, TaskStatus.SUSPENDED)
    if not waits or state.row is None or state.row.waits_at is None:
        return None
    if state.row.resumes:
        return operations_in_words(state.row.log)
    return described(state.row.waits_at)


def described(point: WaitPoint) -> str:
    """What a task waits for, for a person."""
    match point:
        case AtConcurrency(name, key):
            return f"a place of {name}, key {key!r}"
        case AtSlots(worker):
            return f"a slot of worker {worker}"
        case AtRateLimit(key):
            return f"units of rate limit {key!r}"
        case AtPause() if point.worker is not None:
            return f"worker {point.worker} to be unpaused"
        case AtPause(name):
            return f"workflow {name} to be unpaused"
        case AtLabels(worker):
            return f"a process of worker {worker} with the right labels"
        case AtBatch(key=key):
            return f"its batch, key {key!r}" if key else "its batch"
        case AtOperations():
            return "a durable operation"
        case _:
            assert_never(point)
