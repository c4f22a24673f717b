"""Rate limits of tasks: units of a shared allowance per fixed window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from headrace.concurrency import ADMISSION
from headrace.core.plan import RatePlan
from headrace.errors import DefinitionError, NotSupportedError
from headrace.expressions import check


class RateLimitDuration(StrEnum):
    """The window of a rate limit."""

    SECOND = "SECOND"
    MINUTE = "MINUTE"
    HOUR = "HOUR"
    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    YEAR = "YEAR"


WINDOW_S = {
    RateLimitDuration.SECOND: 1,
    RateLimitDuration.MINUTE: 60,
    RateLimitDuration.HOUR: 3_600,
    RateLimitDuration.DAY: 86_400,
    RateLimitDuration.WEEK: 7 * 86_400,
    RateLimitDuration.MONTH: 30 * 86_400,
    RateLimitDuration.YEAR: 365 * 86_400,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """What one attempt takes of a limit: `units` (a number or CEL) of `static_key`, whose limit `rate_limits.put` sets, or of
    the key that the CEL `dynamic_key` gives, whose `limit` (a number or CEL) a `duration` stands here."""

    static_key: str | None = None
    dynamic_key: str | None = None
    units: int | str = 1
    limit: int | str | None = None
    duration: RateLimitDuration = RateLimitDuration.MINUTE

    def __post_init__(self) -> None:
        if self.static_key is None and self.dynamic_key is None:
            raise DefinitionError("RateLimit: give a static_key or a dynamic_key")
        if self.static_key is not None and self.dynamic_key is not None:
            raise DefinitionError("RateLimit: give a static_key or a dynamic_key, not both")
        if self.dynamic_key is not None and self.limit is None:
            raise DefinitionError("RateLimit: a dynamic_key needs a limit")


def rates_of(limits: Sequence[RateLimit] | None, owner: str) -> tuple[RatePlan, ...]:
    """The plan's rate limits; expressions are checked, `owner` names the task."""
    if limits and not ADMISSION:
        raise NotSupportedError(f"{owner}: rate limits are not available in this version of Headrace")
    return tuple(_rate(each, owner) for each in limits or ())


def _rate(each: RateLimit, owner: str) -> RatePlan:
    for name, value in (("units", each.units), ("limit", each.limit)):
        if isinstance(value, str):
            check(value, f"{owner}: {name} of the rate limit")
        elif value is not None and value < 1:
            raise DefinitionError(f"{owner}: {name} of the rate limit is {value}: give at least 1")
    window_s = WINDOW_S[RateLimitDuration(each.duration)]
    limit = None if each.limit is None else str(each.limit)
    if each.dynamic_key is not None:
        check(each.dynamic_key, f"{owner}: the dynamic key of the rate limit")
        return RatePlan(
            key=each.dynamic_key, dynamic=True, units=str(each.units), limit=limit, window_s=window_s
        )
    return RatePlan(key=each.static_key or "", units=str(each.units))
