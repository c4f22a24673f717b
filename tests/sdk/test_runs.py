"""Runs on the local runtime, as a user sees them: results, children, keys, limits of time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from headrace import (
    BulkTriggerIdempotencyCollisionError,
    Context,
    DedupeViolationError,
    DurableContext,
    EmptyModel,
    FailedTaskRunExceptionGroup,
    Headrace,
    IdempotencyCollisionError,
    NonRetryableException,
    PayloadTooLargeError,
    Priority,
    StatusBasedIdempotencyConfig,
    TaskRunError,
    TTLBasedIdempotencyConfig,
)
from headrace_infra.local.stack import LocalStack
from headrace_infra.testing import local

app = Headrace()


class In(BaseModel):
    n: int = 1


class Out(BaseModel):
    n: int


@dataclass
class Point:
    x: int


async def lifespan() -> AsyncGenerator[dict[str, str], None]:
    yield {"db": "connected"}


@app.task(input_validator=In, default_additional_metadata={"team": "core"})
def describe(input: In, ctx: Context) -> dict[str, Any]:
    return {
        "metadata": ctx.additional_metadata,
        "priority": ctx.priority,
        "lifespan": ctx.lifespan,
        "run": ctx.workflow_run_id,
        "task_run": ctx.task_run_id,
        "workflow": ctx.workflow_name,
        "parent": ctx.parent_workflow_run_id,
        "index": ctx.child_index,
        "key": ctx.child_key,
        "current": app.current_context is ctx,
    }


@app.task(input_validator=In)
async def double(input: In, ctx: Context) -> Out:
    await asyncio.sleep(0)
    return Out(n=2 * input.n)


@app.task()
def points(input: Point, ctx: Context) -> Point:
    return Point(x=input.x + 1)


@app.task()
def nothing(input: EmptyModel, ctx: Context) -> None:
    return None


@app.task(retries=3)
def final(input: EmptyModel, ctx: Context) -> None:
    raise NonRetryableException("no use")


@app.task()
def illegal(input: EmptyModel, ctx: Context) -> Any:
    return [1, 2]


@app.task(execution_timeout=timedelta(seconds=1))
def sleeper(input: EmptyModel, ctx: Context) -> None:
    time.sleep(30)


@app.task(execution_timeout=timedelta(milliseconds=300))
def stubborn(input: EmptyModel, ctx: Context) -> None:
    end = time.monotonic() + 6
    while time.monotonic() < end:
        with contextlib.suppress(BaseException):  # what no code should do
            time.sleep(0.05)


@app.task(execution_timeout=timedelta(milliseconds=300))
async def blocking(input: EmptyModel, ctx: Context) -> None:
    time.sleep(6)


@app.task(retries=2)
def spawns(input: EmptyModel, ctx: Context) -> dict[str, Any]:
    child = describe.run(
        In(n=1), additional_metadata={"mine": 1, "hatchet__parent_workflow_run_id": "forged"}
    )
    keyed = describe.run(In(n=2), child_key="k")
    if ctx.retry_count < 2:
        raise ValueError("again")
    return {"child": child, "keyed": keyed}


@app.task(input_validator=In)
async def spawns_many(input: In, ctx: Context) -> dict[str, int]:
    items = [double.create_bulk_run_item(In(n=n)) for n in range(input.n)]
    return {"sum": sum(out.n for out in await double.aio_run_many(items))}


@app.task()
def clashes(input: EmptyModel, ctx: Context) -> None:
    describe.run(child_key="same", wait_for_result=False)
    with pytest.raises(DedupeViolationError, match="DUPLICATE_WORKFLOW_RUN"):
        double.run(child_key="same", wait_for_result=False)


woken: list[int] = []


@app.durable_task(input_validator=In)
async def waits_for_many(input: In, ctx: DurableContext) -> dict[str, Any]:
    woken.append(ctx.invocation_count)
    slow = await napping.aio_run_many([napping.create_bulk_run_item(In(n=n)) for n in range(input.n)])
    try:
        await final.aio_run()
    except TaskRunError as error:
        return {"sum": sum(out.n for out in slow), "error": error.exc}
    return {}


@app.task(input_validator=In)
async def napping(input: In, ctx: Context) -> Out:
    await asyncio.sleep(1.4 if input.n == 0 else 0)
    return Out(n=input.n)


@app.task(
    input_validator=In, idempotency=TTLBasedIdempotencyConfig("'n' + string(input.n)", timedelta(hours=1))
)
def once_an_hour(input: In, ctx: Context) -> Out:
    return Out(n=input.n)


@app.task(
    input_validator=In,
    idempotency=StatusBasedIdempotencyConfig("additional_metadata.order", timedelta(hours=1)),
)
def one_at_a_time(input: In, ctx: Context) -> Out:
    return Out(n=input.n)


app.worker("all", workflows=list(app._workflows_by_name.values()), lifespan=lifespan)


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    with local(app) as running:
        yield running


@pytest.fixture(autouse=True)
def _running(stack: LocalStack) -> None:
    """Every test here runs on the stack."""


def test_the_context() -> None:
    found = describe.run(In(), additional_metadata={"a": [1]}, priority=Priority.HIGH)
    assert found["metadata"] == {"team": "core", "a": [1]}
    assert (found["priority"], found["lifespan"]) == (3, {"db": "connected"})
    assert found["run"] == found["task_run"]
    assert (found["workflow"], found["parent"], found["current"]) == ("describe", None, True)


def test_results_come_in_the_type_that_was_declared() -> None:
    assert double.run(In(n=4)) == Out(n=8)
    assert points.run(Point(x=1)) == Point(x=2)
    assert nothing.run() is None


def test_from_async_code() -> None:
    async def both() -> list[Out]:
        ref = await double.aio_run(In(n=1), wait_for_result=False)
        return [await ref.aio_result(), await double.aio_run(In(n=2))]

    assert asyncio.run(both()) == [Out(n=2), Out(n=4)]


def test_many_at_once_in_order() -> None:
    items = [double.create_bulk_run_item(In(n=n), key=f"item {n}") for n in range(25)]
    assert double.run_many(items) == [Out(n=2 * n) for n in range(25)]
    mixed = double.run_many(
        [double.create_bulk_run_item(In(n=1)), double.create_bulk_run_item({"n": "x"})],  # type: ignore[arg-type]  # bad on purpose
        return_exceptions=True,
    )
    assert mixed[0] == Out(n=2)
    assert isinstance(mixed[1], FailedTaskRunExceptionGroup)


def test_by_reference_from_anywhere() -> None:
    ref = double.run(In(n=3), wait_for_result=False)
    assert double.get_result(str(ref)) == Out(n=6)
    assert app.runs.get_result(ref.workflow_run_id) == {"double": {"n": 6}}
    with pytest.raises(ValueError, match="Workflow run nope not found"):
        double.get_result("nope")


def test_a_stub_needs_no_code() -> None:
    other = Headrace()
    other.use(None)
    other._engine = app.engine  # another process on the same stack
    assert other.stubs.task(name="double", output_validator=Out).run(In(n=5)) == Out(n=10)
    with pytest.raises(ValueError, match="no workflow 'nothere' is registered in stack"):
        other.stubs.workflow(name="nothere").run()


def test_bad_input_fails_at_once_with_the_field() -> None:
    with pytest.raises(FailedTaskRunExceptionGroup) as failed:
        double.run({"n": "many"})  # type: ignore[call-overload]  # bad on purpose
    [error] = failed.value.exceptions
    assert error.exc_type == "ValidationError"
    assert "The input of task double is not valid" in error.exc
    assert "\nn\n" in error.exc


def test_what_a_task_raises_reaches_the_caller(stack: LocalStack) -> None:
    with pytest.raises(FailedTaskRunExceptionGroup) as failed:
        final.run()
    [error] = failed.value.exceptions
    assert (error.exc_type, error.exc) == ("NonRetryableException", "no use")
    assert "raise NonRetryableException" in error.trace
    assert "headrace/runtime" not in error.trace


def test_an_illegal_output() -> None:
    with pytest.raises(FailedTaskRunExceptionGroup, match="Tasks must return either a dictionary"):
        illegal.run()


def test_an_input_over_the_limit_is_refused_at_the_call(stack: LocalStack) -> None:
    before = len(stack.runs())
    with pytest.raises(
        PayloadTooLargeError, match=r"the input of describe is 5,000,\d+ bytes; the limit is 4,194,304"
    ):
        describe.run({"text": "x" * 5_000_000})  # type: ignore[call-overload]  # any object will do
    assert len(stack.runs()) == before


def test_large_payloads_go_to_the_bucket() -> None:
    big = Headrace().task  # only to show that nothing special is needed
    assert big is not None
    found = app.stubs.task(name="describe").run({"n": 1, "text": "x" * 1_000_000})
    assert found["workflow"] == "describe"


@pytest.mark.parametrize(
    ("task", "limit", "latest_s"), [(sleeper, "1s", 25), (stubborn, "0.3s", 5), (blocking, "0.3s", 5)]
)
def test_execution_timeouts(task: Any, limit: str, latest_s: float) -> None:
    began = time.monotonic()
    with pytest.raises(FailedTaskRunExceptionGroup, match=f"Task exceeded timeout of {limit}"):
        task.run()
    assert time.monotonic() - began < latest_s


def test_children_are_the_same_over_retries(stack: LocalStack) -> None:
    before = {record.run_id for record in stack.runs()}
    ref = spawns.run(wait_for_result=False, additional_metadata={"trace": "t"})
    found = ref.result()
    new = [record for record in stack.runs() if record.run_id not in before]
    assert len(new) == 3
    assert found["child"]["parent"] == ref.workflow_run_id
    assert (found["child"]["index"], found["keyed"]["key"]) == (0, "k")
    metadata = found["child"]["metadata"]
    assert (metadata["trace"], metadata["mine"], metadata["team"]) == ("t", 1, "core")
    assert metadata["hatchet__parent_workflow_run_id"] == ref.workflow_run_id


def test_many_children_of_an_async_parent() -> None:
    assert spawns_many.run(In(n=30)) == {"sum": 2 * sum(range(30))}


def test_a_child_key_names_one_child() -> None:
    assert clashes.run() is None


def test_a_durable_parent_ends_its_invocation_while_it_waits(stack: LocalStack) -> None:
    woken.clear()
    assert waits_for_many.run(In(n=120)) == {"sum": sum(range(120)), "error": "no use"}
    assert woken[:2] == [1, 2]


def test_idempotency_by_time() -> None:
    first = once_an_hour.run(In(n=7), wait_for_result=False)
    with pytest.raises(IdempotencyCollisionError) as collision:
        once_an_hour.run(In(n=7))
    assert collision.value.existing_run_external_id == first.workflow_run_id
    assert once_an_hour.run(In(n=8)) == Out(n=8)


def test_idempotency_in_bulk_starts_the_others() -> None:
    once_an_hour.run(In(n=20))
    with pytest.raises(BulkTriggerIdempotencyCollisionError) as collision:
        once_an_hour.run_many([once_an_hour.create_bulk_run_item(In(n=n)) for n in (20, 21, 22)])
    assert len(collision.value.successful_workflow_run_external_ids) == 2
    assert len(collision.value.collisions) == 1


def test_idempotency_by_status_is_released_at_the_end() -> None:
    for _ in range(2):
        assert one_at_a_time.run(In(n=1), additional_metadata={"order": "o1"}) == Out(n=1)


def test_run_returns_within_50_ms_of_the_tasks_end() -> None:
    late: list[float] = []
    for _ in range(20):  # of which one falls into a quiet moment of a busy machine
        ref = double.run(In(n=1), wait_for_result=False)
        ref.result()
        returned_at = time.time()
        record = app.runs.get(ref.workflow_run_id).run
        assert record.finished_at is not None
        late.append(returned_at - record.finished_at.timestamp())
    assert min(late) < 0.2  # a machine on which others compute takes its time to wake a thread
