"""DESIGN's budgets: what a flow may cost, counted request by request on the local runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Any

import pytest

from headrace import Context, EmptyModel, Headrace, RateLimit
from headrace.engine.waits.kinds.pause import refresh
from headrace.triggers.children import current
from headrace_infra.cost.meter import Meter
from headrace_infra.local.stack import LocalStack
from headrace_infra.testing import local

app = Headrace()


@app.task(name="once")
def once(input: EmptyModel, ctx: Context) -> dict[str, bool]:
    return {"ok": True}


@app.task(name="twice", retries=1)
def twice(input: EmptyModel, ctx: Context) -> dict[str, bool]:
    if ctx.retry_count == 0:
        raise ValueError("not yet")
    return {"ok": True}


@app.task(name="apart", retries=1, isolated=True)
def apart(input: EmptyModel, ctx: Context) -> dict[str, bool]:
    return twice.fn(input, ctx)


chain = app.workflow(name="chain")
diamond = app.workflow(name="diamond")


def _step(input: EmptyModel, ctx: Context) -> dict[str, int]:
    return {"n": 1}


_last: list[Any] = []
for _number in range(10):
    _last = [chain.task(name=f"t{_number}", parents=_last)(_step)]

_top = diamond.task(name="top")(_step)
_sides = [diamond.task(name=name, parents=[_top])(_step) for name in ("left", "middle", "right")]
diamond.task(name="join", parents=_sides)(_step)


async def _async_step(input: EmptyModel, ctx: Context) -> dict[str, int]:
    return {"n": 1}


on_the_loop = app.workflow(name="on-the-loop")
_first = on_the_loop.task(name="top")(_async_step)
_beside = [on_the_loop.task(name=name, parents=[_first])(_async_step) for name in ("left", "middle", "right")]
on_the_loop.task(name="join", parents=_beside)(_async_step)


@app.task(name="gated", concurrency=1)
def gated(input: EmptyModel, ctx: Context) -> dict[str, bool]:
    _during(gated.name)
    return {"ok": True}


@app.task(name="limited", rate_limits=[RateLimit(dynamic_key="'budget'", limit=100)])
def limited(input: EmptyModel, ctx: Context) -> dict[str, bool]:
    return {"ok": True}


_to_do: dict[str, Callable[[], object]] = {}


def _during(task: str) -> None:
    """What a test does while the task runs, once."""
    _to_do.pop(task, lambda: None)()


app.worker("everything", workflows=[once, twice, apart, chain, diamond, on_the_loop, gated, limited])


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    with local(app, background=False) as running:
        yield running


Trigger = Callable[[], object]
ROWS: list[tuple[str, Trigger, dict[str, float]]] = [
    (
        "standalone task",
        lambda: once.run(wait_for_result=False),
        {"write": 3, "index_write": 1, "read": 0, "sqs": 3, "invocation": 1},
    ),
    (
        "a retry",
        lambda: twice.run(wait_for_result=False),
        {"write": 4, "index_write": 1, "read": 0, "sqs": 3, "invocation": 1},
    ),
    (
        "a retry in an invocation of its own",
        lambda: apart.run(wait_for_result=False),
        {"write": 5, "index_write": 1, "read": 0, "sqs": 6, "invocation": 2},
    ),
    (
        "chain of 10",
        lambda: chain.run(wait_for_result=False),
        {"write": 12, "index_write": 1, "read": 0, "sqs": 3, "invocation": 1},
    ),
    (
        "diamond",
        lambda: diamond.run(wait_for_result=False),
        {"write": 13, "index_write": 1, "read": 2, "sqs": 9, "invocation": 3},
    ),
    (
        "diamond of async tasks",
        lambda: on_the_loop.run(wait_for_result=False),
        {"write": 8, "index_write": 1, "read": 0, "sqs": 3, "invocation": 1},
    ),
    (
        "one free gate",
        lambda: gated.run(wait_for_result=False),
        {"write": 3 + 2, "index_write": 1, "read": 0, "sqs": 3, "invocation": 1},
    ),
]


@pytest.mark.parametrize(("flow", "trigger", "budget"), ROWS, ids=[row[0] for row in ROWS])
def test_a_flow_costs_no_more_than_its_row(
    stack: LocalStack, flow: str, trigger: Trigger, budget: dict[str, float]
) -> None:
    refresh(stack.engine)  # what a process reads every ten seconds, however many runs it has in that time
    before = stack.invocations
    with Meter() as meter:
        trigger()
        stack.deliver_all()
    found = meter.totals() | {"invocation": stack.invocations - before}
    over = {kind: found.get(kind, 0) for kind, most in budget.items() if found.get(kind, 0) > most}
    assert not over, f"{flow} costs {over}, its budget is {budget}:\n{meter.listing()}"
    assert found["write"] >= 3, "the meter counts nothing"


def test_a_run_that_parks_once_costs_no_more_than_its_row(stack: LocalStack) -> None:
    """Of ten runs the first one holds the only place until the others wait. A busy time costs, besides, the mark with its entry in the
    index, the two writes that take it away, and the claim of the run that finds first that the limit is full."""

    def others_arrive() -> None:
        """They are no children of the first run."""
        for _ in range(9):
            copy_context().run(lambda: (current.set(None), gated.run(wait_for_result=False)))
        stack.deliver_all()

    refresh(stack.engine)
    before = stack.invocations
    _to_do[gated.name] = others_arrive
    with Meter() as meter:
        gated.run(wait_for_result=False)
        stack.deliver_all()
    found = meter.totals() | {"invocation": stack.invocations - before}
    parked = 9
    budget = {
        "write": 10 * (3 + 1)
        + 1
        + parked * 3
        + 6,  # parked, lined up, struck; nine places are handed over, so nine do not enter
        "index_write": 10 + 1,
        "read": parked * 4,
        "sqs": 10 * 3 + parked * 3 + 1,  # the last receive of those within the first run brings nothing
        "invocation": 10 + parked,
    }
    over = {kind: found.get(kind, 0) for kind, most in budget.items() if found.get(kind, 0) > most}
    assert not over, f"costs {over}, the budget is {budget}:\n{meter.listing()}"
    assert found["invocation"] == 10 + parked, "each was parked once, and woken by one message"


def test_a_rate_limit_costs_one_write_where_its_window_is_known(stack: LocalStack) -> None:
    refresh(stack.engine)
    limited.run(wait_for_result=False)
    stack.deliver_all()
    with Meter() as meter:
        limited.run(wait_for_result=False)
        stack.deliver_all()
    assert meter.totals()["write"] <= 3 + 1 + 1, meter.listing()  # and one more where a minute has just begun


@pytest.mark.parametrize(("task", "calls"), [(once, 1), (gated, 2), (limited, 2)])
def test_what_comes_before_user_code(stack: LocalStack, task: Any, calls: int) -> None:
    refresh(stack.engine)
    seen: list[int] = []
    with Meter() as meter:
        original = task.task.fn
        task.task.fn = lambda input, ctx: seen.append(len(meter.calls)) or {"ok": True}
        try:
            task.run(wait_for_result=False)
            sent = len(meter.calls)
            stack.deliver_all()
        finally:
            task.task.fn = original
    operations = [call.operation for call in meter.calls[sent : seen[0]]]
    assert operations == ["ReceiveMessage", *["UpdateItem"] * calls]
