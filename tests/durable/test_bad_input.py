"""Durable operations that cannot be: in the wrong place, of the wrong function, or with an event that is not what was asked for."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from pydantic import BaseModel
from support.durable import DurableWorld

from headrace import Context, DefinitionError, DurableContext, EmptyModel, Hatchet
from headrace.core.run.derived.progress import run_status
from headrace.core.run.record import RunRecord, RunStatus

refused: list[str] = []


@pytest.fixture(autouse=True)
def _quiet() -> None:
    refused.clear()


def ended(
    hatchet: Hatchet, name: str, *, event: dict[str, Any] | None = None
) -> tuple[DurableWorld, RunRecord]:
    """Run a task to its end, with an event that comes when it waits."""
    w = DurableWorld(plans={}, code={}, of=hatchet)
    run_id = w.begin(name)
    w.drain()
    if event is not None:
        w.app.event.push("order:paid", event)
        w.drain()
    return w, w.record(run_id)


def test_a_sync_function_is_refused_where_it_is_declared() -> None:
    hatchet = Hatchet()
    with pytest.raises(
        DefinitionError, match="work: a durable task must be async: declare it with `async def`"
    ):

        @hatchet.durable_task()  # type: ignore[type-var, unused-ignore]  # refused by types, too
        def work(input: EmptyModel, ctx: DurableContext) -> None: ...


async def attempt(ctx: DurableContext) -> None:
    """Ask for a durable operation, and note what is said."""
    try:
        await ctx.aio_sleep_for("1s")
    except RuntimeError as error:
        refused.append(str(error))


def test_an_operation_on_the_loop_of_another_thread_is_refused() -> None:
    """The thread has the task's own context variables, as `asyncio.to_thread` gives them."""
    hatchet = Hatchet()

    @hatchet.durable_task()
    async def work(input: EmptyModel, ctx: DurableContext) -> dict[str, int]:
        await asyncio.to_thread(asyncio.run, attempt(ctx))
        return {"wait_index": ctx.wait_index}

    _, record = ended(hatchet, "work")
    assert run_status(record) is RunStatus.COMPLETED
    assert '"wait_index":0' in str(record.tasks["work"].output.text)
    assert record.tasks["work"].log is None
    [said] = refused
    assert "a durable operation was used on another event loop than the task's" in said
    assert "work" in said


def test_an_operation_of_a_thread_that_is_not_the_task_s_is_refused() -> None:
    hatchet = Hatchet()

    @hatchet.durable_task()
    async def work(input: EmptyModel, ctx: DurableContext) -> None:
        thread = threading.Thread(target=lambda: asyncio.run(attempt(ctx)))
        thread.start()
        await asyncio.to_thread(thread.join)

    _, record = ended(hatchet, "work")
    assert record.tasks["work"].log is None
    [said] = refused
    assert "a durable operation is refused: it was used outside of the task's code" in said


def test_an_operation_of_another_task_s_context_is_refused() -> None:
    """A child that runs in the same process gets hold of its parent's context while the parent is running."""
    hatchet, held = Hatchet(), list[DurableContext]()

    @hatchet.durable_task()
    async def other(input: EmptyModel, ctx: DurableContext) -> None:
        await attempt(held[0])
        await ctx.aio_sleep_for("1s")  # its own goes on

    @hatchet.durable_task()
    async def work(input: EmptyModel, ctx: DurableContext) -> None:
        held.append(ctx)
        await other.aio_run()

    w, record = ended(hatchet, "work")
    assert {run_status(each) for each in w.records()} == {RunStatus.COMPLETED}
    assert len(refused) >= 1
    assert all("a durable operation is refused" in said and "work" in said for said in refused)
    assert run_status(record) is RunStatus.COMPLETED


class Paid(BaseModel):
    cents: int


@pytest.mark.parametrize(
    ("event", "status"),
    [({"cents": 5}, RunStatus.COMPLETED), ({"cents": "many"}, RunStatus.FAILED), ({}, RunStatus.FAILED)],
)
def test_a_payload_that_is_not_what_was_asked_for_fails_the_task_with_what_is_wrong(
    event: dict[str, Any], status: RunStatus
) -> None:
    hatchet = Hatchet()

    @hatchet.durable_task()
    async def work(input: EmptyModel, ctx: DurableContext) -> dict[str, int]:
        paid = await ctx.aio_wait_for_event("order:paid", payload_validator=Paid)
        return {"cents": paid.cents}

    _, record = ended(hatchet, "work", event=event)
    assert run_status(record) is status
    row = record.tasks["work"]
    if status is RunStatus.COMPLETED:
        assert row.error is None
        return
    assert row.error is not None
    assert "1 validation error for Paid" in row.error.message
    assert "cents" in row.error.message


def test_a_task_that_is_not_durable_has_no_durable_operations() -> None:
    hatchet = Hatchet()

    @hatchet.task()
    async def work(input: EmptyModel, ctx: Context) -> None:
        await ctx.aio_sleep_for("1s")  # type: ignore[attr-defined]  # what is tested

    _, record = ended(hatchet, "work")
    assert run_status(record) is RunStatus.FAILED
    error = record.tasks["work"].error
    assert error is not None
    assert "aio_sleep_for" in error.message
