"""DESIGN's budgets: what a flow may cost, counted request by request on the local runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headrace import Context, EmptyModel, Headrace
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


app.worker("everything", workflows=[once, twice, chain, diamond])


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
]


@pytest.mark.parametrize(("flow", "trigger", "budget"), ROWS, ids=[row[0] for row in ROWS])
def test_a_flow_costs_no_more_than_its_row(
    stack: LocalStack, flow: str, trigger: Trigger, budget: dict[str, float]
) -> None:
    before = stack.invocations
    with Meter() as meter:
        trigger()
        stack.deliver_all()
    found = meter.totals() | {"invocation": stack.invocations - before}
    over = {kind: found.get(kind, 0) for kind, most in budget.items() if found.get(kind, 0) > most}
    assert not over, f"{flow} costs {over}, its budget is {budget}:\n{meter.listing()}"
    assert found["write"] >= 3, "the meter counts nothing"


def test_only_the_claim_comes_before_user_code(stack: LocalStack) -> None:
    seen: list[int] = []
    with Meter() as meter:
        original = once.task.fn
        once.task.fn = lambda input, ctx: seen.append(len(meter.calls)) or {"ok": True}
        try:
            once.run(wait_for_result=False)
            sent = len(meter.calls)
            stack.deliver_all()
        finally:
            once.task.fn = original
    operations = [call.operation for call in meter.calls[sent : seen[0]]]
    assert operations == ["ReceiveMessage", "UpdateItem"]
