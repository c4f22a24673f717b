"""Options of a trigger, and items of a bulk run (Hatchet's names; the flat keyword arguments of `run` are preferred)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from headrace.options.debounce import Debounce
from headrace.options.durations import Duration
from headrace.options.labels import DesiredLabels


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerWorkflowOptions:
    """Deprecated as an argument: give the fields to `run` themselves.

    desired_worker_id: the name of the worker that all tasks of the run go to. desired_worker_label: wishes by key, or a list of
    them; they replace what the definition wishes. sticky: of a child run: on its parent's worker.
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
