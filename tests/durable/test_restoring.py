"""`runs.restore_task`: an evicted durable task is sent to its worker before what it waits for has come."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from headrace import DurableContext, EmptyModel, Headrace
from headrace.clients.models.durable import V1RestoreTaskResponse
from headrace.compat import TaskApi
from headrace.errors import NotSupportedError, RunNotFound
from headrace_infra.testing import local

hatchet = Headrace()
began: list[int] = []


@hatchet.durable_task()
async def nap(input: EmptyModel, ctx: DurableContext) -> dict[str, int]:
    began.append(ctx.invocation_count)
    await ctx.aio_sleep_for(timedelta(hours=1))
    return {"invocations": ctx.invocation_count}


@pytest.fixture(autouse=True)
def _nothing_began() -> None:
    began.clear()


def test_an_evicted_task_runs_to_its_wait_again_and_goes_on_when_it_comes() -> None:
    with local(hatchet, backend="memory", background=False) as stack:
        ref = nap.run(wait_for_result=False)
        run_id = ref.workflow_run_id
        assert hatchet.runs.restore_task(run_id) == V1RestoreTaskResponse(requeued=False), "it is only queued"
        stack.deliver_all()
        assert hatchet.runs.get(run_id).tasks[0].is_evicted
        [task] = hatchet.runs.get(run_id).tasks
        asked = [
            hatchet.runs.restore_task(run_id).requeued,
            TaskApi(hatchet).v1_task_restore(task.task_external_id).requeued,
            asyncio.run(hatchet.runs.aio_restore_task(run_id)).requeued,
        ]
        assert asked == [True] * 3
        stack.deliver_all()
        assert began == [1, 2], "asked three times, it goes on once"
        assert hatchet.runs.get(run_id).tasks[0].is_evicted
        before_ms = stack.clock.now_ms()
        stack.drain()
        assert ref.result() == {"invocations": 3}
        assert 3_590_000 <= stack.clock.now_ms() - before_ms <= 3_660_000, "the sleep is as long as it was"
        assert hatchet.runs.restore_task(run_id).requeued is False


def test_what_cannot_be_restored() -> None:
    with local(hatchet, backend="memory", background=False):
        with pytest.raises(RunNotFound):
            hatchet.runs.restore_task("00000000-0000-0000-0000-000000000000")
        with pytest.raises(NotSupportedError, match="make TaskApi of the app, not of str"):
            TaskApi("client")  # type: ignore[arg-type]  # as code for Hatchet does
