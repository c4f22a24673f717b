"""A durable task's process dies at every port call, before or after its effect: nothing is lost, no child runs twice, all end alike."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support.durable import Dies, DurableWorld
from support.world import Killed, run_at_once

from headrace import Context, DurableContext, EmptyModel, Hatchet, SleepCondition, UserEventCondition, or_
from headrace.core.run.derived.progress import run_status
from headrace.core.run.record import RunStatus
from headrace.engine.attempts.ports import Done
from headrace.engine.durable import answers
from headrace.engine.runs import deliver

memos: list[int] = []


def app() -> Hatchet:
    hatchet = Hatchet()

    @hatchet.task(input_validator=dict[str, int])
    def child(input: dict[str, int], ctx: Context) -> dict[str, int]:
        return {"twice": input["n"] * 2}

    def made() -> int:
        memos.append(1)
        return 7

    @hatchet.durable_task()
    async def sleeps(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        began = await ctx.aio_now()
        await ctx.aio_sleep_for(timedelta(seconds=90))
        await ctx.aio_sleep_for(timedelta(seconds=30))
        took = (await ctx.aio_now() - began).total_seconds()
        return {"in time": 120 <= took < 400, "n": await ctx._aio_memo(made, int)}

    @hatchet.durable_task()
    async def waits(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        told = await ctx.aio_wait_for_event("go")
        either = or_(
            SleepCondition(timedelta(seconds=600), "late"),
            UserEventCondition("go", readable_data_key="again"),
        )
        found = await ctx.aio_wait_for("either", either)
        return {"told": told["n"], "then": list(found["CREATE"])}

    @hatchet.durable_task()
    async def fans_out(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
        first, second = await asyncio.gather(child.aio_run({"n": 1}), child.aio_run({"n": 2}))
        await ctx.aio_sleep_for(timedelta(seconds=1))
        third = await child.aio_run({"n": first["twice"] + second["twice"]})
        return {"sum": third["twice"]}

    return hatchet


def attempt(name: str, fault: Dies) -> DurableWorld:
    """Where the effect is there, its response may be all that was lost: then the process lives, and its code goes on in memory."""
    memos.clear()
    w = DurableWorld(plans={}, code={}, faults=fault, of=app(), keeps_code=fault.after_effect)
    with contextlib.suppress(Killed):
        w.begin(name)
    fault.dead = False
    for _ in range(3 if name == "waits" else 0):
        while w.deliver_next():
            pass
        w.clock.advance(61_000)
    if name == "waits":
        fault.idle = False
        with contextlib.suppress(Killed):
            w.app.event.push("go", {"n": 5})
        if fault.dead and not fault.after_effect:
            fault.dead = False
            w.app.event.push("go", {"n": 5})
        fault.dead = False
    w.drain()
    fault.armed = fault.dead = False
    return w


RESULTS: dict[str, tuple[int, Any]] = {
    "sleeps": (1, {"in time": True, "n": 7}),
    "waits": (1, {"told": 5, "then": ["late"]}),
    "fans_out": (4, {"sum": 12}),
}


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("name", RESULTS)
def test_any_crash_point(name: str, after_effect: bool) -> None:
    clean = Dies(10**9, after_effect)
    runs, result = RESULTS[name]
    assert outcomes(attempt(name, clean), name) == [result]
    for n in range(clean.calls):
        fault = Dies(n, after_effect)
        w = attempt(name, fault)
        where = f"killed at call {n} ({fault.hit}), {'after' if after_effect else 'before'} its effect"
        assert w.queues.depth() == 0, where
        if not w.records() and n < 4:
            continue  # the client died before the queue took the run
        assert outcomes(w, name) == [result], where
        assert len(w.records()) == runs, where
        assert {run_status(record) for record in w.records()} == {RunStatus.COMPLETED}, where
        assert len(memos) <= 2, where


def test_a_delivery_that_froze_before_it_looked_leaves_the_message_to_a_later_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The later delivery of the same message has claimed, taken the answers and died: the message is all that brings the run back."""
    w = DurableWorld(plans={}, code={}, of=app())
    w.begin("waits")
    while w.deliver_next():
        pass
    w.app.event.push("go", {"n": 5})
    assert w._deliver_from("events")
    (received,) = w.queues.receive("default", limit=1, wait_s=0)
    look, run = answers.look, deliver.run

    def dies(*_: Any) -> Any:
        raise Killed("after the claim")

    def freezes(*arguments: Any) -> Any:
        monkeypatch.setattr(answers, "look", look)
        monkeypatch.setattr(deliver, "run", dies)
        w.clock.advance_to(w.queues.next_visible_ms() or 0)
        assert w.deliver_next()
        monkeypatch.setattr(deliver, "run", run)
        return look(*arguments)

    monkeypatch.setattr(answers, "look", freezes)
    verdict = deliver.deliver(w.engine, w.host("default"), received, runner=run_at_once)
    assert not isinstance(verdict, Done)
    w.drain()
    assert outcomes(w, "waits") == [RESULTS["waits"][1]]


def test_a_sleep_that_ends_between_the_look_and_the_next_message_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker whose clock is behind finds the sleep not over, and freezes until it is."""

    class Behind:
        def now_ms(self) -> int:
            return w.clock.now_ms() - 500

    w = DurableWorld(plans={}, code={}, of=app())
    w.begin("sleeps")
    while w.deliver_next():
        pass
    while (due_ms := w.queues.next_visible_ms()) is None:
        w.clock.advance(60_000)
        w._tick()
    w.clock.advance_to(due_ms)
    (received,) = w.queues.receive("default", limit=1, wait_s=0)
    look = answers.look

    def freezes(*arguments: Any) -> Any:
        monkeypatch.setattr(answers, "look", look)
        found = look(*arguments)
        w.clock.advance(10_000)
        return found

    monkeypatch.setattr(answers, "look", freezes)
    engine = replace(w.engine, clock=Behind())
    verdict = deliver.deliver(engine, w.host("default"), received, runner=run_at_once)
    if isinstance(verdict, Done):
        w.queues.delete(received)
    w.drain()
    assert outcomes(w, "sleeps") == [RESULTS["sleeps"][1]]


def outcomes(w: DurableWorld, name: str) -> list[Any]:
    return [
        json.loads(record.tasks[name].output.text or "null")
        for record in w.records()
        if record.plan.workflow == name
    ]
