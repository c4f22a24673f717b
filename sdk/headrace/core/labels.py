"""What a run requires of the labels of its worker, as its record carries it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import TypeAlias

from headrace.core.values import dataclass

RequiredLabel: TypeAlias = "tuple[str, int, str | int]"
"""A required label: key, comparator (Hatchet's number of it: = != > >= < <=), value."""

Labels: TypeAlias = "Mapping[str, str | int]"


class WorkerLabelComparator(IntEnum):
    EQUAL = 0
    NOT_EQUAL = 1
    GREATER_THAN = 2
    GREATER_THAN_OR_EQUAL = 3
    LESS_THAN = 4
    LESS_THAN_OR_EQUAL = 5


SIGNS = ("=", "!=", ">", ">=", "<", "<=")
"""How errors and listings write the comparators."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredWorkerLabel:
    """A label that a task desires of its worker: `required` ones exclude workers, the others add their `weight` where they match."""

    key: str | None = None
    value: str | int
    required: bool = False
    weight: int | None = None
    comparator: WorkerLabelComparator | None = None

    def __str__(self) -> str:
        return f"{self.key}{SIGNS[self.comparator or WorkerLabelComparator.EQUAL]}{self.value!r}"


def encode_required(labels: Sequence[RequiredLabel]) -> str:
    """Compact JSON: `[[key, comparator, value], ...]`."""
    return json.dumps(labels, separators=(",", ":"), ensure_ascii=False)


def decode_required(text: str) -> tuple[RequiredLabel, ...]:
    return tuple((key, code, value) for key, code, value in json.loads(text))


def meets(required: Sequence[RequiredLabel], labels: Labels) -> bool:
    """Whether labels meet all of them."""
    return all(met(code, value, labels.get(key)) for key, code, value in required)


def met(code: int, wanted: str | int, found: str | int | None) -> bool:
    """Whether a label's value `found` (None: there is no such label) is as the comparator and `wanted` say."""
    if code == 0:
        return found == wanted
    if code == 1:
        return found != wanted
    if not isinstance(found, int) or not isinstance(wanted, int):
        return False
    match code:
        case 2:
            return found > wanted
        case 3:
            return found >= wanted
        case 4:
            return found < wanted
        case _:
            return found <= wanted
