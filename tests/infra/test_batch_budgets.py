"""What a batch costs, counted request by request on the local runtime."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from headrace import BatchMemberId, Context, EmptyModel, Headrace
from headrace.engine.waits.kinds.pause import refresh
from headrace_infra.cost.meter import Meter
from headrace_infra.local.stack import LocalStack
from headrace_infra.testing import local

app = Headrace()
Inputs = dict[BatchMemberId, EmptyModel]


@app.batch_task(name="by-size", batch_max_size=100)
def by_size(inputs: Inputs, ctx: Context) -> dict[BatchMemberId, dict[str, int]]:
    return {name: {"of": len(inputs)} for name in inputs}


@app.batch_task(name="by-interval", batch_max_size=1_000, batch_max_interval=timedelta(seconds=5))
def by_interval(inputs: Inputs, ctx: Context) -> dict[BatchMemberId, dict[str, int]]:
    return {name: {"of": len(inputs)} for name in inputs}


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    with local(app, background=False) as running:
        yield running


EMPTY = 3
"""This test's own receives that bring nothing."""

A_BATCH = {"read": 15, "sqs": 3 + EMPTY, "invocation": 1}
"""The rest is for each member: its record and its place in a page read, both eventually consistent, its own message."""


@pytest.mark.parametrize(("task", "members"), [(by_size, 100), (by_interval, 30), (by_interval, 10)])
def test_a_batch_costs_no_more_than_its_row(stack: LocalStack, task: Any, members: int) -> None:
    for _ in range(2):  # the first warms the process
        refresh(stack.engine)
        before = stack.invocations
        with Meter() as meter:
            refs = [task.run(wait_for_result=False) for _ in range(members)]
            stack.deliver_all()
        stack.advance(timedelta(seconds=6))
        with Meter() as later:
            stack.deliver_all()
    first, then = meter.totals(), later.totals()
    found = {kind: first.get(kind, 0) + then.get(kind, 0) for kind in ("write", "read", "sqs")}
    found["invocation"] = stack.invocations - before
    budget = {
        "write": 6 * members,
        "read": members + A_BATCH["read"],
        "sqs": 3 * members + A_BATCH["sqs"],
        "invocation": members + A_BATCH["invocation"],
    }
    over = {kind: found[kind] for kind, most in budget.items() if found[kind] > most}
    assert not over, f"costs {over}, the budget is {budget}:\n{meter.listing()}\n{later.listing()}"
    assert refs[0].result() == {"of": members}
    assert found["write"] >= 4 * members, "the meter counts nothing"
    assert found["write"] <= 4.5 * members, (
        "a member is created, joins, is claimed, is committed; the rest is shared"
    )
