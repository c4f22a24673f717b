"""Rate limits of tasks: units of a shared allowance per fixed window."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from headrace.core.run.plans.plan import RatePlan
from headrace.core.values import dataclass
from headrace.errors import DefinitionError
from headrace.values.expressions import check


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


def window_s(duration: RateLimitDuration | str, where: str) -> int:
    """The length of a window in seconds. DefinitionError, which begins with `where`, for what is no RateLimitDuration."""
    if duration not in tuple(RateLimitDuration):
        names = ", ".join(f"RateLimitDuration.{each.name}" for each in RateLimitDuration)
        raise DefinitionError(f"{where}: duration is {duration!r}: give one of {names}")
    return WINDOW_S[RateLimitDuration(duration)]


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """What one attempt takes of a limit: `units` of `static_key`, whose limit `hatchet.rate_limits.put` sets, or of the key that
    the CEL `dynamic_key` gives, of which there are `limit` in a `duration`.

    units: a whole number, at least 1, or CEL over `input` and `additional_metadata`; default 1. limit: the same, and without a
    default; duration: MINUTE by default. Both are ignored with a static key. Tasks whose keys are equal share one limit. An
    attempt takes all of its task's limits or none; it waits for the next window as long as `schedule_timeout` allows.
    """

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
        if self.static_key is not None:
            check_key(self.static_key, "RateLimit: static_key")


def check_key(key: str, what: str) -> str:
    """A static key as it is; DefinitionError, which names `what`, for no text."""
    if not isinstance(key, str) or not key:
        raise DefinitionError(f"{what} is {key!r}: give a text, such as 'openai'")
    return key


def rates_of(limits: Sequence[RateLimit] | None, owner: str, namespace: str = "") -> tuple[RatePlan, ...]:
    """The plan's rate limits; expressions are checked, `owner` names the task. `namespace` stands before every key."""
    if limits is not None and (isinstance(limits, RateLimit | str) or not isinstance(limits, Sequence)):
        raise DefinitionError(f"{owner}: rate_limits is {limits!r}: give a list, such as [RateLimit(...)]")
    return tuple(_rate(each, owner, namespace) for each in limits or ())


def _rate(each: RateLimit, owner: str, namespace: str) -> RatePlan:
    if not isinstance(each, RateLimit):
        raise DefinitionError(
            f"{owner}: rate_limits holds {each!r}: give RateLimit(static_key=..., units=...)"
        )
    where = f"{owner}: rate limit {each.static_key or each.dynamic_key!r}"
    units = _amount(each.units, f"{where}: units")
    if each.dynamic_key is None:
        return RatePlan(key=namespace + (each.static_key or ""), units=units)
    check(each.dynamic_key, f"{where}: dynamic_key")
    limit = _amount(each.limit, f"{where}: limit")
    if units.isdigit() and limit.isdigit() and int(units) > int(limit):
        raise DefinitionError(
            f"{where}: units is {units}, and limit is {limit}: no window ever has so many; give at most {limit} units"
        )
    return RatePlan(
        key=f"'{namespace}' + string({each.dynamic_key})" if namespace else each.dynamic_key,
        dynamic=True,
        units=units,
        limit=limit,
        window_s=window_s(each.duration, where),
    )


def _amount(value: int | str | None, what: str) -> str:
    """A number, or an expression that gives one, as the plan has it."""
    if isinstance(value, str) and not value.isdigit():
        return check(value, what)
    if isinstance(value, bool) or not isinstance(value, int | str) or int(value) < 1:
        raise DefinitionError(f"{what} is {value!r}: give a whole number, at least 1, or a CEL expression")
    return str(int(value))
