"""Worker labels: which of the workers that register a task should run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from typing import TypeAlias


class WorkerLabelComparator(IntEnum):
    EQUAL = 0
    NOT_EQUAL = 1
    GREATER_THAN = 2
    GREATER_THAN_OR_EQUAL = 3
    LESS_THAN = 4
    LESS_THAN_OR_EQUAL = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredWorkerLabel:
    """A wish about the worker: `required` ones exclude, the others add their `weight` where they match."""

    key: str | None = None
    value: str | int
    required: bool = False
    weight: int | None = None
    comparator: WorkerLabelComparator | None = None


@dataclass(frozen=True, slots=True)
class WorkerLabel:
    """A label that a worker has."""

    key: str
    value: str | int


class StickyStrategy(StrEnum):
    """SOFT prefers the worker that ran the run's first task, HARD requires it."""

    SOFT = "SOFT"
    HARD = "HARD"


class SlotType(StrEnum):
    DEFAULT = "default"
    DURABLE = "durable"


DesiredLabels: TypeAlias = "Mapping[str, DesiredWorkerLabel] | Sequence[DesiredWorkerLabel] | None"


def wishes_of(labels: DesiredLabels) -> tuple[DesiredWorkerLabel, ...]:
    """The wishes as a tuple, each with its key."""
    if labels is None:
        return ()
    if isinstance(labels, Mapping):
        return tuple(replace(wish, key=key) for key, wish in labels.items())
    return tuple(labels)


def score(wishes: Sequence[DesiredWorkerLabel], labels: Mapping[str, str | int]) -> int | None:
    """How well labels meet the wishes: the weights of those met (100 by default); None where a required one is not."""
    total = 0
    for wish in wishes:
        met = _met(wish, labels.get(wish.key or ""))
        if wish.required and not met:
            return None
        if met:
            total += 100 if wish.weight is None else wish.weight
    return total


def _met(wish: DesiredWorkerLabel, found: str | int | None) -> bool:
    comparator = wish.comparator if wish.comparator is not None else WorkerLabelComparator.EQUAL
    if comparator is WorkerLabelComparator.NOT_EQUAL:
        return found != wish.value
    if comparator is WorkerLabelComparator.EQUAL:
        return found == wish.value
    if not isinstance(found, int) or not isinstance(wish.value, int):
        return False
    match comparator:
        case WorkerLabelComparator.GREATER_THAN:
            return found > wish.value
        case WorkerLabelComparator.GREATER_THAN_OR_EQUAL:
            return found >= wish.value
        case WorkerLabelComparator.LESS_THAN:
            return found < wish.value
        case WorkerLabelComparator.LESS_THAN_OR_EQUAL:
            return found <= wish.value
