"""Tasks of a workflow that wait for time or for events: nothing runs meanwhile, nothing is lost, and nothing is done twice."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from support.events import EventWorld
from support.records import plan, task
from support.world import KillAt, Killed

from headrace.core.run.derived.graph import states
from headrace.core.run.derived.progress import finished, run_status
from headrace.core.run.plans.plan import Groups, Json, PlannedEvent, PlannedSleep, RunPlan
from headrace.core.run.record import RunStatus, TaskStatus
from headrace.engine.attempts.ports import Work
from headrace.engine.owed.cancel import cancel


def sleeps(seconds: int, number: int = 0) -> PlannedSleep:
    return PlannedSleep(number=number, key=f"sleep:{seconds}s", duration_ms=seconds * 1000)


def event(number: int, key: str = "go", **given: Any) -> PlannedEvent:
    return PlannedEvent(number=number, key=key, event_key=key, **given)


def brought(work: Work) -> Json:
    data = work.record.tasks[work.task].data
    found: Json = json.loads(data) if data else None
    return found


def flow(*, root: bool = False, **conditions: Groups) -> RunPlan:
    waits = task("b", *(() if root else ("a",)), **conditions)
    return plan(*(() if root else (task("a"),)), waits, task("c", "b"), workflow="flow")


def world(of: RunPlan, faults: KillAt | None = None) -> EventWorld:
    return EventWorld(plans={"flow": of}, code=dict.fromkeys("abc", brought), faults=faults)


@pytest.mark.parametrize("root", [False, True])
@pytest.mark.parametrize("seconds", [1, 600, 900, 901, 7_200, 172_800])
def test_a_sleep_begins_when_the_parents_are_done_and_costs_nothing_while_it_lasts(
    seconds: int, root: bool
) -> None:
    w = world(flow(root=root, wait_for=((sleeps(seconds),),)))
    began_ms = w.clock.now_ms()
    run_id = w.start("flow")
    w.drain()
    row = w.record(run_id).tasks["b"]
    assert run_status(w.record(run_id)) is RunStatus.COMPLETED
    assert seconds * 1000 <= (row.started_at_ms or 0) - began_ms <= seconds * 1000 + 1_000
    assert w.ran.count("b") == 1


def test_while_it_waits_there_is_no_row_and_its_run_is_open() -> None:
    w = world(flow(wait_for=((event(0),),)))
    run_id = w.start("flow")
    w.drain()
    record = w.record(run_id)
    assert list(record.tasks) == ["a"]
    assert states(record)["b"].status is TaskStatus.WAITING
    assert not finished(record)
    assert w.queues.depth() == 0


@pytest.mark.parametrize("root", [False, True])
def test_an_event_lets_it_run_with_its_payload(root: bool) -> None:
    w = world(flow(root=root, wait_for=((event(0, expression="input['n'] > 1"), sleeps(3_600, 1)),)))
    run_id = w.start("flow")
    until_armed(w)
    w.app.event.push("go", {"n": 1})
    w.app.event.push("go", {"n": 2})
    w.app.event.push("go", {"n": 3})
    w.drain()
    record = w.record(run_id)
    assert json.loads(record.tasks["b"].output.text or "") == {"go": {"n": 2}}
    assert (record.tasks["b"].started_at_ms or 0) - record.created_at_ms < 60_000
    assert w.ran.count("b") == 1
    assert not [item for item in w.store.items() if str(item["pk"]).startswith("sub#") and "run" in item]


def until_armed(w: EventWorld) -> None:
    """Deliver all that is due now: parents are done, and events find who waits."""
    while w.deliver_next():
        pass


def test_an_event_that_came_before_its_parents_were_done_does_not_count() -> None:
    w = world(flow(wait_for=((event(0),),)))
    w.app.event.push("go", {})
    run_id = w.start("flow")
    w.drain()
    assert states(w.record(run_id))["b"].status is TaskStatus.WAITING


def test_it_counts_with_a_scope_and_a_time_to_look_back_to() -> None:
    w = world(flow(wait_for=((event(0, scope="s", since_ms=0),),)))
    w.app.event.push("go", {"n": 7}, scope="s")
    w.drain()
    run_id = w.start("flow")
    w.drain()
    assert json.loads(w.record(run_id).tasks["b"].output.text or "") == {"go": {"n": 7}}


@pytest.mark.parametrize(
    ("conditions", "status", "run"),
    [
        (
            {"wait_for": ((sleeps(10),),), "skip_if": ((event(1),),)},
            TaskStatus.SKIPPED,
            RunStatus.COMPLETED,
        ),
        (
            {"wait_for": ((sleeps(10),),), "cancel_if": ((event(1),),)},
            TaskStatus.CANCELLED,
            RunStatus.CANCELLED,
        ),
        (
            {"wait_for": ((event(1, "other"),),), "skip_if": ((sleeps(10),),)},
            TaskStatus.SKIPPED,
            RunStatus.COMPLETED,
        ),
    ],
)
def test_skip_if_and_cancel_if_race_with_wait_for(
    conditions: dict[str, Groups], status: TaskStatus, run: RunStatus
) -> None:
    w = world(flow(**conditions))
    run_id = w.start("flow")
    until_armed(w)
    w.app.event.push("go", {})
    w.drain()
    record = w.record(run_id)
    assert (states(record)["b"].status, run_status(record), "b" in w.ran) == (status, run, False)


def test_a_cancelled_run_waits_no_more() -> None:
    w = world(flow(wait_for=((event(0), sleeps(60, 1)),)))
    run_id = w.start("flow")
    until_armed(w)
    cancel(w.engine, run_id, reason="enough")
    w.app.event.push("go", {})
    w.drain()
    assert (run_status(w.record(run_id)), w.ran) == (RunStatus.CANCELLED, ["a"])


def attempt(of: RunPlan, fault: KillAt, *, push: bool) -> EventWorld:
    w = world(of, fault)
    with contextlib.suppress(Killed):
        w.start("flow")
    until_armed(w)
    for _ in range(2):  # until it is armed for certain: the message of a crash comes back a while later
        w.clock.advance(61_000)
        until_armed(w)
    if push:
        for _ in range(2):
            with contextlib.suppress(Killed):
                w.app.event.push("go", {"n": 1})
                break
    w.drain()
    fault.armed = False  # what the test reads is no call of theirs
    return w


RACES = {
    "sleep": (flow(wait_for=((sleeps(130),),)), False),
    "root": (flow(root=True, wait_for=((sleeps(5),), (sleeps(130, 1),))), False),
    "event": (flow(wait_for=((event(0), sleeps(200, 1)),)), True),
    "root event": (flow(root=True, wait_for=((event(0), sleeps(200, 1)),)), True),
    "skip": (flow(wait_for=((sleeps(200),),), skip_if=((event(1),),)), True),
}


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("name", RACES)
def test_any_crash_point(name: str, after_effect: bool) -> None:
    of, push = RACES[name]
    clean = KillAt(10**9, after_effect)
    usual = ends(attempt(of, clean, push=push))
    assert len(usual) == 1
    for n in range(clean.calls):
        fault = KillAt(n, after_effect)
        w = attempt(of, fault, push=push)
        where = f"killed at call {n} ({fault.hit}), {'after' if after_effect else 'before'} its effect"
        assert w.queues.depth() == 0, where
        found = ends(w)
        if not found and n < 3:
            continue  # the client died before the queue took the run
        assert found == usual, where
        [record] = [w.record(run_id) for run_id in runs_of(w)]
        assert len(w.ran) <= len(record.tasks) + sum(row.takeovers for row in record.tasks.values()), where


def runs_of(w: EventWorld) -> list[str]:
    return [str(item["pk"]).removeprefix("run#") for item in w.store.items() if item["sk"] == "run"]


def ends(w: EventWorld) -> list[dict[str, TaskStatus]]:
    """The task statuses of all runs."""
    found = [w.record(run_id) for run_id in runs_of(w)]
    return [{name: state.status for name, state in states(record).items()} for record in found]
