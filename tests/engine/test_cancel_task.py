"""One task of a run is cancelled: what hangs on it goes with it, the others go on, wherever a process dies."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from support.gates import gate, left_over, partition, state
from support.records import plan, task
from support.world import KillAt, Killed, World

from headrace.core.run.derived.graph import states
from headrace.core.run.derived.progress import run_status
from headrace.core.run.plans.plan import Json, PlannedEvent
from headrace.core.run.record import RunStatus, TaskStatus
from headrace.core.run.transitions.cancel import CANCELLED_BY_USER
from headrace.engine.attempts.ports import Work
from headrace.engine.engine import Limits
from headrace.engine.owed import cancel_task as engine_cancel
from headrace.memory.faults import NoFaults
from headrace.ports import Received
from headrace.runtime.control import LiveControl
from headrace.runtime.heartbeat import Heartbeat, beat_once, look_once

ONE = gate("one")
DIAMOND = plan(
    task("a", gates=(ONE,)), task("b"), task("after_a", "a"), task("after_b", "b"), workflow="flow"
)
HELD = Received(queue="default", body="", receipt="0.0", receive_count=1, sent_at_ms=0)


def world(**code: Callable[[Work], Json]) -> World:
    bodies: dict[str, Callable[[Work], Json]] = {each.name: lambda work: None for each in DIAMOND.tasks}
    return World(plans={"flow": DIAMOND}, code=bodies | code)


def statuses(w: World, run_id: str) -> dict[str, str]:
    return {name: state.status.value for name, state in states(w.record(run_id)).items()}


def cancel(w: World, run_id: str, name: str) -> bool:
    return engine_cancel.cancel_task(w.engine, run_id, name, reason=CANCELLED_BY_USER)


GONE_WITH_A = {"a": "CANCELLED", "b": "COMPLETED", "after_a": "CANCELLED", "after_b": "COMPLETED"}


def test_a_task_that_waits_in_its_queue() -> None:
    w = world()
    run_id = w.start("flow")
    assert cancel(w, run_id, "a")
    assert not cancel(w, run_id, "a")
    w.drain()
    assert (statuses(w, run_id), sorted(w.ran)) == (GONE_WITH_A, ["after_b", "b"])
    assert run_status(w.record(run_id)) is RunStatus.CANCELLED
    error = w.record(run_id).tasks["a"].error
    assert error is not None
    assert (error.type, error.message) == ("CANCELLED_BY_USER", "Task a was cancelled")


def test_a_task_whose_parents_are_not_done() -> None:
    w = world()
    run_id = w.start("flow")
    assert cancel(w, run_id, "after_a")
    w.drain()
    assert statuses(w, run_id) == {
        "a": "COMPLETED",
        "b": "COMPLETED",
        "after_a": "CANCELLED",
        "after_b": "COMPLETED",
    }


def test_a_task_that_runs_is_fenced_and_its_permit_is_its_own_until_its_code_ends() -> None:
    seen: list[object] = []

    def holders(w: World) -> int:
        return len(state(w, partition("one")).holders)

    def body(work: Work) -> Json:
        control = LiveControl(w.engine, work.record, work.attempt, limit_s=60, ceiling_s=60)
        seen.append(look_once(w.engine, work.record, control, first=False, attempt=work.attempt))
        assert cancel(w, work.record.run_id, "a")
        seen.append(holders(w))
        seen.append(look_once(w.engine, work.record, control, first=False, attempt=work.attempt))
        seen.append(beat_once(w.engine, HELD, work.attempt, control))
        seen.append(control.is_cancelled())
        return {"late": True}

    w = world(a=body)
    run_id, other = w.start("flow"), w.start("flow")
    w.drain()
    assert seen[:5] == [False, 1, True, False, True]
    assert statuses(w, run_id) == GONE_WITH_A
    assert statuses(w, other) == GONE_WITH_A  # it got the permit, so it ran, too
    begun, ended = w.record(other).tasks["a"].started_at_ms, w.record(run_id).tasks["a"].finished_at_ms
    assert begun is not None
    assert ended is not None
    assert begun - ended < 1_000
    assert left_over(w) == []


def test_a_task_that_ends_itself_commits_nothing() -> None:
    def body(work: Work) -> Json:
        LiveControl(w.engine, work.record, work.attempt, limit_s=60, ceiling_s=60).cancel()
        return {"late": True}

    w = world(a=body)
    run_id = w.start("flow")
    w.drain()
    assert statuses(w, run_id) == GONE_WITH_A
    error = w.record(run_id).tasks["a"].error
    assert error is not None
    assert error.type == "CANCELLED_BY_TASK"


def test_a_settled_task_stays_as_it_is() -> None:
    w = world()
    run_id = w.start("flow")
    w.drain()
    before = w.record(run_id)
    assert not cancel(w, run_id, "a")
    assert not cancel(w, run_id, "nothing")
    assert not cancel(w, "unknown", "a")
    assert w.record(run_id) == before


def test_running_code_is_told_between_beats() -> None:
    w = world()
    run_id = w.start("flow")
    told = threading.Event()

    def body(work: Work) -> Json:
        engine = replace(w.engine, limits=Limits(first_beat_s=60, first_look_s=0.05))
        control = LiveControl(engine, work.record, work.attempt, limit_s=60, ceiling_s=60)
        control.on_cancel(told.set)
        with Heartbeat(engine, HELD, work.record, work.attempt, control):
            cancel(w, run_id, "a")
            assert told.wait(10)
        return None

    w.code["a"] = body  # type: ignore[index]  # a dict
    w.drain()
    assert told.is_set()


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("when", ["queued", "parked", "running"])
def test_one_that_cancels_may_die_anywhere(when: str, after_effect: bool) -> None:
    """Cancelling again, or the messages that come back, end the run the same way, and the permit is free afterwards."""
    for n in range(40):
        kill = KillAt(n, after_effect)
        w, run_id = one_death(when, kill)
        assert statuses(w, run_id) == GONE_WITH_A
        assert left_over(w) == []
        if kill.armed:
            assert n > 1
            return
    raise AssertionError("it never ends")


def test_a_run_that_hears_nothing_more_is_ended_by_cancelling_again() -> None:
    """Its last task waits for an event, so no message comes by for what one that died has left unpaid."""
    waiting = task("b", "a", wait_for=((PlannedEvent(number=1, key="paid", event_key="paid"),),))
    flow = replace(plan(task("a"), waiting, workflow="flow"), gates=(gate("run"),))
    w = World(plans={"flow": flow}, code={"a": lambda work: None, "b": lambda work: None})
    run_id = w.start("flow")
    w.drain()
    assert len(state(w, partition("run")).holders) == 1
    w.store.faults = KillAt(2, after_effect=False)  # it has written
    with contextlib.suppress(Killed):
        cancel(w, run_id, "b")
    w.store.faults = NoFaults()
    assert statuses(w, run_id)["b"] == "CANCELLED"
    assert len(state(w, partition("run")).holders) == 1
    cancel(w, run_id, "b")
    assert left_over(w) == []


def one_death(when: str, kill: KillAt) -> tuple[World, str]:
    """Two runs; the second's task is cancelled by one that may die, and by another after it. The first may hold the permit."""
    names: list[str] = []

    def cancel_twice() -> None:
        w.store.faults = w.queues.faults = kill
        with contextlib.suppress(Killed):
            cancel(w, names[1], "a")
        w.store.faults = w.queues.faults = NoFaults()
        cancel(w, names[1], "a")

    def body(work: Work) -> Json:
        if work.record.run_id == names[0] and when == "parked":
            while w.deliver_next():
                pass
            assert w.record(names[1]).tasks["a"].status is TaskStatus.PARKED
            cancel_twice()
        if work.record.run_id == names[1]:
            cancel_twice()
        return None

    w = world(a=body)
    names.extend(w.start("flow") for _ in range(2))
    if when == "queued":
        cancel_twice()
    w.drain()
    return w, names[1]
