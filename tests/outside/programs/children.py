"""Children: fan-out, metadata that reaches them, the same ones again after a retry, keys."""

import asyncio
from typing import Any

from hatchet_sdk import Context, EmptyModel, Hatchet
from pydantic import BaseModel

hatchet = Hatchet()


class ParentInput(BaseModel):
    n: int = 5


class ChildInput(BaseModel):
    a: str


@hatchet.task(input_validator=ChildInput)
async def child(input: ChildInput, ctx: Context) -> dict[str, Any]:
    return {
        "value": input.a,
        "of": ctx.parent_workflow_run_id,
        "index": ctx.child_index,
        "key": ctx.child_key,
    }


@hatchet.task(input_validator=ParentInput)
async def parent(input: ParentInput, ctx: Context) -> dict[str, Any]:
    found = await child.aio_run_many(
        [
            child.create_bulk_run_item(input=ChildInput(a=str(i)), additional_metadata={"mine": str(i)})
            for i in range(input.n)
        ]
    )
    return {"children": found, "run": ctx.workflow_run_id}


@hatchet.task(input_validator=ParentInput)
def sync_parent(input: ParentInput, ctx: Context) -> dict[str, Any]:
    return {"children": [child.run(ChildInput(a=str(i)), child_key=f"k{i}") for i in range(input.n)]}


@hatchet.task(retries=2)
async def stubborn(input: EmptyModel, ctx: Context) -> dict[str, Any]:
    ref = await child.aio_run(ChildInput(a="only"), wait_for_result=False)
    if ctx.retry_count < 2:
        raise ValueError("again")
    return {"child": ref.workflow_run_id}


async def test_fan_out() -> None:
    ref = await parent.aio_run(ParentInput(n=4), additional_metadata={"from": "above"}, wait_for_result=False)
    result = await ref.aio_result()
    assert [each["value"] for each in result["children"]] == ["0", "1", "2", "3"]
    assert {each["of"] for each in result["children"]} == {ref.workflow_run_id}
    rows: list[Any] = []
    for _ in range(100):
        rows = (await hatchet.runs.aio_list(parent_task_external_id=ref.workflow_run_id, limit=100)).rows
        if len(rows) == 4:
            break
        await asyncio.sleep(0.02)
    assert {row.additional_metadata["from"] for row in rows} == {"above"}
    assert sorted(row.additional_metadata["mine"] for row in rows) == ["0", "1", "2", "3"]
    assert {row.additional_metadata["hatchet__parent_workflow_run_id"] for row in rows} == {
        ref.workflow_run_id
    }


def test_sync() -> None:
    result = sync_parent.run(ParentInput(n=3))
    assert [(each["value"], each["key"]) for each in result["children"]] == [
        ("0", "k0"),
        ("1", "k1"),
        ("2", "k2"),
    ]


async def test_the_same_child_after_retries() -> None:
    ref = await stubborn.aio_run(wait_for_result=False)
    result = await ref.aio_result()
    rows: list[Any] = []
    for _ in range(100):
        rows = (await hatchet.runs.aio_list(parent_task_external_id=ref.workflow_run_id)).rows
        if rows:
            break
        await asyncio.sleep(0.02)
    assert [row.metadata.id for row in rows] == [result["child"]]
