"""Batch tasks: several runs are one call of their function."""

from __future__ import annotations

from typing import NewType

from headrace.core.run.plans.plan import BatchPlan
from headrace.core.values import dataclass
from headrace.errors import DefinitionError
from headrace.options.durations import Duration, to_ms
from headrace.values.expressions import check

BatchMemberId = NewType("BatchMemberId", str)
"""What a member of a batch is called in its function's input and output: the id of its task run."""

MOST_MEMBERS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """How runs are put together.

    batch_max_size: at most so many are one call. batch_max_interval: the call is made so long after the first of them lined up, however
    many there are; under a second the invocation of the first one waits for it. None: shortly before the first one's
    schedule_timeout is over. batch_group_key: a CEL expression over `input` and `additional_metadata`: runs of different values are
    never in one call. batch_group_max_runs: at most so many calls of a value at once. broadcast_output: the function returns one output,
    which is every member's.
    """

    batch_max_size: int = 1
    batch_max_interval: Duration | None = None
    batch_group_key: str | None = None
    batch_group_max_runs: int | None = None
    broadcast_output: bool = False


def batch_plan_of(options: BatchOptions, where: str, *, schedule_timeout_ms: int) -> BatchPlan:
    """The batch's part of the task's plan. DefinitionError, which begins with `where`, for what cannot be."""
    _check_number(options.batch_max_size, f"{where}: batch_max_size", "runs")
    if options.batch_max_size > MOST_MEMBERS:
        raise DefinitionError(
            f"{where}: batch_max_size is {options.batch_max_size:,}: give at most {MOST_MEMBERS:,} runs"
        )
    if options.batch_group_max_runs is not None:
        _check_number(options.batch_group_max_runs, f"{where}: batch_group_max_runs", "batches")
    if not isinstance(options.broadcast_output, bool):
        raise DefinitionError(
            f"{where}: broadcast_output is {options.broadcast_output!r}: give True or False"
        )
    key = options.batch_group_key
    if key is not None:
        if not isinstance(key, str) or not key.strip():
            raise DefinitionError(f"{where}: batch_group_key is {key!r}: give a CEL expression, or None")
        check(key, f"{where}: batch_group_key")
    return BatchPlan(
        max_size=options.batch_max_size,
        interval_ms=_interval_ms(options.batch_max_interval, where, schedule_timeout_ms),
        key=key,
        max_runs=options.batch_group_max_runs,
    )


def _interval_ms(interval: Duration | None, where: str, schedule_timeout_ms: int) -> int | None:
    if interval is None:
        return None
    interval_ms = to_ms(interval, f"{where}: batch_max_interval")
    if interval_ms <= 0:
        raise DefinitionError(f"{where}: batch_max_interval is {interval!r}: give a time above 0")
    if interval_ms >= schedule_timeout_ms:
        raise DefinitionError(
            f"{where}: batch_max_interval is {interval!r}, and a run is cancelled that has waited for its schedule_timeout of "
            f"{schedule_timeout_ms / 1000:g}s: give a shorter interval, or a longer schedule_timeout"
        )
    return interval_ms


def _check_number(value: object, what: str, of: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise DefinitionError(f"{what} is {value!r}: give a number of {of}, at least 1")
