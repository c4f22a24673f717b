"""A task, run in every way: sync, async, by reference, many at once, by name."""

from hatchet_sdk import Context, EmptyModel, Hatchet, TriggerWorkflowOptions
from pydantic import BaseModel

hatchet = Hatchet()


class Number(BaseModel):
    n: int = 2


class Double(BaseModel):
    doubled: int


@hatchet.task(input_validator=Number)
def double(input: Number, ctx: Context) -> Double:
    return Double(doubled=2 * input.n)


@hatchet.task()
async def hello(input: EmptyModel, ctx: Context) -> dict[str, str]:
    return {"said": "hello", "run": ctx.workflow_run_id}


def test_sync() -> None:
    assert double.run(Number(n=4)) == Double(doubled=8)
    ref = double.run(Number(n=5), wait_for_result=False)
    assert ref.result() == Double(doubled=10)
    assert double.get_result(ref.workflow_run_id) == Double(doubled=10)
    assert str(ref.workflow_run_id) in str(ref)


async def test_async() -> None:
    ref = await hello.aio_run(wait_for_result=False)
    result = await ref.aio_result()
    assert result == {"said": "hello", "run": ref.workflow_run_id}
    assert (await hello.aio_run())["said"] == "hello"


async def test_many() -> None:
    items = [
        double.create_bulk_run_item(
            input=Number(n=n), key=str(n), options=TriggerWorkflowOptions(additional_metadata={"n": str(n)})
        )
        for n in range(5)
    ]
    assert [each.doubled for each in await double.aio_run_many(items)] == [0, 2, 4, 6, 8]
    refs = double.run_many(items, wait_for_result=False)
    assert [ref.result().doubled for ref in refs] == [0, 2, 4, 6, 8]


def test_by_name() -> None:
    started = hatchet.runs.create("double", {"n": 7})
    ref = hatchet.runs.get_run_ref(started.run.metadata.id)
    assert ref.result() == {"double": {"doubled": 14}}
