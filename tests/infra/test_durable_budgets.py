"""What a durable task's operations cost, and what a workflow's conditions do, counted request by request on the local runtime."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from headrace import Context, DurableContext, EmptyModel, Headrace, SleepCondition
from headrace.engine.waits.kinds.pause import refresh
from headrace_infra.cost.meter import Meter
from headrace_infra.local.stack import LocalStack
from headrace_infra.testing import local

app = Headrace()


@app.durable_task(name="nothing")
async def nothing(input: EmptyModel, ctx: DurableContext) -> dict[str, int]:
    return {"n": 1}


@app.durable_task(name="short")
async def short(input: EmptyModel, ctx: DurableContext) -> dict[str, int]:
    await ctx.aio_sleep_for(timedelta(minutes=10))
    return {"n": 1}


@app.durable_task(name="told")
async def told(input: EmptyModel, ctx: DurableContext) -> dict[str, int]:
    await ctx.aio_wait_for_event("go")
    return {"n": 1}


@app.durable_task(name="memo")
async def memo(input: EmptyModel, ctx: DurableContext) -> dict[str, int]:
    await ctx.aio_now()
    return {"n": 1}


two = app.workflow(name="two")
waits = app.workflow(name="waits")


def _step(input: EmptyModel, ctx: Context) -> dict[str, int]:
    return {"n": 1}


two.task(name="b", parents=[two.task(name="a")(_step)], isolated=True)(_step)
waits.task(
    name="b",
    parents=[waits.task(name="a")(_step)],
    isolated=True,
    wait_for=[SleepCondition(timedelta(minutes=5))],
)(_step)


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    with local(app, background=False) as running:
        yield running


def cost(
    stack: LocalStack, task: Any, *, until: timedelta = timedelta(0), push: str = ""
) -> tuple[dict[str, float], str]:
    """What one run costs, after another has warmed the process, and its calls. The clock's own look at what is due is not counted."""
    found, calls = dict[str, float](), ""
    for _ in range(2):
        refresh(stack.engine)
        before = stack.invocations
        with Meter() as meter:
            task.run(wait_for_result=False)
            stack.deliver_all()
        stack.advance(until)
        refresh(stack.engine)  # a read a process in ten seconds, whatever runs
        with Meter() as later:
            if push:
                app.event.push(push, {"n": 1})
            stack.deliver_all()
        first, then = meter.totals(), later.totals()
        found = {kind: first.get(kind, 0) + then.get(kind, 0) for kind in ("write", "read", "sqs")}
        found["invocation"] = stack.invocations - before
        calls = f"{meter.listing()}\n{later.listing()}"
    return found, calls


EMPTY = 1
"""This test's own receive that brings nothing: a message is there, and not due."""

# Of a wait for an event one write and two reads are the event's: its item, the key's item, and a query of who waits.
ROWS: list[tuple[str, Any, Any, dict[str, Any], dict[str, float]]] = [
    (
        "a durable sleep",
        short,
        nothing,
        {"until": timedelta(minutes=10)},
        {"write": 2, "read": 1, "sqs": 3 + EMPTY, "invocation": 1},
    ),
    (
        "a wait for an event",
        told,
        nothing,
        {"push": "go"},
        {"write": 5 + 1, "read": 4 + 2, "sqs": 6, "invocation": 2},
    ),
    ("the time", memo, nothing, {}, {"write": 1, "read": 0, "sqs": 0, "invocation": 0}),
    (
        "a sleep of a workflow's task",
        waits,
        two,
        {"until": timedelta(minutes=5)},
        {"write": 0, "read": 1, "sqs": EMPTY, "invocation": 0},
    ),
]


@pytest.mark.parametrize(("flow", "task", "without", "options", "budget"), ROWS, ids=[row[0] for row in ROWS])
def test_a_wait_costs_no_more_than_its_row(
    stack: LocalStack, flow: str, task: Any, without: Any, options: dict[str, Any], budget: dict[str, float]
) -> None:
    usual, _ = cost(stack, without, until=options.get("until", timedelta(0)))
    found, calls = cost(stack, task, **options)
    more = {kind: found[kind] - usual[kind] for kind in budget}
    over = {kind: more[kind] for kind, most in budget.items() if more[kind] > most}
    assert not over, f"{flow} costs {over} more than {without.name}, its budget is {budget}:\n{calls}"
