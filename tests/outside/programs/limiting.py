"""Concurrency, rate limits, priority, idempotency, pauses."""

import asyncio
import itertools
import time
from datetime import timedelta
from typing import Any

import pytest
from hatchet_sdk import (
    ConcurrencyExpression,
    ConcurrencyLimitStrategy,
    Context,
    Hatchet,
    IdempotencyCollisionError,
    RateLimit,
    RateLimitDuration,
    RunStatus,
    StatusBasedIdempotencyConfig,
    TTLBasedIdempotencyConfig,
)
from pydantic import BaseModel

hatchet = Hatchet()
ran: list[tuple[str, float, float]] = []


class Keyed(BaseModel):
    group: str
    seconds: float = 0.2


async def work(input: Keyed) -> dict[str, Any]:
    began = time.monotonic()
    await asyncio.sleep(input.seconds)
    ran.append((input.group, began, time.monotonic()))
    return {"group": input.group}


def by_group(strategy: ConcurrencyLimitStrategy) -> ConcurrencyExpression:
    return ConcurrencyExpression(expression="input.group", max_runs=1, limit_strategy=strategy)


@hatchet.task(input_validator=Keyed, concurrency=by_group(ConcurrencyLimitStrategy.GROUP_ROUND_ROBIN))
async def in_turn(input: Keyed, ctx: Context) -> dict[str, Any]:
    return await work(input)


@hatchet.task(input_validator=Keyed, concurrency=by_group(ConcurrencyLimitStrategy.CANCEL_NEWEST))
async def first_wins(input: Keyed, ctx: Context) -> dict[str, Any]:
    return await work(input)


@hatchet.task(input_validator=Keyed, concurrency=by_group(ConcurrencyLimitStrategy.CANCEL_IN_PROGRESS))
async def last_wins(input: Keyed, ctx: Context) -> dict[str, Any]:
    return await work(input)


@hatchet.task(
    input_validator=Keyed,
    rate_limits=[RateLimit(dynamic_key="input.group", units=1, limit=2, duration=RateLimitDuration.MINUTE)],
    schedule_timeout=timedelta(seconds=1),
)
def limited(input: Keyed, ctx: Context) -> dict[str, Any]:
    return {}


@hatchet.task(
    input_validator=Keyed,
    idempotency=TTLBasedIdempotencyConfig(key_expression="input.group", ttl=timedelta(minutes=1)),
)
def once(input: Keyed, ctx: Context) -> dict[str, Any]:
    return {"group": input.group}


@hatchet.task(
    input_validator=Keyed,
    idempotency=StatusBasedIdempotencyConfig(key_expression="input.group", fallback_ttl=timedelta(minutes=1)),
)
async def one_at_a_time(input: Keyed, ctx: Context) -> dict[str, Any]:
    await asyncio.sleep(input.seconds)
    return {}


async def test_in_turn_by_group() -> None:
    items = [in_turn.create_bulk_run_item(input=Keyed(group=group)) for group in "aabb"]
    await in_turn.aio_run_many(items)
    for group in "ab":
        spans = sorted(span[1:] for span in ran if span[0] == group)
        assert all(one[1] <= two[0] for one, two in itertools.pairwise(spans))


async def statuses(refs: list[Any]) -> list[str]:
    return [(await hatchet.runs.aio_get_status(ref.workflow_run_id)).value for ref in refs]


async def settled(refs: list[Any]) -> list[str]:
    while any(status in ("QUEUED", "RUNNING") for status in await statuses(refs)):
        await asyncio.sleep(0.05)
    return await statuses(refs)


async def running(ref: Any) -> None:
    while await hatchet.runs.aio_get_status(ref.workflow_run_id) != RunStatus.RUNNING:
        await asyncio.sleep(0.02)


async def test_the_first_wins() -> None:
    first = await first_wins.aio_run(Keyed(group="x", seconds=1.5), wait_for_result=False)
    await running(first)
    second = await first_wins.aio_run(Keyed(group="x"), wait_for_result=False)
    assert await settled([first, second]) == ["COMPLETED", "CANCELLED"]


async def test_the_last_wins() -> None:
    first = await last_wins.aio_run(Keyed(group="y", seconds=60), wait_for_result=False)
    await running(first)
    second = await last_wins.aio_run(Keyed(group="y"), wait_for_result=False)
    assert await settled([first, second]) == ["CANCELLED", "COMPLETED"]


async def test_a_rate_limit() -> None:
    refs = await limited.aio_run_many(
        [limited.create_bulk_run_item(input=Keyed(group="api")) for _ in range(6)], wait_for_result=False
    )
    found = await settled(refs)
    assert 2 <= found.count("COMPLETED") <= 4  # a minute may begin between
    assert found.count("CANCELLED") == 6 - found.count(
        "COMPLETED"
    )  # waited longer than their schedule timeout


async def test_idempotency() -> None:
    ref = once.run(Keyed(group="k"), wait_for_result=False)
    with pytest.raises(IdempotencyCollisionError) as caught:
        once.run(Keyed(group="k"))
    assert caught.value.existing_run_external_id == ref.workflow_run_id
    running_one = one_at_a_time.run(Keyed(group="s", seconds=0.5), wait_for_result=False)
    with pytest.raises(IdempotencyCollisionError):
        one_at_a_time.run(Keyed(group="s"), wait_for_result=False)
    await running_one.aio_result()
    await one_at_a_time.aio_run(Keyed(group="s", seconds=0))


async def test_a_pause() -> None:
    once.pause(queue_ttl=timedelta(minutes=5))
    ref = once.run(Keyed(group="paused"), wait_for_result=False)
    await asyncio.sleep(0.3)
    assert await statuses([ref]) == ["QUEUED"]
    once.unpause()
    assert await ref.aio_result() == {"group": "paused"}
