"""The options of declarations, each typed once: type checkers refuse a misspelt one, and `checked` does at run time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from headrace.definitions.task import Task
    from headrace.definitions.task_options import TaskDefaults
    from headrace.options.concurrency import Concurrency
    from headrace.options.conditions import Conditions
    from headrace.options.durations import Duration
    from headrace.options.events import DefaultFilter
    from headrace.options.idempotency import Idempotency
    from headrace.options.labels import DesiredLabels, StickyStrategy
    from headrace.options.priority import Priority
    from headrace.options.rate_limits import RateLimit


class TaskArguments(TypedDict, total=False):
    """How a task is run.

    schedule_timeout: how long it may wait for its worker; then it is CANCELLED. Default 5 minutes.
    execution_timeout: how long an attempt may run. Default 60 seconds.
    retries: how often it is tried again. Default 0.
    backoff_factor: the pause before retry n is `backoff_factor ** n` seconds; None: none. backoff_max_seconds: its longest.
    retry_jitter: the share of the pause that chance may take away, 0 to 1.
    rate_limits, concurrency: what it must get before it starts. desired_worker_labels: labels desired of the worker.
    isolated: give each attempt an invocation of its own; else a task goes on in its parent's, and a retry without a pause in that of the
    attempt before it, while time is left. Default False.
    """

    schedule_timeout: Duration
    execution_timeout: Duration
    retries: int
    rate_limits: Sequence[RateLimit] | None
    desired_worker_labels: DesiredLabels
    backoff_factor: float | None
    backoff_max_seconds: int | None
    retry_jitter: float | None
    concurrency: Concurrency
    isolated: bool


class DagTaskArguments(TaskArguments, total=False):
    """Of a task of a workflow.

    parents: tasks of the same workflow, defined before. It runs once all are done; any that FAILED or was CANCELLED cancels it, all
    SKIPPED skip it. wait_for, skip_if, cancel_if: conditions. slot_cost: how many of its worker's slots it takes, default 1.
    """

    parents: Sequence[Task[Any, Any]] | None
    wait_for: Conditions
    skip_if: Conditions
    cancel_if: Conditions
    slot_cost: int | None


class BatchArguments(TypedDict, total=False):
    """Of a batch task: how it is run, and how runs are put together (see BatchOptions). It has no retries, and no limits of its own beside
    `batch_group_max_runs`.

    schedule_timeout, execution_timeout, rate_limits, desired_worker_labels: as of any task; a rate limit is taken by each run.
    batch_max_size: at most so many runs are one call, default 1. batch_max_interval: the call is made so long after the first run lined
    up. batch_group_key: CEL: runs of different values are never in one call. batch_group_max_runs: calls of a value at once.
    broadcast_output: the function returns one output for all.
    """

    schedule_timeout: Duration
    execution_timeout: Duration
    rate_limits: Sequence[RateLimit] | None
    desired_worker_labels: DesiredLabels
    backoff_factor: float | None
    backoff_max_seconds: int | None
    batch_max_size: int
    batch_max_interval: Duration | None
    batch_group_key: str | None
    batch_group_max_runs: int | None


class DagBatchArguments(BatchArguments, total=False):
    """Of a batch task of a workflow. parents, wait_for, skip_if, cancel_if: as of any task: they come first."""

    parents: Sequence[Task[Any, Any]] | None
    wait_for: Conditions
    skip_if: Conditions
    cancel_if: Conditions


class WorkflowArguments(TypedDict, total=False):
    """Of whatever can be triggered.

    on_events: keys of events that start it, with `*`. default_filters: which of those. on_crons: expressions, in UTC; cron_input: the
    input of their runs. version: default: a hash of the definition. sticky: keep a run's tasks on one worker. default_priority:
    default LOW. default_additional_metadata: under each run's own. idempotency: one run a key.
    """

    description: str | None
    on_events: Sequence[str] | None
    on_crons: Sequence[str] | None
    cron_input: Any
    version: str | None
    sticky: StickyStrategy | None
    default_priority: Priority | int
    default_filters: Sequence[DefaultFilter] | None
    default_additional_metadata: Mapping[str, Any] | None
    idempotency: Idempotency | None


class DagArguments(WorkflowArguments, total=False):
    """Of a workflow. concurrency: how many of its runs at once. task_defaults: for tasks that leave an option at its default."""

    concurrency: Concurrency
    task_defaults: TaskDefaults


class DurableArguments(TaskArguments, WorkflowArguments, total=False):
    """Of a durable standalone task."""


class StandaloneBatchArguments(BatchArguments, total=False):
    """Of a batch task that is a workflow of its own."""

    description: str | None
    version: str | None
    sticky: StickyStrategy | None
    default_priority: Priority | int
    default_filters: Sequence[DefaultFilter] | None
    default_additional_metadata: Mapping[str, Any] | None


class StandaloneArguments(DurableArguments, total=False):
    """Of a standalone task."""

    slot_cost: int | None


def checked(where: str, given: Mapping[str, Any], known: Iterable[str]) -> None:
    """TypeError, which says what may have been meant, for an option that there is not."""
    names = list(known)
    for name in given:
        if name not in names:
            from difflib import get_close_matches

            close = get_close_matches(name, names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(names)}"
            raise TypeError(f"{where} has no option {name!r}: {hint}")


def with_batch(options: Mapping[str, Any], *, broadcast_output: bool) -> dict[str, Any]:
    """The options of a task, those of its batch put together in `batch`."""
    from headrace.options.batch import BatchOptions

    own = {name: value for name, value in options.items() if not name.startswith("batch_")}
    batch = {name: value for name, value in options.items() if name.startswith("batch_")}
    return {**own, "batch": BatchOptions(**batch, broadcast_output=broadcast_output)}


def names_of(arguments: type) -> tuple[str, ...]:
    """The names of a TypedDict's fields, its bases' first."""
    return tuple(arguments.__annotations__)
