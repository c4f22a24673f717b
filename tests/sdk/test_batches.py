"""Batch tasks as a user declares and runs them: what functions get and return, what is refused, and what it says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Annotated, Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import BaseModel, field_validator

from headrace import (
    BatchMemberId,
    Context,
    DefinitionError,
    Depends,
    EmptyModel,
    FailedTaskRunExceptionGroup,
    Headrace,
    RunStatus,
    Settings,
)
from headrace.telemetry.otel import HatchetInstrumentor
from headrace_infra.local.stack import LocalStack
from headrace_infra.testing import local

app = Headrace()


class Text(BaseModel):
    text: str
    lang: str = "en"

    @field_validator("text")
    @classmethod
    def not_rude(cls, text: str) -> str:
        if text == "damn":
            raise ValueError("mind your language")
        return text


class Vector(BaseModel):
    size: int
    of: int


def config(input: object, ctx: Context) -> str:
    return "configured"


sizes: list[int] = []
returns: list[Callable[[dict[BatchMemberId, Text]], Any]] = []


@app.batch_task(batch_max_size=3, batch_max_interval=timedelta(seconds=2))
def embed(inputs: dict[BatchMemberId, Text], ctx: Context) -> dict[BatchMemberId, Vector]:
    sizes.append(len(inputs))
    return {name: Vector(size=len(each.text), of=len(inputs)) for name, each in inputs.items()}


@app.batch_task(batch_max_size=2, batch_max_interval=timedelta(seconds=2))
async def embed_async(inputs: dict[BatchMemberId, Text], ctx: Context) -> dict[BatchMemberId, Vector]:
    await asyncio.sleep(0)
    return {name: Vector(size=len(each.text), of=len(inputs)) for name, each in inputs.items()}


@app.batch_task(batch_max_size=3, batch_max_interval=timedelta(seconds=2), broadcast_output=True)
def total(inputs: dict[BatchMemberId, Text], ctx: Context) -> Vector:
    return Vector(size=sum(len(each.text) for each in inputs.values()), of=len(inputs))


@app.batch_task(batch_max_size=2, batch_max_interval=timedelta(seconds=2), input_validator=Text)
def faulty(inputs: dict[BatchMemberId, Text], ctx: Context) -> dict[BatchMemberId, dict[str, Any]]:
    found: dict[BatchMemberId, dict[str, Any]] = returns[0](inputs)
    return found


@app.batch_task(batch_max_size=10, batch_max_interval=timedelta(seconds=2), batch_group_key="input.lang")
def by_language(inputs: dict[BatchMemberId, Text], ctx: Context) -> dict[BatchMemberId, dict[str, str]]:
    langs = ",".join(sorted({each.lang for each in inputs.values()}))
    return {name: {"langs": langs} for name in inputs}


@app.batch_task(batch_max_size=2, batch_max_interval=timedelta(seconds=2))
def with_dependency(
    inputs: dict[BatchMemberId, Text], ctx: Context, *, found: Annotated[str, Depends(config)]
) -> dict[BatchMemberId, dict[str, str]]:
    return {name: {"found": found, "member": name} for name in inputs}


pipeline = app.workflow(name="pipeline", input_validator=Text)


@pipeline.task()
def clean(input: Text, ctx: Context) -> dict[str, str]:
    return {"text": input.text.strip()}


@pipeline.batch_task(parents=[clean], batch_max_size=2, batch_max_interval=timedelta(seconds=2))
def store(inputs: dict[BatchMemberId, Text], ctx: Context) -> dict[BatchMemberId, dict[str, int]]:
    return {name: {"of": len(inputs)} for name in inputs}


@pipeline.task(parents=[store])
def after(input: Text, ctx: Context) -> dict[str, Any]:
    return {"store": ctx.task_output(store)}


@pytest.fixture(scope="module", params=["memory", "moto"])
def stack(request: pytest.FixtureRequest) -> Iterator[LocalStack]:
    with local(app, backend=request.param, background=False) as running:
        yield running


def errors(ref: Any) -> str:
    with pytest.raises(FailedTaskRunExceptionGroup) as raised:
        ref.result()
    return str(raised.value.exceptions[0])


def test_each_run_gets_its_own_output(stack: LocalStack) -> None:
    sizes.clear()
    refs = [embed.run(Text(text="x" * n), wait_for_result=False) for n in range(7)]
    stack.drain()
    assert [ref.result() for ref in refs] == [Vector(size=n, of=1 if n == 6 else 3) for n in range(7)]
    assert sizes == [3, 3, 1]


def test_an_async_function_and_a_bulk_run(stack: LocalStack) -> None:
    items = [embed_async.create_bulk_run_item(Text(text="x" * n)) for n in range(4)]
    refs = embed_async.run_many(items, wait_for_result=False)
    stack.drain()
    assert [ref.result().size for ref in refs] == [0, 1, 2, 3]


def test_one_output_for_all(stack: LocalStack) -> None:
    refs = [total.run(Text(text="xy"), wait_for_result=False) for _ in range(3)]
    stack.drain()
    assert [ref.result() for ref in refs] == [Vector(size=6, of=3)] * 3


def test_runs_of_different_keys_are_never_together(stack: LocalStack) -> None:
    refs = [by_language.run(Text(text="x", lang=lang), wait_for_result=False) for lang in ("en", "de") * 2]
    stack.drain()
    assert [ref.result()["langs"] for ref in refs] == ["en", "de"] * 2


def test_dependencies_and_what_members_are_called(stack: LocalStack) -> None:
    refs = [with_dependency.run(Text(text="x"), wait_for_result=False) for _ in range(2)]
    stack.drain()
    assert [ref.result() for ref in refs] == [
        {"found": "configured", "member": ref.workflow_run_id} for ref in refs
    ]


def test_in_a_workflow_it_comes_between_its_parents_and_its_children(stack: LocalStack) -> None:
    refs = [pipeline.run(Text(text=" x "), wait_for_result=False) for _ in range(2)]
    stack.drain()
    assert [ref.result()["after"] for ref in refs] == [{"store": {"of": 2}}] * 2


def test_an_input_that_is_not_valid_fails_its_run_alone(stack: LocalStack) -> None:
    rude = embed.run({"text": "damn"}, wait_for_result=False)  # type: ignore[call-overload]  # as another process sends it
    refs = [embed.run(Text(text="x"), wait_for_result=False) for _ in range(2)]
    stack.drain()
    assert [ref.result().of for ref in refs] == [2, 2]
    assert "mind your language" in errors(rude)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (lambda inputs: ["x"], "Batch task 'faulty' must return a dict of outputs, not list"),
        (lambda inputs: None, "Batch task 'faulty' must return a dict of outputs, not NoneType"),
        (
            lambda inputs: {name: {} for name in list(inputs)[:1]},
            "Batch task 'faulty' returned 1 outputs for 2 inputs",
        ),
        (
            lambda inputs: {**{name: {} for name in inputs}, "who": {}},
            "Batch task 'faulty' returned outputs for unknown step run ids: who",
        ),
    ],
)
def test_what_a_function_returns_is_checked(
    stack: LocalStack, given: Callable[[dict[BatchMemberId, Text]], Any], says: str
) -> None:
    returns[:] = [given]
    refs = [faulty.run(Text(text="x"), wait_for_result=False) for _ in range(2)]
    stack.drain()
    assert all(says in errors(ref) for ref in refs)


def test_an_output_that_is_none_of_ours_fails_its_run_alone(stack: LocalStack) -> None:
    returns[:] = [lambda inputs: {name: {"ok": 1} if n else 7 for n, name in enumerate(inputs)}]
    refs = [faulty.run(Text(text="x"), wait_for_result=False) for _ in range(2)]
    stack.drain()
    statuses = sorted(app.runs.get(ref.workflow_run_id).run.status for ref in refs)
    assert statuses == [RunStatus.COMPLETED, RunStatus.FAILED]


def test_what_it_raises_fails_all_and_is_not_tried_again(stack: LocalStack) -> None:
    calls: list[int] = []

    def given(inputs: dict[BatchMemberId, Text]) -> Any:
        calls.append(len(inputs))
        raise ValueError("the service is not there")

    returns[:] = [given]
    refs = [faulty.run(Text(text="x"), wait_for_result=False) for _ in range(2)]
    stack.drain()
    assert all("the service is not there" in errors(ref) for ref in refs)
    assert calls == [2]


def test_a_run_that_waits_for_its_batch_says_so(stack: LocalStack) -> None:
    ref = embed.run(Text(text="x"), wait_for_result=False)
    stack.deliver_all()
    [task] = app.runs.get(ref.workflow_run_id).tasks
    assert (task.status, task.waits_for) == (RunStatus.QUEUED, "its batch")

    def told() -> list[str]:
        return [event.event_type.value for event in app.runs.get(ref.workflow_run_id).task_events]

    assert told()[-1] == "WAITING_FOR_BATCH"
    stack.drain()
    assert ref.result().of == 1
    assert told() == [
        "CREATED",
        "QUEUED",
        "WAITING_FOR_BATCH",
        "BATCH_FLUSHED",
        "ASSIGNED",
        "STARTED",
        "FINISHED",
    ]


def test_a_batch_is_one_span_with_a_link_to_each_of_its_callers(stack: LocalStack) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    HatchetInstrumentor(tracer_provider=provider, config=Settings()).instrument()
    try:
        for _ in range(3):
            embed.run(Text(text="x"), wait_for_result=False)
        stack.drain()
    finally:
        HatchetInstrumentor().uninstrument()
    spans = exporter.get_finished_spans()
    callers = {span.context.span_id for span in spans if span.name == "hatchet.run_workflow"}
    [batch] = [span for span in spans if span.name == "hatchet.start_step_run"]
    assert {link.context.span_id for link in batch.links} == callers
    assert len(callers) == 3
    assert (batch.attributes or {})["hatchet.batch_size"] == 3


def test_a_unit_test_calls_it_with_a_dict() -> None:
    found: Any = embed.mock_run({BatchMemberId("a"): Text(text="xx")})  # type: ignore[arg-type]  # the inputs of several
    assert found == {"a": Vector(size=2, of=1)}


# ---------------------------------------------------------------- declarations


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"batch_max_size": 0}, "batch_max_size is 0: give a number of runs, at least 1"),
        ({"batch_max_size": True}, "batch_max_size is True"),
        ({"batch_max_size": 10_001}, "batch_max_size is 10,001: give at most 10,000 runs"),
        ({"batch_max_interval": timedelta(0)}, "batch_max_interval is .*: give a time above 0"),
        ({"batch_max_interval": timedelta(minutes=5)}, "has waited for its schedule_timeout of 300s"),
        ({"batch_group_key": ""}, "batch_group_key is '': give a CEL expression, or None"),
        ({"batch_group_key": "input."}, "batch_group_key"),
        ({"batch_group_max_runs": 0}, "batch_group_max_runs is 0: give a number of batches, at least 1"),
        ({"broadcast_output": "yes"}, "broadcast_output is 'yes': give True or False"),
    ],
)
def test_what_cannot_be_is_refused_where_it_is_declared(options: dict[str, Any], says: str) -> None:
    one = Headrace()
    with pytest.raises((DefinitionError, ValueError), match=says):

        @one.batch_task(**options)
        def bad(inputs: dict[BatchMemberId, EmptyModel], ctx: Context) -> dict[BatchMemberId, EmptyModel]:
            return {}


@pytest.mark.parametrize("name", ["retries", "concurrency", "on_events", "batch_size"])
def test_options_that_a_batch_task_has_not(name: str) -> None:
    one = Headrace()
    with pytest.raises(TypeError, match=f"batch task x has no option '{name}'"):
        one.batch_task(name="x", **{name: 1})  # type: ignore[call-overload]  # it is refused


def test_types_come_from_the_function() -> None:
    assert embed.input_validator_type is Text
    assert embed.output_validator_type is Vector
    assert total.output_validator_type is Vector
