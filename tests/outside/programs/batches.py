"""Batch tasks: many runs, one call of the function."""

from datetime import timedelta
from typing import Any

from hatchet_sdk import Hatchet
from hatchet_sdk.runnables.types import BatchMemberId
from pydantic import BaseModel

hatchet = Hatchet()
sizes: list[int] = []


class Text(BaseModel):
    text: str
    group: str = "g"


@hatchet.batch_task(input_validator=Text, batch_max_size=3, batch_max_interval=timedelta(milliseconds=300))
def upper(inputs: dict[BatchMemberId, Text], ctx: Any = None) -> dict[BatchMemberId, dict[str, str]]:
    sizes.append(len(inputs))
    return {key: {"upper": each.text.upper()} for key, each in inputs.items()}


@hatchet.batch_task(
    input_validator=Text,
    batch_max_size=2,
    batch_max_interval=timedelta(milliseconds=200),
    batch_group_key="input.group",
    broadcast_output=True,
)
async def together(inputs: dict[BatchMemberId, Text], ctx: Any = None) -> dict[str, Any]:
    return {"texts": sorted(each.text for each in inputs.values())}


@hatchet.batch_task(input_validator=Text, batch_max_size=2, batch_max_interval=timedelta(milliseconds=200))
def short(inputs: dict[BatchMemberId, Text], ctx: Any = None) -> dict[BatchMemberId, dict[str, str]]:
    return {key: {} for key in list(inputs)[1:]}


def items(task: Any, *inputs: Text) -> list[Any]:
    return [task.create_bulk_run_item(input=each) for each in inputs]


async def test_each_its_own_output() -> None:
    found = await upper.aio_run_many(items(upper, *(Text(text=letter) for letter in "abcd")))
    assert found == [{"upper": letter} for letter in "ABCD"]
    assert sum(sizes) == 4
    assert max(sizes) <= 3


async def test_groups() -> None:
    inputs = [Text(text="a", group="1"), Text(text="b", group="2"), Text(text="c", group="1")]
    found = await together.aio_run_many(items(together, *inputs))
    assert found == [{"texts": ["a", "c"]}, {"texts": ["b"]}, {"texts": ["a", "c"]}]


async def test_too_few() -> None:
    results = await short.aio_run_many(items(short, Text(text="a"), Text(text="b")), return_exceptions=True)
    assert all("outputs for" in str(each) for each in results)
