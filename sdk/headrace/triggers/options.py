"""Options of a trigger, and items of a bulk run (Hatchet's names; the flat keyword arguments of `run` are preferred)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime
from typing import Any, TypedDict

from headrace.core.values import dataclass
from headrace.options.debounce import Debounce
from headrace.options.durations import Duration
from headrace.options.labels import DesiredLabels, DesiredWorkerLabel


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerWorkflowOptions:
    """Deprecated as an argument: give the fields to `run` themselves.

    desired_worker_id: the name of the worker that all tasks of the run go to. desired_worker_label: desired labels by key, or a list of
    them; they replace the definition's. sticky: of a child run: on its parent's worker.
    delay, run_at, debounce: ours; see `run`.
    """

    parent_id: str | None = None
    parent_step_run_id: str | None = None
    child_index: int | None = None
    child_key: str | None = None
    namespace: str | None = None
    additional_metadata: Mapping[str, Any] = field(default_factory=dict)
    priority: int | None = None
    desired_worker_id: str | None = None
    sticky: bool = False
    key: str | None = None
    desired_worker_label: DesiredLabels = None
    delay: Duration | None = None
    run_at: datetime | None = None
    debounce: Debounce | None = None


class RunArguments(TypedDict, total=False):
    """The options of `run` and its relatives, by name.

    child_key: what memoises a child: asked for again, in a retry too, it is the same run. additional_metadata: over the definition's.
    priority: default: the definition's. sticky: of a child run: on its parent's worker. desired_worker_id: the worker, by its name.
    desired_worker_labels: desired labels, in place of the definition's. delay, run_at, debounce: when it starts; at most one of them.
    """

    child_key: str | None
    additional_metadata: Mapping[str, Any] | None
    priority: int | None
    sticky: bool
    desired_worker_id: str | None
    desired_worker_labels: Sequence[DesiredWorkerLabel] | None
    delay: Duration | None
    run_at: datetime | None
    debounce: Debounce | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleTriggerWorkflowOptions:
    """The options of a scheduled run."""

    parent_id: str | None = None
    parent_step_run_id: str | None = None
    child_index: int | None = None
    child_key: str | None = None
    namespace: str | None = None
    additional_metadata: Mapping[str, Any] = field(default_factory=dict)
    priority: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRunTriggerConfig:
    """One item of `run_many`. `key` is a label only."""

    workflow_name: str
    input: str | None
    options: TriggerWorkflowOptions = field(default_factory=TriggerWorkflowOptions)
    key: str | None = None
