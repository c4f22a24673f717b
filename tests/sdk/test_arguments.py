"""The options that type checkers know are those that there are."""

from __future__ import annotations

import inspect
from dataclasses import fields

from headrace.app import Headrace
from headrace.definitions.arguments import (
    BatchArguments,
    DagArguments,
    DagTaskArguments,
    DurableArguments,
    StandaloneArguments,
    TaskArguments,
    names_of,
)
from headrace.definitions.base import WorkflowConfig
from headrace.definitions.declaring import _DAG, _DURABLE, _STANDALONE
from headrace.definitions.task_options import TaskOptions
from headrace.definitions.workflow import _ENDING, _TASK
from headrace.options.batch import BatchOptions
from headrace.triggers.options import RunArguments, TriggerWorkflowOptions
from headrace.triggers.triggered import _RUN_OPTIONS, Triggered


def test_options_of_run_are_those_of_an_item() -> None:
    item = set(inspect.signature(Triggered.create_bulk_run_item).parameters) - {
        "self",
        "input",
        "key",
        "options",
    }
    assert set(names_of(RunArguments)) == item
    assert item >= set(_RUN_OPTIONS)
    known = {each.name for each in fields(TriggerWorkflowOptions)}
    assert {name.replace("desired_worker_labels", "desired_worker_label") for name in item} <= known


def test_options_of_tasks() -> None:
    known = {each.name for each in fields(TaskOptions)} - {"batch"}  # what batch_task makes of its own
    assert set(names_of(DagTaskArguments)) | {"eviction_policy"} == known | {"parents"}
    assert sorted(_TASK) == sorted(names_of(DagTaskArguments))
    assert sorted(_ENDING) == sorted(names_of(TaskArguments))
    assert sorted(_STANDALONE) == sorted(names_of(StandaloneArguments))
    assert sorted(_DURABLE) == sorted(names_of(DurableArguments))


def test_options_of_batch_tasks() -> None:
    """`broadcast_output` is apart: it decides what the function returns."""
    of_batches = {each.name for each in fields(BatchOptions)} - {"broadcast_output"}
    known = {each.name for each in fields(TaskOptions)}
    assert {name for name in names_of(BatchArguments) if name.startswith("batch_")} == of_batches
    assert {name for name in names_of(BatchArguments) if not name.startswith("batch_")} <= known


def test_options_of_workflows() -> None:
    assert sorted(_DAG) == sorted(names_of(DagArguments))
    assert {each.name for each in fields(WorkflowConfig)} == {*_DAG, "name", "input_validator"}


def test_options_by_place_stand_in_hatchet_s_order() -> None:
    flow = Headrace().workflow(name="flow")
    made = flow.task("a", "1m", "2m", None, 3)._options
    assert (made.schedule_timeout, made.execution_timeout, made.retries) == ("1m", "2m", 3)
