"""What mypy --strict makes of the public API. Checked, never run: see test_typing.py."""

from collections.abc import Mapping
from typing import Any, assert_type

from pydantic import BaseModel

from headrace import Context, EmptyModel, Headrace, Standalone, Task, TaskRunRef, Workflow

hatchet = Headrace()


class In(BaseModel):
    n: int


class Out(BaseModel):
    n: int


@hatchet.task(input_validator=In)
def declared(input: In, ctx: Context) -> Out:
    return Out(n=input.n)


@hatchet.task()
def inferred(input: In, ctx: Context) -> Out:
    return Out(n=input.n)


@hatchet.task(input_validator=In)
async def asynchronous(input: In, ctx: Context) -> Out:
    return Out(n=input.n)


@hatchet.task()
def empty(input: EmptyModel, ctx: Context) -> dict[str, int]:
    return {"n": 1}


assert_type(declared, Standalone[In, Out])
assert_type(inferred, Standalone[In, Out])
assert_type(asynchronous, Standalone[In, Out])
assert_type(declared.run(In(n=1)), Out)
assert_type(asynchronous.run(In(n=1)), Out)
assert_type(declared.run(In(n=1), wait_for_result=False), TaskRunRef[In, Out])
assert_type(declared.run(In(n=1), wait_for_result=False).result(), Out)
assert_type(empty.run(), dict[str, int])
assert_type(declared.run_many([declared.create_bulk_run_item(In(n=1))]), list[Out])
assert_type(declared.mock_run(In(n=1)), Out)
assert_type(declared.get_result("id"), Out)


async def awaited() -> None:
    assert_type(await declared.aio_run(In(n=1)), Out)
    assert_type(await asynchronous.aio_mock_run(In(n=1)), Out)
    assert_type(await declared.aio_run_many([]), list[Out])


flow = hatchet.workflow(name="flow", input_validator=In)
assert_type(flow, Workflow[In])


@flow.task()
def first(input: In, ctx: Context) -> Out:
    return Out(n=input.n)


@flow.task(parents=[first])
async def second(input: In, ctx: Context) -> dict[str, int]:
    assert_type(ctx.task_output(first), Out)
    return {"n": ctx.task_output(first).n}


assert_type(first, Task[In, Out])
assert_type(second, Task[In, dict[str, int]])
assert_type(flow.run(In(n=1)), dict[str, Any])

stub = hatchet.stubs.task(name="declared", input_validator=In, output_validator=Out)
assert_type(stub.run(In(n=1)), Out)
metadata: Mapping[str, Any] = {}
