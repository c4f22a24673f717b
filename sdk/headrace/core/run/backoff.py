"""When a failed attempt is tried again."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.core.run.plan import TaskPlan

LONGEST_BACKOFF_S = 86_400


@dataclass(frozen=True, slots=True)
class RetryIn:
    """Try again after `delay_ms` (0: at once)."""

    delay_ms: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No attempt is left, or none is wanted."""


RetryDecision = RetryIn | GiveUp


def decide_retry(task: TaskPlan, app_retry_count: int, *, retryable: bool) -> RetryDecision:
    """Hatchet's rule (PARITY D1, D2): min(backoff_max_seconds or 86400, backoff_factor ** n), n = 1 for the first retry."""
    if not retryable or app_retry_count >= task.retries:
        return GiveUp()
    if task.backoff_factor is None:
        return RetryIn(0)
    ceiling = task.backoff_max_s if task.backoff_max_s is not None else LONGEST_BACKOFF_S
    try:
        delay_s = min(float(ceiling), float(task.backoff_factor) ** (app_retry_count + 1))
    except OverflowError:
        delay_s = float(ceiling)
    return RetryIn(int(delay_s * 1000))
