"""A finished run again: same id, retry count, one by one and in bulk."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hatchet_sdk import BulkCancelReplayOpts, Context, EmptyModel, Hatchet, RunFilter, RunStatus
from hatchet_sdk.exceptions import FailedTaskRunExceptionGroup

hatchet = Hatchet()


@hatchet.task()
def second(input: EmptyModel, ctx: Context) -> dict[str, int]:
    if ctx.retry_count == 0:
        raise ValueError("the first time it fails")
    return {"retries": ctx.retry_count}


async def test_replay() -> None:
    ref = await second.aio_run(wait_for_result=False)
    with pytest.raises(FailedTaskRunExceptionGroup, match="the first time it fails"):
        await ref.aio_result()
    await hatchet.runs.aio_replay(ref.workflow_run_id)
    assert (await ref.aio_result())["retries"] >= 1


async def test_in_bulk() -> None:
    since = datetime.now(tz=UTC) - timedelta(minutes=1)
    mine = {"round": "bulk"}
    items = [second.create_bulk_run_item(additional_metadata=mine) for _ in range(4)]
    refs = await second.aio_run_many(items, wait_for_result=False)
    await asyncio.gather(*(ref.aio_result() for ref in refs), return_exceptions=True)
    await hatchet.runs.aio_bulk_replay(BulkCancelReplayOpts(ids=[refs[0].workflow_run_id]))
    assert (await refs[0].aio_result())["retries"] >= 1
    await hatchet.runs.aio_bulk_replay(
        BulkCancelReplayOpts(
            filters=RunFilter(since=since, statuses=[RunStatus.FAILED], additional_metadata=mine)
        )
    )
    for ref in refs[1:]:
        for _ in range(400):
            if await hatchet.runs.aio_get_status(ref.workflow_run_id) == RunStatus.COMPLETED:
                break
            await asyncio.sleep(0.05)
        assert (await ref.aio_result())["retries"] >= 1
