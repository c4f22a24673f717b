"""Async tasks that become ready at once go on side by side in one invocation, and its message answers for each of them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from support.records import plan, task
from support.world import Code, KillAt, Killed, World

from headrace.core.run.derived.progress import finished, run_status
from headrace.core.run.plans.plan import Json, RunPlan
from headrace.core.run.record import RunRecord, RunStatus, TaskStatus
from headrace.engine.attempts.ports import Disposition, Done, Later, Work
from headrace.engine.engine import Limits
from headrace.engine.runs.deliver import deliver
from headrace.engine.runs.going_on import MOST_TOGETHER
from headrace.runtime.side_by_side import side_by_side

DIAMOND = plan(task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c"), workflow="flow")
LAYERS = plan(
    task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c"), task("e", "b", "c"), task("f", "d", "e"),
    workflow="flow",
)  # fmt: skip
RETRIED = plan(task("a"), task("b", "a", retries=1), task("c", "a"), task("d", "b", "c"), workflow="flow")


def one_after_the_other(chains: Sequence[Callable[[], Any]]) -> list[Any]:
    return [chain() for chain in chains]


def body(work: Work) -> Json:
    if work.record.tasks[work.task].app_retry_count < work.record.plan.task(work.task).retries:
        raise ValueError("not yet")
    return {"task": work.task}


def world(flow: RunPlan, **options: Any) -> World:
    names = [each.name for each in flow.tasks]
    given = {"is_async": True, "together": one_after_the_other, **options}
    return World(plans={"flow": flow}, code=dict.fromkeys(names, body), **given)


@pytest.mark.parametrize("flow", [DIAMOND, LAYERS, RETRIED], ids=["diamond", "layers", "a retry"])
def test_all_of_them_are_one_message(flow: RunPlan) -> None:
    w = world(flow)
    run_id = w.start("flow")
    assert w.deliver_next()
    assert run_status(w.record(run_id)) is RunStatus.COMPLETED
    assert w.queues.depth() == 0
    assert set(Counter(w.ran)) == {each.name for each in flow.tasks}


def test_they_run_at_once_and_the_message_is_done_with_after_all() -> None:
    both = threading.Barrier(2, timeout=20)

    def meets(work: Work) -> Json:
        if work.task in "bc":
            both.wait()
        return {"task": work.task}

    w = World(
        plans={"flow": DIAMOND}, code=dict.fromkeys("abcd", meets), is_async=True, together=side_by_side
    )
    run_id = w.start("flow")
    assert w.deliver_next()
    assert run_status(w.record(run_id)) is RunStatus.COMPLETED
    assert (sorted(w.ran), w.queues.depth()) == (["a", "b", "c", "d"], 0)


@pytest.mark.parametrize(
    "options",
    [{"is_async": False}, {"together": None}],
    ids=["sync tasks", "a worker process, whose slots say how many"],
)
def test_others_get_messages(options: dict[str, Any]) -> None:
    w = world(DIAMOND, **options)
    w.start("flow")
    w.deliver_next()
    assert (w.ran, w.queues.depth()) == (["a", "b"], 1)


def test_a_task_that_is_isolated_gets_a_message() -> None:
    flow = plan(
        task("a"), task("b", "a"), task("c", "a", isolated=True), task("d", "a"), task("e", "b", "d"),
        workflow="flow",
    )  # fmt: skip
    w = world(flow)
    w.start("flow")
    w.deliver_next()
    assert (w.ran, w.queues.depth()) == (["a", "b", "d", "e"], 1)


def test_what_one_of_them_makes_ready_does_not_wait_for_the_others() -> None:
    """One goes on at once, the other gets a message."""
    flow = plan(task("a"), task("b", "a"), task("c", "a"), task("d", "b"), task("e", "b"), workflow="flow")
    w = world(flow)
    w.start("flow")
    w.deliver_next()
    assert (w.ran, w.queues.depth()) == (["a", "b", "d", "c"], 1)


def test_more_than_a_few_are_spread_over_other_invocations() -> None:
    wide = [task(f"b{n}", "a") for n in range(MOST_TOGETHER + 5)]
    w = world(plan(task("a"), *wide, workflow="flow"))
    run_id = w.start("flow")
    w.deliver_next()
    assert (len(w.ran), w.queues.depth()) == (1 + MOST_TOGETHER, 5)
    w.drain()
    assert run_status(w.record(run_id)) is RunStatus.COMPLETED


def test_what_one_of_them_raises_leaves_the_message_and_ends_no_other() -> None:
    class Broken(Code):
        def call(self, work: Work) -> Any:
            raise RuntimeError("of the runner, not of the task")

    w = world(DIAMOND, together=side_by_side)
    w.more = {("flow", "b"): Broken(body, True)}
    run_id = w.start("flow")
    [received] = w.queues.receive("default", limit=1, wait_s=0)
    with pytest.raises(RuntimeError):
        deliver(
            w.engine, w.host("default"), received, runner=lambda *of: of[4].call(of[5])
        )  # the engine's runner lets it through
    assert w.record(run_id).tasks["c"].status is TaskStatus.COMPLETED
    assert w.record(run_id).tasks["b"].status is TaskStatus.RUNNING
    assert w.queues.depth() == 1


def crashed(flow: RunPlan, fault: KillAt, **options: Any) -> tuple[World, RunRecord | None]:
    w = world(flow, faults=fault, **options)
    run_id = None
    try:
        run_id = w.start("flow")
    except Killed:
        return w, None
    w.drain()
    fault.armed = False
    return w, w.record(run_id)


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("flow", [DIAMOND, LAYERS, RETRIED], ids=["diamond", "layers", "a retry"])
def test_any_crash_point(flow: RunPlan, after_effect: bool) -> None:
    """Of several that were RUNNING, the redelivery takes over each."""
    clean = KillAt(10**9, after_effect)
    crashed(flow, clean)
    assert clean.calls > 8
    for n in range(clean.calls):
        fault = KillAt(n, after_effect)
        w, record = crashed(flow, fault)
        where = f"killed at call {n} ({fault.hit}), {'after' if after_effect else 'before'} its effect"
        if record is None:
            continue
        assert w.queues.depth() == 0, where
        assert finished(record), where
        assert run_status(record) is RunStatus.COMPLETED, where
        lost = sum(row.takeovers for row in record.tasks.values())
        retried = sum(row.app_retry_count for row in record.tasks.values())
        assert len(w.ran) <= len(flow.tasks) + retried + lost, where


class Dies:
    """The process ends whenever this task's code runs."""

    def __init__(self, task: str) -> None:
        self.task = task

    def __call__(self, work: Work) -> Json:
        if work.task == self.task:
            raise Killed
        return body(work)


@pytest.mark.parametrize("killer", ["b", "c"])
def test_a_task_that_kills_its_process_fails_alone(killer: str) -> None:
    """They are taken over one by one, so what ran beside it is not given up with it."""
    w = world(DIAMOND, limits=Limits(max_crashes=3))
    w.code = dict.fromkeys("abcd", Dies(killer))
    run_id = w.start("flow")
    w.drain()
    rows = w.record(run_id).tasks
    other = {"b": "c", "c": "b"}[killer]
    assert (rows[killer].status, rows[other].status) == (TaskStatus.FAILED, TaskStatus.COMPLETED)
    assert w.ran.count(killer) == 4
    assert w.ran.count(other) <= 2
    assert w.queues.depth() == 0


def test_a_dead_letter_fails_all_that_rode_on_it() -> None:
    w = world(DIAMOND, limits=Limits(max_crashes=50), max_receive_count=3)
    w.code = dict.fromkeys("abcd", Dies("b"))
    run_id = w.start("flow")
    w.drain()
    record = w.record(run_id)
    assert finished(record)
    assert record.tasks["b"].status is TaskStatus.FAILED
    assert w.queues.depth() == 0


def test_a_duplicate_is_left_while_one_of_them_runs() -> None:
    w = world(DIAMOND)
    found: list[Disposition] = []

    def twice(work: Work) -> Json:
        if work.task == "c":
            found.append(deliver(w.engine, w.host("default"), received, runner=lambda *of: of[4].call(of[5])))
        return body(work)

    w.code = dict.fromkeys("abcd", twice)
    w.start("flow")
    [received] = w.queues.receive("default", limit=1, wait_s=0)
    assert deliver(w.engine, w.host("default"), received, runner=lambda *of: of[4].call(of[5])) == Done()
    assert [type(each) for each in found] == [Later]
    assert sorted(w.ran) == ["a", "b", "c", "d"]
