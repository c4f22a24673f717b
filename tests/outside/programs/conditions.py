"""Conditions of DAG tasks: sleeps, events, outputs of parents."""

import asyncio
from datetime import timedelta

from hatchet_sdk import Context, EmptyModel, Hatchet, ParentCondition, SleepCondition, UserEventCondition, or_
from pydantic import BaseModel

hatchet = Hatchet()


class Random(BaseModel):
    number: int


flow = hatchet.workflow(name="Conditional")


@flow.task()
def start(input: EmptyModel, ctx: Context) -> Random:
    return Random(number=70)


@flow.task(parents=[start], wait_for=[SleepCondition(timedelta(seconds=1))])
def after_sleep(input: EmptyModel, ctx: Context) -> Random:
    return Random(number=1)


@flow.task(
    parents=[start],
    wait_for=[SleepCondition(timedelta(seconds=60))],
    skip_if=[UserEventCondition(event_key="skip:it")],
)
def skipped_by_event(input: EmptyModel, ctx: Context) -> Random:
    return Random(number=2)


@flow.task(
    parents=[start],
    wait_for=[
        or_(
            SleepCondition(duration=timedelta(seconds=60)),
            UserEventCondition(event_key="go:on", expression="input.ok == true"),
        )
    ],
)
def after_event(input: EmptyModel, ctx: Context) -> Random:
    return Random(number=3)


@flow.task(
    parents=[after_sleep], skip_if=[ParentCondition(parent=after_sleep, expression="output.number > 50")]
)
def left(input: EmptyModel, ctx: Context) -> Random:
    return Random(number=4)


@flow.task(
    parents=[after_sleep], skip_if=[ParentCondition(parent=after_sleep, expression="output.number <= 50")]
)
def right(input: EmptyModel, ctx: Context) -> Random:
    return Random(number=5)


@flow.task(parents=[start, after_sleep, skipped_by_event, after_event, left, right])
def total(input: EmptyModel, ctx: Context) -> dict[str, int]:
    parents = [start, after_sleep, skipped_by_event, after_event, left, right]
    return {"sum": sum(0 if ctx.was_skipped(task) else ctx.task_output(task).number for task in parents)}


gone = hatchet.workflow(name="Cancelled")


@gone.task()
def first(input: EmptyModel, ctx: Context) -> Random:
    return Random(number=1)


@gone.task(parents=[first], cancel_if=[ParentCondition(parent=first, expression="output.number == 1")])
def second(input: EmptyModel, ctx: Context) -> Random:
    return Random(number=2)


async def test_conditions() -> None:
    ref = await flow.aio_run(wait_for_result=False)
    for _ in range(400):
        found = await hatchet.runs.aio_get_details(ref.workflow_run_id)
        if found.task_runs.get("after_sleep") is not None and found.task_runs["after_sleep"].output:
            break
        await asyncio.sleep(0.05)
    await hatchet.event.aio_push("skip:it", {})
    await hatchet.event.aio_push("go:on", {"ok": False})
    await hatchet.event.aio_push("go:on", {"ok": True})
    result = await ref.aio_result()
    assert result["skipped_by_event"] == {"skipped": True}
    assert result["right"] == {"skipped": True}
    assert result["after_event"] == {"number": 3}
    assert result["total"] == {"sum": 70 + 1 + 3 + 4}


async def test_cancel_if() -> None:
    ref = await gone.aio_run(wait_for_result=False)
    assert await ref.aio_result() == {"first": {"number": 1}}
    assert (await hatchet.runs.aio_get_status(ref.workflow_run_id)).value == "CANCELLED"
