"""What stands around a task: lifespans, dependencies, dataclasses, stubs, logs, streams, mocks, validators that compress."""

import asyncio
import base64
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from hatchet_sdk import ClientConfig, Context, Depends, EmptyModel, Hatchet
from hatchet_sdk.serde import is_in_hatchet_serialization_context
from pydantic import BaseModel, ValidationInfo, field_serializer, field_validator

logger = logging.getLogger("outside")
logger.setLevel(logging.INFO)
hatchet = Hatchet(config=ClientConfig(logger=logger))


class Pool(BaseModel):
    size: int


async def lifespan() -> AsyncGenerator[Pool, None]:
    yield Pool(size=7)


async def number(input: EmptyModel, ctx: Context) -> int:
    return 3


async def doubled(input: EmptyModel, ctx: Context, n: Annotated[int, Depends(number)]) -> int:
    return 2 * n


@hatchet.task()
async def depends(input: EmptyModel, ctx: Context, n: Annotated[int, Depends(doubled)]) -> dict[str, int]:
    return {"n": n, "pool": ctx.lifespan.size}


@dataclass
class Point:
    x: int


@hatchet.task(input_validator=Point)
def moved(input: Point, ctx: Context) -> Point:
    return Point(x=input.x + 1)


class Packed(BaseModel):
    text: str

    @field_serializer("text")
    def packs(self, value: str, info: Any) -> str:
        return (
            base64.b64encode(value.encode()).decode() if is_in_hatchet_serialization_context(info) else value
        )

    @field_validator("text", mode="before")
    @classmethod
    def unpacks(cls, value: str, info: ValidationInfo) -> str:
        return base64.b64decode(value).decode() if is_in_hatchet_serialization_context(info) else value


@hatchet.task(input_validator=Packed)
def packed(input: Packed, ctx: Context) -> Packed:
    return Packed(text=input.text + "!")


@hatchet.task()
async def talks(input: EmptyModel, ctx: Context) -> dict[str, str]:
    logger.info("by the logger")
    ctx.log("by the context")
    await asyncio.sleep(0.5)
    for chunk in ("a", "b", "c"):
        await ctx.aio_put_stream(chunk)
    return {}


worker = hatchet.worker("outside", lifespan=lifespan, workflows=[depends, moved, packed, talks])


def test_dependencies_and_lifespan() -> None:
    assert depends.run() == {"n": 6, "pool": 7}


async def test_mocks() -> None:
    assert (await depends.aio_mock_run(lifespan=Pool(size=1), dependencies={"n": 4})) == {"n": 4, "pool": 1}
    assert moved.mock_run(Point(x=1)) == Point(x=2)
    with pytest.raises(TypeError):
        depends.mock_run()


def test_dataclasses() -> None:
    assert moved.run(Point(x=4)) == Point(x=5)


def test_validators_know_the_wire() -> None:
    ref = packed.run(Packed(text="hello"), wait_for_result=False)
    assert ref.result() == Packed(text="hello!")
    assert hatchet.runs.get(ref.workflow_run_id).run.output["text"] == base64.b64encode(b"hello!").decode()


def test_stubs() -> None:
    stub = hatchet.stubs.task(name="moved", input_validator=Point, output_validator=Point)
    assert stub.run(Point(x=1)) == Point(x=2)


async def test_streams_and_logs() -> None:
    ref = await talks.aio_run(wait_for_result=False)
    chunks = [chunk async for chunk in hatchet.runs.subscribe_to_stream(ref.workflow_run_id)]
    assert chunks == ["a", "b", "c"]
    lines: list[str] = []
    for _ in range(50):
        found = await hatchet.logs.aio_list(task_run_id=ref.workflow_run_id)
        lines = [line.message for line in found.rows or []]
        if len(lines) >= 2:
            break
        await asyncio.sleep(0.05)
    assert {"by the logger", "by the context"} <= set(lines)
