"""Durable tasks: sleeps, events, children, memos, replays from the log, non-determinism."""

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest
from hatchet_sdk import (
    Context,
    DurableContext,
    EmptyModel,
    Hatchet,
    SleepCondition,
    TaskRunError,
    UserEventCondition,
    or_,
)
from hatchet_sdk.runnables.eviction import EvictionPolicy
from pydantic import BaseModel

hatchet = Hatchet()
KEY = "durable:go"


class Paid(BaseModel):
    order: str


@hatchet.task()
def child(input: EmptyModel, ctx: Context) -> dict[str, str]:
    return {"child": ctx.workflow_run_id}


@hatchet.task()
def breaks(input: EmptyModel, ctx: Context) -> dict[str, str]:
    raise ValueError("child broke")


@hatchet.durable_task()
async def waits(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
    began = await ctx.aio_now()
    await ctx.aio_sleep_for(timedelta(seconds=1))
    slept = (await ctx.aio_now() - began).total_seconds()
    paid = await ctx.aio_wait_for_event(KEY, "input.order == 'A'", payload_validator=Paid)
    return {"slept": slept, "order": paid.order, "invocations": ctx.invocation_count}


@hatchet.durable_task()
async def races(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
    won = await ctx.aio_wait_for(
        "either",
        or_(
            SleepCondition(timedelta(seconds=1), readable_data_key="slept"),
            UserEventCondition(event_key="never:comes", readable_data_key="event"),
        ),
    )
    return {"won": list(won["CREATE"])}


@hatchet.durable_task(execution_timeout=timedelta(seconds=30))
async def spawns(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
    first = await child.aio_run()
    many = await child.aio_run_many([child.create_bulk_run_item() for _ in range(3)])
    try:
        await breaks.aio_run()
    except TaskRunError as error:
        return {
            "ids": len({first["child"], *(each["child"] for each in many)}),
            "error": str(error).split("\n")[0],
        }
    return {}


@hatchet.durable_task()
async def undecided(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
    if ctx.attempt_number == 1:
        await ctx.aio_sleep_for(timedelta(seconds=0.1))
    else:
        await child.aio_run()
    return {"attempt": ctx.attempt_number}


@hatchet.durable_task(eviction_policy=EvictionPolicy(ttl=None, allow_capacity_eviction=False))
async def holds(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
    await ctx.aio_sleep_for(timedelta(seconds=1))
    return {"invocations": ctx.invocation_count}


async def test_waits() -> None:
    ref = await waits.aio_run(wait_for_result=False)
    await asyncio.sleep(1.3)
    while not ref_done(ref.workflow_run_id):
        await hatchet.event.aio_push(KEY, {"order": "B"})
        await hatchet.event.aio_push(KEY, {"order": "A"})
        await asyncio.sleep(0.2)
    result = await ref.aio_result()
    assert result["order"] == "A"
    assert result["slept"] >= 1


def ref_done(run_id: str) -> bool:
    return hatchet.runs.get_details(run_id).done


async def test_which_of_two_won() -> None:
    assert await races.aio_run() == {"won": ["slept"]}


async def test_children() -> None:
    assert await spawns.aio_run() == {"ids": 4, "error": "ValueError: child broke"}


async def test_replays_at_once() -> None:
    ref = await races.aio_run(wait_for_result=False)
    await ref.aio_result()
    before = time.time()
    await hatchet.runs.aio_replay(ref.workflow_run_id)
    assert await ref.aio_result() == {"won": ["slept"]}
    assert time.time() - before < 30


async def test_non_determinism() -> None:
    ref = await undecided.aio_run(wait_for_result=False)
    assert await ref.aio_result() == {"attempt": 1}
    await hatchet.runs.aio_replay(ref.workflow_run_id)
    with pytest.raises(Exception, match=r"[nN]on-determinism"):
        await ref.aio_result()


async def test_held() -> None:
    assert await holds.aio_run() == {"invocations": 1}
