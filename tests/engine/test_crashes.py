"""The process dies at every port call, before or after its effect: nothing is lost, nothing committed twice."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import pytest
from support.families import Family
from support.records import plan, task
from support.world import KillAt, Killed, World

from headrace.core.run.derived.progress import finished, run_status
from headrace.core.run.idempotency import IdempotencyKey
from headrace.core.run.plans.plan import Json, RunPlan
from headrace.core.run.record import RunRecord, RunStatus
from headrace.core.run.stored.record import record_of
from headrace.engine.attempts.ports import Outcome, Work
from headrace.errors import IdempotencyCollisionError

CHAIN = plan(task("a"), task("b", "a"), task("c", "b"), workflow="chain")
DIAMOND = plan(task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c"), workflow="diamond")
TWO_ROOTS = plan(task("a"), task("b", worker="other"), task("c", "a", "b"), workflow="roots")
RETRIED = plan(task("a", retries=2), task("b", "a", retries=1, backoff_factor=1800.0), workflow="retried")
RETRIED_HERE = plan(task("a", retries=1), task("b", "a", retries=1), workflow="retried")
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
    "flow",
    [CHAIN, DIAMOND, TWO_ROOTS, RETRIED, RETRIED_HERE, ISOLATED, BIG],
    ids=["chain", "diamond", "roots", "retried", "retried here", "isolated", "big"],
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


CHILD = plan(task("child", retries=1), workflow="child")
PARENT = plan(task("parent"), task("after", "parent"), workflow="parent")


@dataclass(frozen=True, slots=True)
class Waits:
    """A parent of three children that holds no invocation while it waits."""

    w: World
    is_async: bool = False

    def call(self, work: Work) -> Outcome:
        return Family(self.w.engine, CHILD, 3).call(work)

    async def acall(self, work: Work) -> Outcome:
        return self.call(work)


def family(fault: KillAt) -> World:
    w = World(plans={"child": CHILD, "parent": PARENT}, code={"child": body, "after": body}, faults=fault)
    w.more["parent", "parent"] = Waits(w)
    with contextlib.suppress(Killed):
        w.start("parent")
    w.drain()
    return w


@pytest.mark.parametrize("after_effect", [False, True])
def test_any_crash_point_of_a_fan_in(after_effect: bool) -> None:
    clean = KillAt(10**9, after_effect)
    assert {run_status(record) for record in records(family(clean))} == {RunStatus.COMPLETED}
    for n in range(clean.calls):
        fault = KillAt(n, after_effect)
        w = family(fault)
        where = f"killed at call {n} ({fault.hit}), {'after' if after_effect else 'before'} its effect"
        assert w.queues.depth() == 0, where
        found = records(w)
        if not found:
            continue
        assert len(found) == 4, where
        assert {run_status(record) for record in found} == {RunStatus.COMPLETED}, where


def records(w: World) -> list[RunRecord]:
    return [record_of(item) for item in w.store.items() if item["sk"] == "run"]


KEYED = plan(task("only"), workflow="keyed")


@pytest.mark.parametrize("until_over", [False, True])
@pytest.mark.parametrize("after_effect", [False, True])
def test_a_crash_between_a_key_and_its_message_blocks_no_run(after_effect: bool, until_over: bool) -> None:
    """A client dies at each call of a trigger with a key; a second client then meets the key or takes it."""
    key = IdempotencyKey(key="order 1", ttl_ms=3_600_000, until_over=until_over)
    for n in range(12):
        fault = KillAt(n, after_effect)
        w = World(plans={"keyed": KEYED}, code={"only": body}, faults=fault)
        with contextlib.suppress(Killed):
            w.start("keyed", idempotency=key)
        died = bool(fault.hit)
        fault.armed = False
        with contextlib.suppress(IdempotencyCollisionError):
            w.start("keyed", idempotency=key)
        w.drain()
        found = records(w)
        assert [run_status(record) for record in found] == [RunStatus.COMPLETED], (n, fault.hit)
        held = [item for item in w.store.items() if str(item["pk"]).startswith("idem#")]
        assert len(held) == (0 if until_over else 1), (n, fault.hit)
        if not died:
            break
