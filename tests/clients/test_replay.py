"""`hatchet.runs.replay` as its users call it: the real handlers on the memory ports, virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from headrace import (
    BulkCancelReplayOpts,
    Context,
    DurableContext,
    EmptyModel,
    FailedTaskRunExceptionGroup,
    Hatchet,
    RunFilter,
)
from headrace.clients.models.resource import at
from headrace.core.run.record import RunStatus
from headrace.errors import NotDeployed, RunNotFound, RunNotOver
from headrace_infra.testing import local

said: list[Any] = []


@pytest.fixture(autouse=True)
def _quiet() -> None:
    said.clear()


class Amount(BaseModel):
    amount: int


def test_a_failed_run_is_replayed_and_its_reference_awaited_again() -> None:
    hatchet = Hatchet()

    @hatchet.task(input_validator=Amount)
    def charge(input: Amount, ctx: Context) -> dict[str, int]:
        said.append((input.amount, ctx.retry_count, ctx.attempt_number))
        if ctx.retry_count == 0:
            raise RuntimeError("the bank is down")
        return {"charged": input.amount}

    with local(hatchet, backend="memory", background=False) as stack:
        ref = charge.run(Amount(amount=3), wait_for_result=False)
        stack.drain()
        with pytest.raises(FailedTaskRunExceptionGroup, match="the bank is down"):
            ref.result()

        hatchet.runs.replay(ref.workflow_run_id)
        assert hatchet.runs.get_status(ref.workflow_run_id) is RunStatus.QUEUED
        stack.drain()

        assert ref.result() == {"charged": 3}
        assert said == [(3, 0, 1), (3, 1, 2)]
        details = hatchet.runs.get(ref.workflow_run_id)
        assert (details.tasks[0].retry_count, details.tasks[0].attempt) == (1, 2)
        assert [each.metadata.id for each in hatchet.runs.list(statuses=[RunStatus.FAILED]).rows] == []

        asyncio.run(hatchet.runs.aio_replay(ref.workflow_run_id, input=Amount(amount=4)))
        stack.drain()
        assert ref.result() == {"charged": 4}


def test_a_replay_of_what_failed_reads_the_outputs_that_are_there() -> None:
    hatchet = Hatchet()
    flow = hatchet.workflow(name="flow")

    @flow.task()
    def first(input: EmptyModel, ctx: Context) -> dict[str, int]:
        said.append("first")
        return {"n": 1}

    @flow.task(parents=[first])
    def second(input: EmptyModel, ctx: Context) -> dict[str, int]:
        said.append("second")
        if ctx.retry_count == 0:
            raise RuntimeError("no")
        return {"n": ctx.task_output(first)["n"] + 1}

    with local(hatchet, backend="memory", background=False) as stack:
        ref = flow.run(wait_for_result=False)
        stack.drain()
        hatchet.runs.replay(ref.workflow_run_id, only_failed=True)
        stack.drain()
        assert ref.result() == {"first": {"n": 1}, "second": {"n": 2}}
        assert said == ["first", "second", "second"]


def durable_app() -> tuple[Hatchet, Any, Any]:
    hatchet = Hatchet()

    @hatchet.task()
    def child(input: EmptyModel, ctx: Context) -> dict[str, int]:
        said.append("child")
        return {"n": 1}

    @hatchet.durable_task(retries=0)
    async def agent(input: EmptyModel, ctx: DurableContext) -> dict[str, int]:
        await ctx.aio_sleep_for(timedelta(days=1))
        found = await child.aio_run()
        said.append(("agent", ctx.attempt_number))
        if ctx.attempt_number == 1:
            raise RuntimeError("no")
        return {"n": found["n"] + 1}

    return hatchet, child, agent


def test_a_durable_run_is_replayed_from_its_log() -> None:
    hatchet, _, agent = durable_app()
    with local(hatchet, backend="memory", background=False) as stack:
        ref = agent.run(wait_for_result=False)
        stack.drain()
        before_ms = hatchet.engine.clock.now_ms()
        hatchet.runs.replay(ref.workflow_run_id)
        stack.drain()
        assert ref.result() == {"n": 2}
        assert said == ["child", ("agent", 1), ("agent", 2)], "neither the child nor the sleep is repeated"
        assert hatchet.engine.clock.now_ms() - before_ms < 60_000


def test_a_durable_run_that_was_cancelled_while_it_slept_goes_on_to_sleep() -> None:
    hatchet, _, agent = durable_app()
    with local(hatchet, backend="memory", background=False) as stack:
        ref = agent.run(wait_for_result=False)
        stack.deliver_all()
        hatchet.runs.cancel(ref.workflow_run_id)
        hatchet.runs.replay(ref.workflow_run_id)
        stack.drain()
        assert ref.result() == {"n": 2}
        assert said == ["child", ("agent", 2)]


def test_what_cannot_be_replayed() -> None:
    hatchet = Hatchet()

    @hatchet.task()
    def slow(input: EmptyModel, ctx: Context) -> dict[str, int]:
        return {}

    with local(hatchet, backend="memory", background=False) as stack:
        with pytest.raises(RunNotFound, match="Workflow run unknown not found"):
            hatchet.runs.replay("unknown")
        ref = slow.run(wait_for_result=False)
        with pytest.raises(RunNotOver, match="is QUEUED: only a run that is over can be replayed"):
            hatchet.runs.replay(ref.workflow_run_id)
        stack.drain()
        hatchet.runs.replay(ref.workflow_run_id, only_failed=True)
        assert hatchet.runs.get_status(ref.workflow_run_id) is RunStatus.COMPLETED, "nothing had failed"
        assert issubclass(NotDeployed, ValueError)


# ---------------------------------------------------------------- what happened


def deep(levels: int) -> None:
    """Raises with a traceback that is long."""
    if levels:
        return deep_enough_to_be_long(levels)
    raise RuntimeError("the bank is down: " + "x" * 400)


def deep_enough_to_be_long(levels: int) -> None:
    deep(levels - 1)


@pytest.mark.parametrize("levels", [0, 12])
def test_every_attempt_is_kept_with_its_times_and_its_traceback(levels: int) -> None:
    hatchet = Hatchet()

    @hatchet.task(retries=2)
    def charge(input: EmptyModel, ctx: Context) -> dict[str, int]:
        hatchet.engine.clock.sleep(1)
        if ctx.retry_count < 3:
            deep(levels)
        return {}

    with local(hatchet, backend="memory", background=False) as stack:
        ref = charge.run(wait_for_result=False)
        stack.drain()
        hatchet.runs.replay(ref.workflow_run_id)
        stack.drain()
        events = hatchet.runs.get(ref.workflow_run_id).task_events
        told = [(each.event_type.value, each.attempt) for each in events]
        one = [("ASSIGNED", 1), ("STARTED", 1), ("FAILED", 1), ("RETRYING", 1)]
        two = [("QUEUED", 2), ("ASSIGNED", 2), ("STARTED", 2), ("FAILED", 2), ("RETRYING", 2)]
        three = [("QUEUED", 3), ("ASSIGNED", 3), ("STARTED", 3), ("FAILED", 3)]
        four = [
            ("RETRIED_BY_USER", 4),
            ("QUEUED", 4),
            ("ASSIGNED", 4),
            ("STARTED", 4),
            ("FINISHED", 4),
        ]
        assert told == [("CREATED", 1), ("QUEUED", 1), *one, *two, *three, *four]
        failures = [each for each in events if each.event_type.value == "FAILED"]
        assert [each.worker_id for each in failures] == ["default"] * 3
        for each in failures:
            lines = (each.error_message or "").splitlines()
            assert lines[0].startswith("RuntimeError: the bank is down: x")
            assert 'raise RuntimeError("the bank is down: "' in (each.error_message or "")
        begun = [each.timestamp for each in events if each.event_type.value == "STARTED"]
        assert all(
            timedelta(seconds=1) <= ended.timestamp - start < timedelta(seconds=3)
            for start, ended in zip(begun, failures, strict=False)
        )


def test_a_suspension_and_a_resumption_are_told() -> None:
    hatchet = Hatchet()

    @hatchet.durable_task()
    async def waits(input: EmptyModel, ctx: DurableContext) -> dict[str, int]:
        await ctx.aio_sleep_for(timedelta(hours=1))
        return {}

    with local(hatchet, backend="memory", background=False) as stack:
        ref = waits.run(wait_for_result=False)
        stack.deliver_all()
        told = [each.event_type.value for each in hatchet.runs.get(ref.workflow_run_id).task_events]
        assert told == ["CREATED", "QUEUED", "ASSIGNED", "STARTED", "DURABLE_EVICTED"]
        stack.drain()
        told = [each.event_type.value for each in hatchet.runs.get(ref.workflow_run_id).task_events]
        assert "DURABLE_RESTORING" in told
        assert told[-1] == "FINISHED"


def test_many_are_replayed_by_filter_and_none_twice() -> None:
    hatchet = Hatchet()
    ran: list[int] = []

    @hatchet.task(name="load")
    def load(input: dict, ctx: Context) -> dict[str, int]:  # type: ignore[type-arg]
        ran.append(input["n"])
        if ctx.retry_count == 0 and input["n"] % 2:
            raise RuntimeError("the bank is down")
        return {}

    with local(hatchet, backend="memory", background=False) as stack:
        for n in range(20):
            load.run({"n": n}, wait_for_result=False)
        stack.drain()
        since = at(hatchet.engine.clock.now_ms()) - timedelta(hours=1)
        failed = RunFilter(since=since, statuses=[RunStatus.FAILED])
        asked = hatchet.runs.bulk_replay(BulkCancelReplayOpts(filters=failed))
        assert asked.status == "WORKING"
        stack.drain()
        assert Counter(ran) == {n: 1 + n % 2 for n in range(20)}
        found = hatchet.runs.wait_for_bulk(asked.id)
        assert (found.done, found.total, found.refused) == (10, 10, 0)
        asked = hatchet.runs.bulk_replay_by_filters_with_pagination(since=since, statuses=[RunStatus.FAILED])
        stack.drain()
        assert hatchet.runs.wait_for_bulk(asked.id).done == 0
        assert Counter(ran) == {n: 1 + n % 2 for n in range(20)}


def test_an_id_that_cannot_be_replayed_holds_up_no_other() -> None:
    hatchet = Hatchet()

    @hatchet.task(name="load")
    def load(input: EmptyModel, ctx: Context) -> dict[str, int]:
        return {"attempt": ctx.attempt_number}

    with local(hatchet, backend="memory", background=False) as stack:
        ref = load.run(wait_for_result=False)
        stack.drain()
        asked = hatchet.runs.bulk_replay(BulkCancelReplayOpts(ids=["nothing", ref.workflow_run_id]))
        stack.drain()
        assert hatchet.runs.wait_for_bulk(asked.id).reasons == ["Workflow run nothing not found"]
        assert ref.result() == {"attempt": 2}
