"""What is wrong with a definition is said where it is defined, naming the task, the value and what to give."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel, FieldSerializationInfo, field_serializer

from headrace import (
    Context,
    DefinitionError,
    EmptyModel,
    Headrace,
    ParentCondition,
    Priority,
    TaskDefaults,
    TTLBasedIdempotencyConfig,
    is_in_hatchet_serialization_context,
    or_,
)
from headrace.options.durations import to_timedelta
from headrace.values.codec import Codec


def step(input: EmptyModel, ctx: Context) -> dict[str, int]:
    return {"n": 1}


TASK_ERRORS: list[tuple[dict[str, Any], str]] = [
    ({"retries": -1}, r"task step of workflow step: retries is -1: give a number of retries, 0 or more"),
    ({"retries": 1.5}, r"retries is 1\.5"),
    (
        {"execution_timeout": timedelta(0)},
        r"task step of workflow step: execution_timeout is .*: give a time above 0",
    ),
    ({"execution_timeout": timedelta(seconds=-1)}, r"execution_timeout is .*cannot be negative"),
    (
        {"schedule_timeout": "5 minutes"},
        r"schedule_timeout is '5 minutes': give a timedelta, or a string such as '90s'",
    ),
    ({"execution_timeout": 60}, r"execution_timeout is 60: give a timedelta"),
    ({"backoff_factor": 0}, r"backoff_factor is 0: give a number above 0"),
    ({"backoff_max_seconds": 0}, r"backoff_max_seconds is 0"),
    ({"slot_cost": 0}, r"^slot_cost must be a positive integer$"),
    ({"default_priority": 7}, r"workflow step: default_priority is 7: give Priority\.LOW"),
    ({"name": ""}, r"a name has 1 to 128 characters"),
    ({"name": "a/b"}, r"a name cannot hold '/'"),
    (
        {"idempotency": TTLBasedIdempotencyConfig("input.", timedelta(hours=1))},
        r"workflow step: the idempotency key: .*line:column 1:7",
    ),
    (
        {"idempotency": TTLBasedIdempotencyConfig("input.id", timedelta(0))},
        r"held for 0:00:00: give a positive time",
    ),
]


@pytest.mark.parametrize(("options", "message"), TASK_ERRORS)
def test_a_task_that_cannot_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        Headrace().task(**options)(step)


def test_two_of_one_name() -> None:
    app = Headrace()
    app.task(name="twice")(step)
    with pytest.raises(DefinitionError, match="two workflows are named 'twice'"):
        app.workflow(name="twice")
    flow = app.workflow(name="flow")
    flow.task(name="a")(step)
    with pytest.raises(DefinitionError, match="workflow flow has two tasks named 'a'"):
        flow.task(name="a")(step)


def test_a_definition_that_is_refused_leaves_no_name_behind() -> None:
    app = Headrace()
    with pytest.raises(DefinitionError, match="retries is -1"):
        app.task(name="again", retries=-1)(step)
    assert app.task(name="again")(step).name == "again"
    assert list(app._workflows_by_name) == ["again"]


def test_validators_tell_the_wire_by_pydantics_info_and_by_its_context() -> None:
    seen: list[tuple[bool, bool]] = []

    class Card(BaseModel):
        number: str

        @field_serializer("number")
        def hide(self, number: str, info: FieldSerializationInfo) -> str:
            seen.append(
                (is_in_hatchet_serialization_context(info), is_in_hatchet_serialization_context(info.context))
            )
            return number

    Codec(Card).text_of(Card(number="4242"))
    Card(number="4242").model_dump()
    assert seen == [(True, True), (False, False)]


def test_parents_are_tasks_of_the_same_workflow() -> None:
    app = Headrace()
    one, other = app.workflow(name="one"), app.workflow(name="other")
    foreign = other.task(name="foreign")(step)
    with pytest.raises(
        DefinitionError, match=r"task b of workflow one: its parent 'foreign' is not a task of workflow one"
    ):
        one.task(name="b", parents=[foreign])(step)


def test_one_on_failure_task() -> None:
    flow = Headrace().workflow(name="flow")
    flow.task(name="a")(step)
    assert flow.on_failure_task()(step).name == "step-on-failure"
    with pytest.raises(DefinitionError, match=r"^Only one on-failure task is allowed$"):
        flow.on_failure_task(name="again")(step)


def test_the_on_success_task_follows_all_leaves() -> None:
    flow = Headrace().workflow(name="flow")
    a = flow.task(name="a")(step)
    flow.task(name="b", parents=[a])(step)
    flow.task(name="c", parents=[a])(step)
    done = flow.on_success_task(name="done")(step)
    assert (done.name, [parent.name for parent in done.parents]) == ("done-on-success", ["b", "c"])


def test_conditions_are_on_parents_with_keys_of_their_own() -> None:
    flow = Headrace().workflow(name="flow")
    a, b = flow.task(name="a")(step), flow.task(name="b")(step)
    with pytest.raises(
        DefinitionError, match=r"a ParentCondition is on b, which is not among its parents \['a'\]"
    ):
        flow.task(name="c", parents=[a], skip_if=[ParentCondition(b, "output.n > 1")])(step)
    twice = [ParentCondition(a, "output.n > 1"), or_(ParentCondition(a, "output.n > 1"))]
    with pytest.raises(DefinitionError, match=r"^Conditions must have unique readable data keys\.$"):
        flow.task(name="d", parents=[a], skip_if=twice)(step)
    with pytest.raises(DefinitionError, match=r"the condition on a: .*1:11"):
        flow.task(name="e", parents=[a], skip_if=[ParentCondition(a, "output.n >")])(step)


def test_task_defaults_fill_what_was_left_alone() -> None:
    defaults = TaskDefaults(retries=3, execution_timeout=timedelta(minutes=2), backoff_factor=2.0)
    flow = Headrace().workflow(name="flow", task_defaults=defaults)
    flow.task(name="a")(step)
    flow.task(name="b", retries=1)(step)
    a, b = flow.plan().tasks
    assert (a.retries, a.execution_timeout_ms, a.backoff_factor) == (3, 120_000, 2.0)
    assert b.retries == 1
    with pytest.raises(DefinitionError, match="priority is 4"):
        TaskDefaults(priority=4)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1h30m", 5400), ("1.5h", 5400), ("250ms", 0.25), ("2d", 172_800)]
)
def test_durations_as_strings(text: str, seconds: float) -> None:
    assert to_timedelta(text, "it").total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "5", "-5s", "5 s", "1x", "s"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(DefinitionError, match="it is "):
        to_timedelta(text, "it")


WORKER_ERRORS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"name": "dead-letters"}, DefinitionError, "a worker's name is part of a queue's"),
    ({"name": "!!"}, DefinitionError, "worker '!!'"),
    ({"name": "w", "memory": 64}, DefinitionError, "worker w: memory is 64 MB: Lambda takes 128 to 10,240"),
    ({"name": "w", "batch_size": 11}, DefinitionError, "batch_size is 11"),
    ({"name": "w", "slots": 0}, DefinitionError, "slots is 0"),
    ({"name": "w", "timeout": timedelta(hours=1)}, DefinitionError, "timeout is 1:00:00"),
    ({"name": "w", "architecture": "sparc"}, DefinitionError, "architecture is 'sparc'"),
    ({"name": "w", "maximum_concurrency": 1}, DefinitionError, "maximum_concurrency is 1"),
    ({"name": "w", "workflows": [step]}, TypeError, "is not a workflow"),
    ({"name": "w", "labels": {"gpu": None}}, DefinitionError, "worker w: label 'gpu' is None: give a string"),
    (
        {"name": "w", "process": True, "memory": 1024},
        DefinitionError,
        "worker w: memory is 1024, but with process=True it has no Lambda function: leave it out",
    ),
]


@pytest.mark.parametrize(("options", "kind", "message"), WORKER_ERRORS)
def test_a_worker_that_cannot_work(options: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        Headrace().worker(**options)


def test_workers_take_tasks_by_their_labels() -> None:
    from headrace import DesiredWorkerLabel

    app = Headrace()
    wishes = {"gpu": DesiredWorkerLabel(value="yes", required=True)}
    picky = app.task(name="picky", desired_worker_labels=wishes)(step)
    app.worker("plain", workflows=[picky])
    with pytest.raises(
        DefinitionError, match=r"requires a worker with gpu='yes'; of the workers .*\(plain\) none has"
    ):
        picky.plan()
    app.worker("gpu", labels={"gpu": "yes"}, workflows=[picky])
    assert picky.plan().tasks[0].worker == "gpu"


def test_defaults_are_hatchets() -> None:
    plan = Headrace().task()(step).plan()
    [task] = plan.tasks
    assert (plan.workflow, task.name, plan.standalone) == ("step", "step", True)
    assert (task.retries, task.execution_timeout_ms, task.schedule_timeout_ms) == (0, 60_000, 300_000)
    assert Headrace().task()(step).config.default_priority is Priority.LOW


def test_a_namespace_stands_before_every_name() -> None:
    from headrace import Settings

    app = Headrace(config=Settings(namespace="Staging"))
    assert app.task()(step).name == "staging_step"
    assert app.namespace == "staging_"


def test_an_app_makes_no_request_and_needs_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def no_network(*arguments: object) -> None:
        raise AssertionError("a definition reached for the network")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    app = Headrace()
    task = app.task()(step)
    app.worker("w", workflows=[task])
    assert task.plan().tasks[0].worker == "w"


def test_a_durable_task_with_a_slot_cost_is_refused_by_name() -> None:
    with pytest.raises(
        DefinitionError, match=r"durable task waits has a slot_cost, but takes one slot.*leave slot_cost out"
    ):
        Headrace().durable_task(name="waits", slot_cost=2)  # type: ignore[call-arg]  # what mypy refuses too
