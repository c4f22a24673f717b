"""How many runs may run at once for one value of a key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from headrace.core.plan import GatePlan, GateStrategy
from headrace.errors import DefinitionError, NotSupportedError
from headrace.expressions import check


class ConcurrencyLimitStrategy(StrEnum):
    """What happens to a run that finds its key's places taken."""

    GROUP_ROUND_ROBIN = "GROUP_ROUND_ROBIN"  # it waits; fair over keys
    CANCEL_IN_PROGRESS = "CANCEL_IN_PROGRESS"  # the oldest run of the key is cancelled
    CANCEL_NEWEST = "CANCEL_NEWEST"  # it is cancelled


ADMISSION = False
"""Whether the engine admits by gates and rate limits."""

_STRATEGIES = {
    ConcurrencyLimitStrategy.GROUP_ROUND_ROBIN: GateStrategy.GROUP_ROUND_ROBIN,
    ConcurrencyLimitStrategy.CANCEL_IN_PROGRESS: GateStrategy.CANCEL_IN_PROGRESS,
    ConcurrencyLimitStrategy.CANCEL_NEWEST: GateStrategy.CANCEL_NEWEST,
}


@dataclass(frozen=True, slots=True)
class ConcurrencyExpression:
    """At most `max_runs` at once for each value of `expression` (CEL over `input` and `additional_metadata`)."""

    expression: str
    max_runs: int
    limit_strategy: ConcurrencyLimitStrategy = ConcurrencyLimitStrategy.GROUP_ROUND_ROBIN


Concurrency: TypeAlias = "int | ConcurrencyExpression | Sequence[ConcurrencyExpression] | None"


def gates_of(concurrency: Concurrency, owner: str) -> tuple[GatePlan, ...]:
    """The gates that a concurrency setting means; `owner` names the workflow or task and tells their gates apart."""
    if concurrency is None:
        return ()
    if not ADMISSION:
        raise NotSupportedError(
            f"{owner}: concurrency limits are not available in this version of Headrace; "
            "hatchet.worker(..., maximum_concurrency=n) caps a worker's invocations, not exactly"
        )
    if isinstance(concurrency, int):
        concurrency = ConcurrencyExpression("'constant'", concurrency)
    if isinstance(concurrency, ConcurrencyExpression):
        concurrency = [concurrency]
    return tuple(_gate(each, owner, number) for number, each in enumerate(concurrency))


def _gate(each: ConcurrencyExpression, owner: str, number: int) -> GatePlan:
    if isinstance(each.max_runs, bool) or not isinstance(each.max_runs, int) or each.max_runs < 1:
        raise DefinitionError(f"{owner}: max_runs is {each.max_runs!r}: give a number of runs, at least 1")
    check(each.expression, f"{owner}: the concurrency expression")
    strategy = _STRATEGIES[ConcurrencyLimitStrategy(each.limit_strategy)]
    return GatePlan(
        name=f"{owner}/{number}", expression=each.expression, max_runs=each.max_runs, strategy=strategy
    )
