"""Durations as users give them: `timedelta`, or Hatchet's strings such as `1h30m` (PARITY D6)."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TypeAlias

from headrace.errors import DefinitionError

Duration: TypeAlias = timedelta | str

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def to_timedelta(value: Duration, what: str) -> timedelta:
    """The duration that `value` says. DefinitionError, which names `what`, where it is none or is negative."""
    if isinstance(value, timedelta):
        found = value
    elif isinstance(value, str):
        parts = _PART.findall(value)
        if not parts or "".join(number + unit for number, unit in parts) != value:
            raise DefinitionError(
                f"{what} is {value!r}: give a timedelta, or a string such as '90s', '1h30m' or '250ms'"
            )
        found = timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))
    else:
        raise DefinitionError(f"{what} is {value!r}: give a timedelta, or a string such as '90s'")
    if found < timedelta(0):
        raise DefinitionError(f"{what} is {found}: a duration cannot be negative")
    return found


def to_ms(value: Duration, what: str) -> int:
    """`to_timedelta` in milliseconds."""
    return round(to_timedelta(value, what).total_seconds() * 1000)


def expression_of(span: timedelta) -> str:
    """The span as Hatchet writes it, in whole hours, minutes or seconds: `90s`, `5m`, `2h`."""
    seconds = int(span.total_seconds())
    for size, unit in ((3600, "h"), (60, "m")):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
