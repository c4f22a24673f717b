"""Suspended code that stays in memory: how much of it, and that it does nothing more."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from headrace import DurableContext, EmptyModel, Headrace
from headrace.runtime.durable import kept
from headrace_infra.testing import local

said: list[str] = []


@pytest.fixture(autouse=True)
def _quiet() -> None:
    said.clear()


def test_code_that_its_own_timer_wakes_after_it_was_suspended_makes_no_operation() -> None:
    hatchet = Headrace()

    @hatchet.task(name="other")
    def other(input: EmptyModel, ctx: Any) -> None:
        time.sleep(0.3)

    @hatchet.durable_task(name="waits", execution_timeout="2s")
    async def waits(input: EmptyModel, ctx: DurableContext) -> dict[str, int]:
        async def late() -> None:
            await asyncio.sleep(2.2)  # longer than this invocation has: it holds nothing
            said.append("woken")
            await ctx._aio_memo(lambda: said.append("made"), "late")
            said.append("went on")

        beside = asyncio.create_task(late())
        await ctx.aio_wait_for_event("go")
        beside.cancel()
        return {"invocations": ctx.invocation_count}

    with local(hatchet, backend="memory", background=False) as stack:
        ref = waits.run(wait_for_result=False)
        stack.drain()
        until = time.monotonic() + 30
        while not said and time.monotonic() < until:
            other.run(wait_for_result=False)
            stack.drain()
        assert said == ["woken"]
        log = hatchet.runs.get(ref.workflow_run_id).durable_log
        assert [entry.kind for entry in log] == ["WAIT_FOR"]
        hatchet.event.push("go", {})
        stack.drain()
        assert ref.result() == {"invocations": 2}
    assert said == ["woken"]


def test_where_memory_is_short_suspended_code_is_closed_and_its_task_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hatchet = Headrace()

    @hatchet.durable_task(name="waits")
    async def waits(input: EmptyModel, ctx: DurableContext) -> dict[str, int]:
        try:
            await ctx.aio_wait_for_event("go")
            return {"invocations": ctx.invocation_count}
        finally:
            try:
                await ctx.aio_now()
                said.append("ended")
            except RuntimeError as error:
                said.append(str(error))

    kept._close(len(kept._kept))
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "16")
    kept._memory_bytes.cache_clear()
    try:
        assert kept.memory_used() > kept.FULL
        with local(hatchet, backend="memory", background=False) as stack:
            refs = [waits.run(wait_for_result=False) for _ in range(8)]
            stack.drain()
            assert len(kept._kept) <= 1
            assert len(said) >= 6
            assert all("a durable operation is refused: the invocation has ended" in each for each in said)
            hatchet.event.push("go", {})
            stack.drain()
            assert [ref.result() for ref in refs] == [{"invocations": 2}] * 8
        assert said.count("ended") == 8
    finally:
        kept._memory_bytes.cache_clear()


def test_a_process_without_a_limit_of_memory_keeps_by_number_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "_memory_bytes", lambda: None)
    assert kept.memory_used() == 0.0
