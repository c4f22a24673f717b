"""A DAG: outputs of parents, a run's details, an on-failure and an on-success task."""

import asyncio

import pytest
from hatchet_sdk import Context, EmptyModel, Hatchet, RunStatus, TaskRunError
from hatchet_sdk.exceptions import FailedTaskRunExceptionGroup
from pydantic import BaseModel

hatchet = Hatchet()


class Number(BaseModel):
    number: int


sums = hatchet.workflow(name="Sums")


@sums.task()
def one(input: EmptyModel, ctx: Context) -> Number:
    return Number(number=1)


@sums.task()
async def two(input: EmptyModel, ctx: Context) -> Number:
    return Number(number=2)


@sums.task(parents=[one, two])
async def both(input: EmptyModel, ctx: Context) -> Number:
    return Number(number=ctx.task_output(one).number + ctx.task_output(two).number)


@sums.on_success_task()
def afterwards(input: EmptyModel, ctx: Context) -> dict[str, bool]:
    return {"all": True}


falls = hatchet.workflow(name="Falls")


@falls.task()
def breaks(input: EmptyModel, ctx: Context) -> None:
    raise RuntimeError("broken on purpose")


@falls.task(parents=[breaks])
def never(input: EmptyModel, ctx: Context) -> None:
    return None


@falls.on_failure_task()
def told(input: EmptyModel, ctx: Context) -> dict[str, str]:
    error = ctx.get_task_run_error(breaks)
    assert error is not None
    return {"of": next(iter(ctx.task_run_errors)), "exc": error.exc}


def test_a_dag() -> None:
    result = sums.run()
    assert (result["one"], result["two"], result["both"]) == ({"number": 1}, {"number": 2}, {"number": 3})
    assert result["afterwards-on-success"] == {"all": True}


async def test_a_failure() -> None:
    ref = await falls.aio_run(wait_for_result=False)
    with pytest.raises(FailedTaskRunExceptionGroup, match="broken on purpose") as caught:
        await ref.aio_result()
    [error] = caught.value.exceptions
    assert isinstance(error, TaskRunError)
    assert (error.exc, error.exc_type) == ("broken on purpose", "RuntimeError")
    details = None
    for _ in range(100):
        details = await hatchet.runs.aio_get(ref.workflow_run_id)
        if all(
            task.status in (RunStatus.FAILED, RunStatus.COMPLETED, RunStatus.CANCELLED)
            for task in details.tasks
        ) and any(task.display_name.startswith("told-on-failure") for task in details.tasks):
            break
        await asyncio.sleep(0.02)
    assert details is not None
    by_name = {task.display_name.rsplit("-", 1)[0]: task for task in details.tasks}
    assert by_name["breaks"].status == RunStatus.FAILED
    assert by_name["never"].status == RunStatus.CANCELLED
    assert by_name["told-on-failure"].output == {"of": "breaks", "exc": "broken on purpose"}
    assert details.run.status == RunStatus.FAILED


def test_details() -> None:
    ref = sums.run(wait_for_result=False, additional_metadata={"of": "mine"})
    ref.result()
    details = hatchet.runs.get_details(ref.workflow_run_id)
    assert details.done
    assert details.additional_metadata == {"of": "mine"}
    assert details.status == RunStatus.COMPLETED
    assert details.task_runs["both"].output == {"number": 3}
