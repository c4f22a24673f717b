"""One run after things went quiet."""

from __future__ import annotations

from datetime import timedelta

from headrace.core.run.request import Quiet
from headrace.core.values import dataclass
from headrace.errors import DefinitionError
from headrace.options.durations import Duration, to_ms

LONGEST_MS = 30 * 86_400_000


@dataclass(frozen=True, slots=True)
class Debounce:
    """`run(..., debounce=Debounce("doc-7", period=timedelta(seconds=5)))`: calls with one key start one run, `period` after the last of
    them, with the last one's input.

    key: tells calls of the workflow apart. period: how long it must be quiet; SQS delays whole seconds. max_wait: a run is put off by so
    much from the first call on, and no more; default: ten times the period. All calls get the same run's reference. It is no child
    of the task that calls.
    """

    key: str
    period: Duration
    max_wait: Duration | None = None


def quiet_of(given: Debounce | None, where: str) -> Quiet | None:
    """DefinitionError, which begins with `where`, for an empty key or times that cannot be."""
    if given is None:
        return None
    if not isinstance(given, Debounce):
        raise DefinitionError(f"{where}: debounce is {given!r}: give Debounce(key, period)")
    if not isinstance(given.key, str) or not given.key:
        raise DefinitionError(f"{where}: debounce: key is {given.key!r}: give a string that is not empty")
    period_ms = to_ms(given.period, f"{where}: debounce: period")
    wait_ms = (
        to_ms(given.max_wait, f"{where}: debounce: max_wait")
        if given.max_wait is not None
        else 10 * period_ms
    )
    if not 1_000 <= period_ms <= wait_ms <= LONGEST_MS:
        raise DefinitionError(
            f"{where}: debounce: period is {timedelta(milliseconds=period_ms)} and max_wait {timedelta(milliseconds=wait_ms)}: give a "
            "period of at least 1 second, and a max_wait of at least the period and at most 30 days"
        )
    return Quiet(key=given.key, period_ms=period_ms, max_wait_ms=wait_ms)
