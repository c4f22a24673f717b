"""A retry that waits for nothing goes on in the invocation of the attempt before it, and its message answers for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.records import plan, task
from support.world import KillAt, Killed, World, run_at_once

from headrace.core.run.derived.progress import finished, run_status
from headrace.core.run.plans.plan import GatePlan, Json
from headrace.core.run.record import RunStatus, TaskStatus
from headrace.engine.attempts.ports import Disposition, Done, Host, Later, Work
from headrace.engine.runs.deliver import deliver
from headrace.errors import StoreUnavailable


def fails_twice(work: Work) -> Json:
    if work.record.tasks[work.task].app_retry_count < 2:
        raise ValueError("not yet")
    return {"ok": True}


def world(faults: Any = None, **options: Any) -> World:
    flow = plan(task("a", retries=2, **options), workflow="flow")
    return World(plans={"flow": flow}, code={"a": fails_twice}, faults=faults)


def test_all_attempts_are_one_message() -> None:
    w = world()
    run_id = w.start("flow")
    assert w.deliver_next()
    row = w.record(run_id).tasks["a"]
    assert (w.ran, w.queues.depth()) == (["a", "a", "a"], 0)
    assert (row.status, row.ticket, row.app_retry_count, row.takeovers) == (TaskStatus.COMPLETED, 3, 2, 0)


@pytest.mark.parametrize(
    "options",
    [
        {"isolated": True},
        {"backoff_factor": 2.0},
        {"gates": (GatePlan(name="g", expression="'k'", max_runs=1),)},
    ],
    ids=["isolated", "backoff", "a concurrency limit"],
)
def test_what_has_to_wait_or_to_be_alone_gets_a_message_of_its_own(options: dict[str, Any]) -> None:
    w = world(**options)
    run_id = w.start("flow")
    assert w.deliver_next()
    assert w.ran == ["a"]
    assert w.record(run_id).tasks["a"].status is TaskStatus.QUEUED
    w.drain()
    assert run_status(w.record(run_id)) is RunStatus.COMPLETED


class Short(World):
    """Its hosts have so much time left, or are about to end."""

    options: dict[str, Any]

    def host(self, worker: str) -> Host:
        return replace(World.host(self, worker), **self.options)


@pytest.mark.parametrize(
    "options",
    [{"time_left_ms": lambda: 30_000}, {"stopping": lambda: True}],
    ids=["no time left", "the process drains"],
)
def test_a_host_that_ends_soon_leaves_it_to_another(options: dict[str, Any]) -> None:
    flow = plan(task("a", retries=2), workflow="flow")
    w = Short(plans={"flow": flow}, code={"a": fails_twice})
    w.options = options
    w.start("flow")
    assert w.deliver_next()
    assert (w.ran, w.queues.depth()) == (["a"], 1)


class LosesResponse(KillAt):
    """The call takes place, and its response is lost."""

    def _kill(self, port: str, call: str) -> None:
        self.armed, self.hit = False, f"{port}.{call}"
        raise StoreUnavailable("no answer")


def test_a_commit_whose_response_was_lost_still_leads_to_the_retry() -> None:
    """The claim that rode in it is ours: no other attempt has to take it over."""
    clean = KillAt(10**9, True)
    w = world(clean)
    w.start("flow")
    w.drain()
    commits = 0
    for n in range(clean.calls):
        fault = LosesResponse(n, True)
        w = world(fault)
        try:
            run_id = w.start("flow")
        except StoreUnavailable:
            continue
        w.deliver_next()
        if fault.hit != "store.write" or not w.ran:
            continue
        commits += 1
        row = w.record(run_id).tasks["a"]
        assert (row.status, row.app_retry_count, row.takeovers) == (TaskStatus.COMPLETED, 2, 0), n
        assert (w.ran, w.queues.depth()) == (["a", "a", "a"], 0), n
    assert commits == 3


def test_a_duplicate_that_comes_while_a_retry_runs_is_left_until_its_lease_ends() -> None:
    """Were it done with, it would be deleted, and with it the message of the running attempt."""
    w = world()
    duplicates: list[Disposition] = []

    def body(work: Work) -> Json:
        if work.record.tasks["a"].app_retry_count == 1:
            duplicates.append(deliver(w.engine, w.host("default"), received, runner=run_at_once))
        return fails_twice(work)

    w.code = {"a": body}
    w.start("flow")
    [received] = w.queues.receive("default", limit=1, wait_s=0)
    assert deliver(w.engine, w.host("default"), received, runner=run_at_once) == Done()
    assert [type(each) for each in duplicates] == [Later]
    assert w.ran == ["a", "a", "a"]


@pytest.mark.parametrize("after_effect", [False, True])
def test_a_retry_that_rides_on_a_chain_survives_any_crash(after_effect: bool) -> None:
    """The message is the first task's, and answers for the second one's second attempt."""
    flow = plan(task("a"), task("b", "a", retries=2), task("c", "b"), workflow="flow")

    def once(fault: KillAt) -> tuple[World, str]:
        w = World(plans={"flow": flow}, code={"a": ok, "b": fails_twice, "c": ok}, faults=fault)
        run_id = w.start("flow")
        w.drain()
        return w, run_id

    clean = KillAt(10**9, after_effect)
    once(clean)
    for n in range(clean.calls):
        fault = KillAt(n, after_effect)
        try:
            w, run_id = once(fault)
        except Killed:
            continue  # the client
        record = w.record(run_id)
        assert finished(record), fault.hit
        assert w.queues.depth() == 0, fault.hit
        lost = sum(row.takeovers for row in record.tasks.values())
        assert len(w.ran) <= 5 + lost, (n, fault.hit)
        assert record.tasks["b"].app_retry_count == 2, (n, fault.hit)


def ok(work: Work) -> Json:
    return {"task": work.task}
