"""Durable tasks seen from outside: their logs, what they wait for, and where a test finds them suspended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace import Context, DurableContext, EmptyModel, Hatchet, SleepCondition, UserEventCondition, or_
from headrace.core.durable.log import LONGEST_LABEL
from headrace.core.run.record import RunStatus
from headrace.core.table import log_part_key
from headrace.errors import RunNotFound
from headrace.settings.settings import Settings
from headrace_infra.cli import console
from headrace_infra.cli.runs.awaiting import show_waits
from headrace_infra.cli.runs.looking import show
from headrace_infra.local.stack import LocalStack
from headrace_infra.testing import local


@dataclass(slots=True)
class Shop:
    """An app with a durable task of every operation, on a local stack."""

    hatchet: Hatchet
    stack: LocalStack
    order: Any
    flow: Any


def declared(hatchet: Hatchet) -> tuple[Any, Any]:
    @hatchet.durable_task()
    async def order(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        await ctx._aio_memo(lambda: {"price": 3}, dict[str, int])
        await packed.aio_run()
        try:
            async with asyncio.timeout(0.02):
                await ctx.aio_wait_for_event("order:hurry")
        except TimeoutError:
            pass
        await ctx.aio_sleep_for("1h", label="x" * 100)
        paid = UserEventCondition("order:paid", "input.n > 1", scope="s")
        await ctx.aio_wait_for("settled", or_(paid, SleepCondition("2h", readable_data_key="late")))
        return {}

    @hatchet.task()
    def packed(input: EmptyModel, ctx: Context) -> dict[str, Any]:
        return {"ok": True}

    flow = hatchet.workflow(name="flow")
    ready = UserEventCondition("ready")

    @flow.task(wait_for=[or_(ready, SleepCondition("30m"))], cancel_if=[SleepCondition("3h")])
    def step(input: EmptyModel, ctx: Context) -> dict[str, Any]:
        return {}

    return order, flow


@pytest.fixture(params=["", "staging"])
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    hatchet = Hatchet(config=Settings(namespace=request.param))
    order, flow = declared(hatchet)
    with local(hatchet, backend="memory", background=False) as stack:
        yield Shop(hatchet, stack, order, flow)


def test_the_log_of_a_durable_task_is_read(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    ref = shop.order.run(wait_for_result=False)
    shop.stack.deliver_all()
    assert shop.stack.suspended_at(ref) == (3,)
    shop.stack.advance(timedelta(hours=1, minutes=1))
    shop.stack.deliver_all()
    assert shop.stack.suspended_at(ref) == shop.stack.suspended_at(ref.workflow_run_id, "order") == (4,)
    assert shop.stack.suspended_at(ref, "another") == ()

    details = shop.hatchet.runs.get(ref.workflow_run_id)
    [task] = details.tasks
    assert task.durable_log == details.durable_log
    assert shop.hatchet.runs.get_task_run(task.task_external_id).durable_log == task.durable_log
    memo, child, hurry, sleep, wait = details.durable_log
    assert [each.node_id for each in details.durable_log] == [0, 1, 2, 3, 4]
    assert {each.task_name for each in details.durable_log} == {"order"}
    assert (memo.kind, memo.state, memo.order, memo.result) == ("MEMO", "SATISFIED", 1, {"price": 3})
    assert "lambda" in memo.asked
    assert (child.kind, child.state, child.order, child.result) == ("RUN", "SATISFIED", 2, None)
    assert child.child_run_id
    assert child.asked == f"child run {child.child_run_id}"
    assert shop.hatchet.runs.get_status(child.child_run_id) is RunStatus.COMPLETED
    prefix = shop.hatchet.settings.prefix
    assert (hurry.state, hurry.asked) == ("GIVEN_UP", f"order:hurry: event {prefix}order:hurry")
    assert (sleep.kind, sleep.state, sleep.asked) == ("WAIT_FOR", "SATISFIED", "x" * LONGEST_LABEL)
    assert list(sleep.result) == ["sleep"]
    assert (wait.state, wait.order, wait.result) == ("OPEN", None, None)
    assert wait.asked.startswith(f"settled: event {prefix}order:paid of scope s (input.n > 1) or 20")

    capsys.readouterr()
    show(shop.hatchet, ref.workflow_run_id, as_json=False)
    told = capsys.readouterr().out
    assert "durable log of order" in told
    assert "node   4  WAIT_FOR  OPEN" in told
    show(shop.hatchet, ref.workflow_run_id, as_json=True)
    data = json.loads(capsys.readouterr().out)
    assert [each["state"] for each in data["tasks"][0]["durable_log"]] == [
        "SATISFIED",
        "SATISFIED",
        "GIVEN_UP",
        "SATISFIED",
        "OPEN",
    ]
    shop.stack.push_event("order:paid", {"n": 2}, scope="s")
    shop.stack.drain()
    last = shop.hatchet.runs.get(ref.workflow_run_id).durable_log[-1]
    assert (last.state, last.asked, last.result) == ("SATISFIED", "settled", {"order:paid": [{"n": 2}]})
    assert shop.stack.suspended_at(ref) == ()


def test_a_task_that_is_not_durable_has_no_log(shop: Shop) -> None:
    ref = shop.flow.run(wait_for_result=False)
    shop.stack.drain()
    details = shop.hatchet.runs.get(ref.workflow_run_id)
    assert (details.tasks[0].durable_log, details.durable_log) == (None, [])


def test_sealed_parts_are_read_and_a_lost_one_hides_only_itself() -> None:
    hatchet = Hatchet()

    @hatchet.durable_task()
    async def long(input: EmptyModel, ctx: DurableContext) -> None:
        for number in range(30):
            await ctx._aio_memo(lambda n: "y" * 100 + str(n), str, number)
        await ctx.aio_sleep_for("1h")

    with local(hatchet, backend="memory", background=False) as stack:
        ref = long.run(wait_for_result=False)
        stack.deliver_all()
        log = hatchet.runs.get(ref.workflow_run_id).durable_log
        assert [each.node_id for each in log] == list(range(31))
        assert [each.result[100:] for each in log[:30]] == [str(n) for n in range(30)]
        engine, [record] = hatchet.engine, stack.runs()
        from headrace.core.changes import Delete
        from headrace.core.durable.encoding import decode_tail

        tail = decode_tail(record.tasks["long"].log)
        assert tail.parts
        part = tail.parts[0]
        engine.store.write(Delete(key=log_part_key(record.run_id, "long", part.number, part.owner)))
        assert hatchet.runs.get(ref.workflow_run_id).durable_log[-1].node_id == 30


# ---------------------------------------------------------------- waits


def test_waits_say_for_what_since_when_and_until_when(shop: Shop) -> None:
    began = datetime.fromtimestamp(shop.hatchet.engine.clock.now_ms() / 1000, UTC)
    durable = shop.order.run(wait_for_result=False)
    conditional = shop.flow.run(wait_for_result=False)
    shop.stack.deliver_all()
    waits = shop.hatchet.waits.list()
    by_task = {each.task_name: each for each in waits}
    assert set(by_task) == {"order", "step"}
    step, order = by_task["step"], by_task["order"]
    assert (order.kind, order.node_id, order.run_id) == ("TIME", 3, durable.workflow_run_id)
    assert order.until is not None
    assert timedelta(hours=1) <= order.until - began < timedelta(hours=1, seconds=30)
    prefix = shop.hatchet.settings.prefix
    assert (step.kind, step.node_id, [each.key for each in step.events]) == (
        "EVENT",
        None,
        [f"{prefix}ready"],
    )
    assert step.run_id == conditional.workflow_run_id
    assert step.until == step.since + timedelta(minutes=30)
    assert shop.hatchet.waits.list(event_key="ready") == [step]
    assert shop.hatchet.waits.list(event_key="never") == []
    assert shop.hatchet.waits.list(workflow_ids=["order"]) == [order]
    assert shop.hatchet.waits.list(run_id=durable.workflow_run_id) == [order]
    assert len(shop.hatchet.waits.list(limit=1)) == 1
    assert shop.hatchet.waits.list(since=began + timedelta(days=1)) == []
    with pytest.raises(RunNotFound):
        shop.hatchet.waits.list(run_id="11111111-1111-4111-8111-111111111111")
    shop.hatchet.runs.cancel(durable.workflow_run_id)
    assert shop.hatchet.waits.list() == [step]
    shop.stack.drain()
    assert shop.hatchet.waits.list() == []


def test_a_wait_that_time_cannot_end_has_no_end_and_children_are_named() -> None:
    hatchet = Hatchet()

    @hatchet.durable_task()
    async def child(input: EmptyModel, ctx: DurableContext) -> None:
        await ctx.aio_wait_for("both", SleepCondition("1h"), UserEventCondition("go"))

    @hatchet.durable_task()
    async def parent(input: EmptyModel, ctx: DurableContext) -> None:
        await asyncio.gather(
            child.aio_run(), ctx.aio_wait_for("two", SleepCondition("1h"), SleepCondition("2h"))
        )

    with local(hatchet, backend="memory", background=False) as stack:
        ref = parent.run(wait_for_result=False)
        stack.deliver_all()
        waits = {(each.task_name, each.node_id): each for each in hatchet.waits.list()}
        run, sleeps, both = waits["parent", 0], waits["parent", 1], waits["child", 0]
        assert (run.kind, run.child_run_id, run.until) == ("CHILD", both.run_id, None)
        assert (both.kind, both.until) == ("EVENT", None)
        assert sleeps.until is not None
        assert sleeps.until - sleeps.since > timedelta(minutes=119)
        assert stack.suspended_at(ref) == (0, 1)


def test_the_command_prints_waits(shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setattr(console.out, "_width", 250)
    asked: dict[str, Any] = {"event": None, "workflow": None, "run_id": None, "hours": None, "limit": 50}
    show_waits(shop.hatchet, **asked, as_json=False)
    assert capsys.readouterr().out == "no task waits for an event, a time or a child run\n"
    ref = shop.flow.run(wait_for_result=False)
    shop.stack.deliver_all()
    show_waits(shop.hatchet, **asked, as_json=False)
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["run", "task", "node", "since", "ends", "in", "waits", "for"]
    prefix = shop.hatchet.settings.prefix
    assert row.split()[:3] == [ref.workflow_run_id, "step", "-"]
    assert f"event {prefix}ready or 20" in row
    show_waits(
        shop.hatchet,
        **{**asked, "event": "ready", "hours": 1.0, "run_id": ref.workflow_run_id[:8]},
        as_json=True,
    )
    [data] = json.loads(capsys.readouterr().out)
    assert (data["run_id"], data["kind"], data["events"][0]["key"]) == (
        ref.workflow_run_id,
        "EVENT",
        f"{prefix}ready",
    )
