"""The process dies at every port call, before or after its effect: nothing is lost, nothing committed twice."""

from __future__ import annotations

import contextlib

import pytest
from support.records import plan, task
from support.world import KillAt, Killed, World

from headrace.core.graph import finished, run_status
from headrace.core.plan import Json, RunPlan
from headrace.core.record import RunStatus
from headrace.engine.runnable import Work

CHAIN = plan(task("a"), task("b", "a"), task("c", "b"), workflow="chain")
DIAMOND = plan(task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c"), workflow="diamond")
TWO_ROOTS = plan(task("a"), task("b", worker="other"), task("c", "a", "b"), workflow="roots")
RETRIED = plan(task("a", retries=2), task("b", "a", retries=1, backoff_factor=1800.0), workflow="retried")
ISOLATED = plan(task("a"), task("b", "a", isolated=True), task("c", "b", worker="other"), workflow="isolated")
BIG = plan(task("a"), task("b", "a"), workflow="big")


def body(work: Work) -> Json:
    row = work.record.tasks[work.task]
    if work.record.plan.workflow == "retried" and row.app_retry_count == 0:
        raise ValueError("first attempts fail")
    if work.record.plan.workflow == "big":
        return {"text": "x" * 3_000}
    return {"task": work.task}


def attempt(flow: RunPlan, fault: KillAt) -> tuple[World, str | None]:
    names = {each.name for each in flow.tasks}
    w = World(plans={flow.workflow: flow}, code=dict.fromkeys(names, body), faults=fault)
    run_id: str | None = None
    value: Json = {"text": "y" * 2_000} if flow is BIG else {"n": 1}
    with contextlib.suppress(Killed):
        run_id = w.start(flow.workflow, value)
    w.drain()
    return w, run_id


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize(
    "flow", [CHAIN, DIAMOND, TWO_ROOTS, RETRIED, ISOLATED, BIG], ids=lambda flow: flow.workflow
)
def test_any_crash_point(flow: RunPlan, after_effect: bool) -> None:
    clean = KillAt(10**9, after_effect)
    attempt(flow, clean)
    assert clean.calls > 5
    for n in range(clean.calls):
        fault = KillAt(n, after_effect)
        w, run_id = attempt(flow, fault)
        where = f"killed at call {n} ({fault.hit}), {'after' if after_effect else 'before'} its effect"
        assert w.queues.depth() == 0, where
        records = [item for item in w.store.items() if item["sk"] == "run"]
        if run_id is None and not records:
            continue  # the client died before the queue took the run: it never existed
        assert len(records) == 1, where
        [item] = records
        record = w.record(str(item["pk"]).removeprefix("run#"))
        assert finished(record), where
        assert run_status(record) is RunStatus.COMPLETED, where
        assert set(record.tasks) == {each.name for each in flow.tasks}, where
        retried = sum(row.app_retry_count for row in record.tasks.values())
        lost = sum(row.takeovers for row in record.tasks.values())
        assert len(w.ran) <= len(flow.tasks) + retried + lost, where


def test_a_chain_that_crashes_repeats_nothing_that_was_committed() -> None:
    """Killed right after the second task's commit: redelivery goes on with the third."""
    for n in range(40):
        fault = KillAt(n, True)
        w, run_id = attempt(CHAIN, fault)
        if run_id is None or not fault.hit:
            continue
        counts = {name: w.ran.count(name) for name in "abc"}
        assert sum(counts.values()) <= 4, (n, fault.hit, counts)
