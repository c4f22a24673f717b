"""A parent's cancellation reaches its children: those that wait, those that run, and theirs."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace

import pytest
from support.records import plan, task
from support.world import World

from headrace.core.run.derived.progress import run_status
from headrace.core.run.plans.plan import Json
from headrace.core.run.record import ParentLink, RunStatus
from headrace.core.run.transitions.fence import Attempt
from headrace.engine.attempts.ports import Work
from headrace.engine.engine import Limits
from headrace.engine.owed.cancel import cancel
from headrace.memory.faults import NoFaults
from headrace.memory.store import MemoryStore
from headrace.ports import Received
from headrace.runtime.control import LiveControl
from headrace.runtime.heartbeat import Heartbeat, beat_once, look_once

PARENT, CHILD = plan(task("parent"), workflow="parent"), plan(task("child"), workflow="child")


HELD = Received(queue="default", body="", receipt="0.0", receive_count=1, sent_at_ms=0)
"""A message that the queue no longer knows: hiding it has no effect."""


def world(**code: object) -> World:
    bodies = {"parent": lambda work: None, "child": lambda work: None} | code
    return World(plans={"parent": PARENT, "child": CHILD}, code=bodies)  # type: ignore[arg-type]  # bodies


def family(w: World) -> tuple[str, str]:
    parent = w.start("parent")
    return parent, w.start("child", parent=ParentLink(run_id=parent, task="parent"))


def test_a_child_that_waits_is_not_started() -> None:
    w = world()
    parent, child = family(w)
    assert cancel(w.engine, parent)
    w.drain()
    assert (w.ran, run_status(w.record(child))) == ([], RunStatus.CANCELLED)
    assert w.record(child).cancel_reason == "PARENT_CANCELLED"


def test_a_child_that_runs_learns_of_it_with_its_next_beat() -> None:
    seen: list[bool] = []

    def body(work: Work) -> Json:
        control = LiveControl(w.engine, work.record, work.attempt, limit_s=60, ceiling_s=60)
        seen.append(beat_once(w.engine, HELD, work.attempt, control))
        cancel(w.engine, parent)
        seen.append(beat_once(w.engine, HELD, work.attempt, control))
        seen.append(control.is_cancelled())
        return {"late": True}

    w = world(child=body)
    parent = w.start("parent")
    [message] = w.queues.receive("default", limit=1, wait_s=0)
    w.queues.hide(message, 600)
    child = w.start("child", parent=ParentLink(run_id=parent, task="parent"))
    w.drain()
    assert seen == [True, False, True]
    assert run_status(w.record(child)) is RunStatus.CANCELLED


def reads(store: MemoryStore) -> Counter[str]:
    """Counts the store's calls from now on."""
    made: Counter[str] = Counter()

    class Counting(NoFaults):
        def before(self, port: str, call: str) -> None:
            made[call] += 1

    store.faults = Counting()
    return made


@pytest.mark.parametrize(
    ("cancelled", "first", "told", "read"),
    [
        pytest.param("", True, False, 1, id="nothing was cancelled"),
        pytest.param("parent", True, True, 1, id="its parent"),
        pytest.param("child", True, False, 1, id="the first look of a child reads its parent alone"),
        pytest.param("child", False, True, 2, id="later ones read both"),
        pytest.param("parent", False, True, 2, id="its parent, at a later look"),
    ],
)
def test_a_look_between_beats(cancelled: str, first: bool, told: bool, read: int) -> None:
    seen: list[bool] = []

    def body(work: Work) -> Json:
        control = LiveControl(w.engine, work.record, work.attempt, limit_s=60, ceiling_s=60)
        if cancelled:
            cancel(w.engine, {"parent": parent, "child": work.record.run_id}[cancelled])
        made = reads(w.store)
        seen.append(look_once(w.engine, work.record, control, first=first))
        seen.append(control.is_cancelled())
        assert made["get"] == read
        return None

    w = world(child=body)
    parent = w.start("parent")
    [message] = w.queues.receive("default", limit=1, wait_s=0)
    w.queues.hide(message, 600)
    w.start("child", parent=ParentLink(run_id=parent, task="parent"))
    w.drain()
    assert seen == [told, told]


def test_running_code_is_told_between_beats() -> None:
    """The first beat is a minute away, the first look a tenth of a second."""
    w = world()
    run_id = w.start("parent")
    run, attempt = (
        w.record(run_id),
        Attempt(run_id="", task="parent", number=0, ticket=1, owner="", now_ms=0, lease_until_ms=0),
    )
    limits = Limits(first_beat_s=60, first_look_s=0.1)
    engine = replace(w.engine, limits=limits)
    control, told = LiveControl(engine, run, attempt, limit_s=60, ceiling_s=60), threading.Event()
    control.on_cancel(told.set)
    with Heartbeat(engine, HELD, run, attempt, control):
        cancel(w.engine, run_id)
        assert told.wait(10)


def test_a_grandchild_follows() -> None:
    w = world()
    parent, child = family(w)
    grandchild = w.start("child", parent=ParentLink(run_id=child, task="child"))
    cancel(w.engine, parent)
    w.queues.receive("default", limit=10, wait_s=0)
    w.clock.advance(61_000)
    w.drain()
    statuses = {run_status(w.record(run_id)) for run_id in (parent, child)}
    assert statuses == {RunStatus.CANCELLED}
    assert run_status(w.record(grandchild)) is RunStatus.CANCELLED


def test_a_parent_that_has_ended_takes_no_child_with_it() -> None:
    w = world()
    parent = w.start("parent")
    w.drain()
    child = w.start("child", parent=ParentLink(run_id=parent, task="parent"))
    assert not cancel(w.engine, parent)
    w.drain()
    assert run_status(w.record(child)) is RunStatus.COMPLETED
