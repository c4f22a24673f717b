"""Priority of a run among those that wait at the same gate."""

from __future__ import annotations

from enum import IntEnum

from headrace.errors import DefinitionError


class Priority(IntEnum):
    """Order among what waits: HIGH before MEDIUM before LOW, then first come. Nothing that runs is pre-empted."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3


def check_priority(value: int, what: str) -> int:
    """The priority as a number from 1 to 3; DefinitionError, which names `what`, otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 3:
        raise DefinitionError(
            f"{what} is {value!r}: give Priority.LOW, Priority.MEDIUM or Priority.HIGH (1 to 3)"
        )
    return int(value)
