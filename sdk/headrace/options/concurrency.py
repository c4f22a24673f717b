"""How many runs, or tasks, may run at once for one value of a key."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TypeAlias

from headrace.core.run.plans.plan import GatePlan, GateStrategy
from headrace.core.values import dataclass
from headrace.errors import DefinitionError
from headrace.values.expressions import check


class ConcurrencyLimitStrategy(StrEnum):
    """What happens to a run that finds its key's places taken."""

    GROUP_ROUND_ROBIN = "GROUP_ROUND_ROBIN"  # it waits; fair over keys
    CANCEL_IN_PROGRESS = "CANCEL_IN_PROGRESS"  # the oldest run of the key is cancelled
    CANCEL_NEWEST = "CANCEL_NEWEST"  # it is cancelled


_STRATEGIES = {
    ConcurrencyLimitStrategy.GROUP_ROUND_ROBIN: GateStrategy.GROUP_ROUND_ROBIN,
    ConcurrencyLimitStrategy.CANCEL_IN_PROGRESS: GateStrategy.CANCEL_IN_PROGRESS,
    ConcurrencyLimitStrategy.CANCEL_NEWEST: GateStrategy.CANCEL_NEWEST,
}

CONSTANT = "'constant'"
"""The key of a concurrency limit that is given as a number: the same for every run."""

MOST_IN_PROGRESS = 4_000
"""The largest `max_runs` of CANCEL_IN_PROGRESS: the runs of a key are in one item of 400 KB, at 70 bytes each."""


@dataclass(frozen=True, slots=True)
class ConcurrencyExpression:
    """At most `max_runs` (1 or more) at once for each value of `expression` (CEL over `input` and `additional_metadata`).

    limit_strategy: as its enum or its name; default GROUP_ROUND_ROBIN. Waiting is bounded by `schedule_timeout`. Of several
    expressions, each has to be passed, in order. A run whose key cannot be evaluated is FAILED, with the expression and why.
    """

    expression: str
    max_runs: int
    limit_strategy: ConcurrencyLimitStrategy = ConcurrencyLimitStrategy.GROUP_ROUND_ROBIN

    @classmethod
    def from_int(cls, max_runs: int) -> ConcurrencyExpression:
        """At most `max_runs` at once, whatever the input: what a number as `concurrency=` stands for."""
        return cls(CONSTANT, max_runs)


Concurrency: TypeAlias = "int | ConcurrencyExpression | Sequence[ConcurrencyExpression] | None"
"""A number stands for one expression that is the same for every run."""


def gates_of(concurrency: Concurrency, owner: str, where: str) -> tuple[GatePlan, ...]:
    """The gates that a concurrency setting means. `owner` tells the gates of workflows and tasks apart.

    DefinitionError, which begins with `where`, for what is no limit.
    """
    if concurrency is None:
        return ()
    if isinstance(concurrency, int):
        _check_number(concurrency, f"{where}: concurrency")
        concurrency = ConcurrencyExpression(CONSTANT, concurrency)
    each = [concurrency] if isinstance(concurrency, ConcurrencyExpression) else concurrency
    if isinstance(each, str) or not isinstance(each, Sequence):
        raise _no_limit(each, where)
    return tuple(_gate(one, owner, where, number) for number, one in enumerate(each))


def _gate(each: ConcurrencyExpression, owner: str, where: str, number: int) -> GatePlan:
    if not isinstance(each, ConcurrencyExpression):
        raise _no_limit(each, where)
    _check_number(each.max_runs, f"{where}: max_runs of the concurrency expression {each.expression!r}")
    check(each.expression, f"{where}: the concurrency expression")
    if each.limit_strategy not in tuple(ConcurrencyLimitStrategy):
        names = ", ".join(f"ConcurrencyLimitStrategy.{one.name}" for one in ConcurrencyLimitStrategy)
        raise DefinitionError(f"{where}: limit_strategy is {each.limit_strategy!r}: give one of {names}")
    strategy = _STRATEGIES[ConcurrencyLimitStrategy(each.limit_strategy)]
    if strategy is GateStrategy.CANCEL_IN_PROGRESS and each.max_runs > MOST_IN_PROGRESS:
        raise DefinitionError(
            f"{where}: max_runs is {each.max_runs:,}: with CANCEL_IN_PROGRESS give at most {MOST_IN_PROGRESS:,}, or "
            "choose another limit_strategy"
        )
    return GatePlan(
        name=f"{owner}/{number}", expression=each.expression, max_runs=each.max_runs, strategy=strategy
    )


def _check_number(value: int, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise DefinitionError(f"{what} is {value!r}: give a number of runs, at least 1")


def _no_limit(value: object, where: str) -> DefinitionError:
    return DefinitionError(
        f"{where}: concurrency holds {value!r}: give a number of runs, a ConcurrencyExpression or a list of them"
    )
