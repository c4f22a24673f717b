"""When a failed attempt is tried again."""

from __future__ import annotations

import hashlib

from headrace.core.run.plans.plan import TaskPlan
from headrace.core.values import dataclass

LONGEST_BACKOFF_S = 86_400

FIRST_REDELIVERY_S = 15
LONGEST_REDELIVERY_S = 900
"""How long a message is hidden whose delivery the store or a queue did not answer: doubled from the one to the other. An hour's outage
takes nine deliveries of a message, of the 120 that it has."""


@dataclass(frozen=True, slots=True)
class RetryIn:
    """Try again after `delay_ms` (0: at once)."""

    delay_ms: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No attempt is left, or none is wanted."""


RetryDecision = RetryIn | GiveUp


def decide_retry(task: TaskPlan, app_retry_count: int, *, retryable: bool, run_id: str = "") -> RetryDecision:
    """Hatchet's rule (PARITY D1, D2): min(backoff_max_seconds or 86400, backoff_factor ** n), n = 1 for the first retry.

    `retry_jitter` takes up to that share of it away, by chance; the same for the same run, task and retry.
    """
    if not retryable or app_retry_count >= task.retries:
        return GiveUp()
    if task.backoff_factor is None:
        return RetryIn(0)
    ceiling = task.backoff_max_s if task.backoff_max_s is not None else LONGEST_BACKOFF_S
    try:
        delay_s = min(float(ceiling), float(task.backoff_factor) ** (app_retry_count + 1))
    except OverflowError:
        delay_s = float(ceiling)
    less = (task.retry_jitter or 0.0) * _chance(f"{run_id}/{task.name}/{app_retry_count}")
    return RetryIn(int(delay_s * 1000 * (1 - less)))


def redelivery_s(receive_count: int) -> int:
    """How long a message stays hidden that was delivered `receive_count` times and met an outage."""
    doublings = min(max(receive_count, 1) - 1, 10)
    return min(LONGEST_REDELIVERY_S, FIRST_REDELIVERY_S << doublings)


def _chance(seed: str) -> float:
    """Between 0 and 1, evenly spread over seeds."""
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:6]) / 2**48
