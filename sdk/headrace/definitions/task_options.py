"""How a task is to be run: its options, and the defaults of a workflow's tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from headrace.core.values import dataclass
from headrace.options.batch import BatchOptions
from headrace.options.concurrency import Concurrency
from headrace.options.conditions import Conditions
from headrace.options.durations import Duration
from headrace.options.eviction import EvictionPolicy
from headrace.options.labels import DesiredLabels
from headrace.options.priority import check_priority
from headrace.options.rate_limits import RateLimit

SCHEDULE_TIMEOUT = timedelta(minutes=5)
EXECUTION_TIMEOUT = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDefaults:
    """Options for every task of a workflow that leaves them at their built-in default."""

    schedule_timeout: Duration | None = None
    execution_timeout: Duration | None = None
    priority: int | None = None
    retries: int | None = None
    backoff_factor: float | None = None
    backoff_max_seconds: int | None = None

    def __post_init__(self) -> None:
        if self.priority is not None:
            check_priority(self.priority, "TaskDefaults: priority")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """How a task is to be run. Defaults are Hatchet's (PARITY A3)."""

    schedule_timeout: Duration = SCHEDULE_TIMEOUT
    execution_timeout: Duration = EXECUTION_TIMEOUT
    retries: int = 0
    rate_limits: Sequence[RateLimit] | None = None
    desired_worker_labels: DesiredLabels = None
    backoff_factor: float | None = None
    backoff_max_seconds: int | None = None
    retry_jitter: float | None = None
    concurrency: Concurrency = None
    wait_for: Conditions = None
    skip_if: Conditions = None
    cancel_if: Conditions = None
    slot_cost: int | None = None
    isolated: bool = False
    eviction_policy: EvictionPolicy | None = None  # of a durable task; None: the default
    batch: BatchOptions | None = None  # of a batch task

    def with_defaults(self, defaults: TaskDefaults) -> TaskOptions:
        """These options with a workflow's defaults wherever they equal the built-in ones."""
        changed: dict[str, Any] = {}
        for name in (
            "schedule_timeout",
            "execution_timeout",
            "retries",
            "backoff_factor",
            "backoff_max_seconds",
        ):
            default = getattr(defaults, name)
            if default is not None and getattr(self, name) == getattr(_BUILT_IN, name):
                changed[name] = default
        return replace(self, **changed)


_BUILT_IN = TaskOptions()
