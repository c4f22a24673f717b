"""Cancellation: of code that looks, of async code, in bulk by ids and by filter."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

from hatchet_sdk import BulkCancelReplayOpts, Context, EmptyModel, Hatchet, RunFilter, RunStatus, V1TaskStatus

hatchet = Hatchet()
started: list[str] = []


@hatchet.task(execution_timeout=timedelta(seconds=60))
async def waits(input: EmptyModel, ctx: Context) -> dict[str, str]:
    started.append(ctx.workflow_run_id)
    await asyncio.sleep(60)
    return {"error": "was not cancelled"}


@hatchet.task(execution_timeout=timedelta(seconds=60))
def looks(input: EmptyModel, ctx: Context) -> dict[str, str]:
    started.append(ctx.workflow_run_id)
    for _ in range(600):
        if ctx.is_cancelled:
            return {}
        time.sleep(0.1)
    return {"error": "was not cancelled"}


@hatchet.task()
async def gives_up(input: EmptyModel, ctx: Context) -> dict[str, str]:
    await ctx.aio_cancel()
    await asyncio.sleep(60)
    return {"error": "was not cancelled"}


async def ended(run_id: str) -> RunStatus:
    for _ in range(600):
        status = await hatchet.runs.aio_get_status(run_id)
        if status not in (RunStatus.QUEUED, RunStatus.RUNNING):
            return status
        await asyncio.sleep(0.05)
    return status


async def test_cancel() -> None:
    refs = [await task.aio_run(wait_for_result=False) for task in (waits, looks)]
    while not {ref.workflow_run_id for ref in refs} <= set(started):
        await asyncio.sleep(0.02)
    for ref in refs:
        await hatchet.runs.aio_cancel(ref.workflow_run_id)
    assert [await ended(ref.workflow_run_id) for ref in refs] == [V1TaskStatus.CANCELLED] * 2


async def test_a_task_cancels_itself() -> None:
    ref = await gives_up.aio_run(wait_for_result=False)
    assert await ended(ref.workflow_run_id) == RunStatus.CANCELLED


async def test_in_bulk() -> None:
    since = datetime.now(tz=UTC) - timedelta(minutes=1)
    mine = {"bulk": str(time.time())}
    refs = await waits.aio_run_many(
        [waits.create_bulk_run_item(additional_metadata=mine) for _ in range(3)], wait_for_result=False
    )
    await hatchet.runs.aio_bulk_cancel(BulkCancelReplayOpts(ids=[refs[0].workflow_run_id]))
    await hatchet.runs.aio_bulk_cancel(
        BulkCancelReplayOpts(filters=RunFilter(since=since, additional_metadata=mine))
    )
    assert [await ended(ref.workflow_run_id) for ref in refs] == [RunStatus.CANCELLED] * 3
