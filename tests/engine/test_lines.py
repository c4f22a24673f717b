"""Lines without places: runs of a paused workflow, and runs that wait for a worker with the right labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
from support.gates import gate, left_over, line, single, statuses
from support.records import plan, task
from support.world import World, run_at_once

from headrace.core.labels import encode_required
from headrace.core.run.message import decode_message
from headrace.core.run.record import RunStatus, TaskStatus
from headrace.core.run.routing import Routing
from headrace.core.waits.wake_up import PATIENCE_MS
from headrace.engine.attempts.ports import Done, Host
from headrace.engine.catalog.workers import announce
from headrace.engine.clock.tick import tick
from headrace.engine.owed.cancel import cancel
from headrace.engine.runs.deliver import deliver
from headrace.engine.runs.read import read
from headrace.engine.waits.kinds.labels import labels_changed
from headrace.engine.waits.kinds.pause import REFRESH_S, Pause, pause, unpause

DONE, CANCELLED, QUEUED = RunStatus.COMPLETED, RunStatus.CANCELLED, RunStatus.QUEUED
HOUR = Pause(queue_ttl_ms=3_600_000)


def world(**options: object) -> World:
    return World(plans={"flow": single(**options)}, code={"flow": lambda work: {"ok": True}})


def begin(w: World, runs: int) -> list[str]:
    ids = []
    for _ in range(runs):
        ids.append(w.start("flow"))
        w.clock.advance(1)
    return ids


def swept(w: World) -> bool:
    """Whether nothing is left once the clock has come by: it takes the marks of these lines away."""
    tick(w.engine)
    tick(w.engine)
    return left_over(w) == []


def deliver_all(w: World) -> None:
    while w.deliver_next():
        pass


# ---------------------------------------------------------------- paused


def test_runs_of_a_paused_workflow_wait_and_go_on_in_order() -> None:
    w = world()
    pause(w.engine, "flow", HOUR)
    ids = begin(w, 3)
    deliver_all(w)
    assert (statuses(w, ids), w.ran) == ([QUEUED] * 3, [])
    assert line(w, "pause#flow") == ids
    assert unpause(w.engine, "flow") == 3
    w.drain()
    assert statuses(w, ids) == [DONE] * 3
    assert swept(w)


def test_a_workflow_of_two_roots_is_held_back_as_a_whole() -> None:
    flow = plan(task("a"), task("b"), task("c", "a", "b"), workflow="flow")
    w = World(plans={"flow": flow}, code=dict.fromkeys("abc", lambda work: {"ok": True}))
    pause(w.engine, "flow", HOUR)
    ids = begin(w, 1)
    deliver_all(w)
    assert (statuses(w, ids), w.ran) == ([QUEUED], [])
    unpause(w.engine, "flow")
    w.drain()
    assert statuses(w, ids) == [DONE]


def test_a_process_hears_of_a_pause_within_a_while() -> None:
    w = world()
    begin(w, 1)
    deliver_all(w)
    assert w.ran == ["flow"]
    pause(replace(w.engine, paused=type(w.engine.paused)()), "flow", HOUR)
    [early] = begin(w, 1)
    deliver_all(w)
    assert statuses(w, [early]) == [DONE], "what this process knows is not old yet"
    w.clock.advance(REFRESH_S * 1_000)
    [late] = begin(w, 1)
    deliver_all(w)
    assert statuses(w, [late]) == [QUEUED]


def test_a_process_that_has_not_heard_that_the_pause_is_over_parks_nothing_for_good() -> None:
    w = world()
    pause(w.engine, "flow", HOUR)
    ids = begin(w, 1)
    deliver_all(w)
    unpause(replace(w.engine, paused=type(w.engine.paused)()), "flow")
    ids += begin(w, 1)
    deliver_all(w)
    assert statuses(w, ids) == [DONE] * 2
    assert swept(w)


def test_a_run_that_waits_longer_than_the_queue_ttl_is_cancelled_and_not_before() -> None:
    """The schedule timeout of five minutes does not run while the workflow is paused."""
    w = world()
    pause(w.engine, "flow", HOUR)
    [run_id] = begin(w, 1)
    deliver_all(w)
    w.clock.advance(30 * 60_000)
    tick(w.engine)
    deliver_all(w)
    read(w.engine, run_id)
    assert statuses(w, [run_id]) == [QUEUED]
    w.clock.advance(31 * 60_000)
    tick(w.engine)
    deliver_all(w)
    error = w.record(run_id).tasks["flow"].error
    assert error is not None
    assert (statuses(w, [run_id]), "queue_ttl" in error.message) == ([CANCELLED], True)
    unpause(w.engine, "flow")
    w.drain()
    assert swept(w)


def test_a_client_that_dies_before_it_has_woken_anybody_leaves_it_to_the_clock() -> None:
    w = world()
    pause(w.engine, "flow", HOUR)
    ids = begin(w, 2)
    deliver_all(w)
    sent = w.queues.send
    w.queues.send = lambda queue, messages: None  # type: ignore[method-assign]  # it dies before it sends
    unpause(w.engine, "flow")
    w.queues.send = sent  # type: ignore[method-assign]
    deliver_all(w)
    assert statuses(w, ids) == [QUEUED] * 2
    w.clock.advance(PATIENCE_MS)  # its notes say that the messages are on their way
    tick(w.engine)
    w.drain()
    assert statuses(w, ids) == [DONE] * 2


def test_after_a_pause_the_schedule_timeout_begins_anew() -> None:
    """Both go on, after an hour, into a gate of one place: the second one waits there, and is not overdue."""
    w = world(gates=(gate(),))
    seen: list[list[str]] = []

    def body(work: object) -> None:
        if not seen:
            deliver_all(w)
            tick(w.engine)
            deliver_all(w)
            seen.append(line(w, "gate#g#x"))

    w.code = {"flow": body}  # type: ignore[dict-item]  # a body that returns nothing
    pause(w.engine, "flow", Pause(queue_ttl_ms=2 * 3_600_000))
    ids = begin(w, 2)
    deliver_all(w)
    w.clock.advance(3_600_000)
    unpause(w.engine, "flow")
    w.drain()
    assert seen == [[ids[1]]]
    assert statuses(w, ids) == [DONE] * 2


def test_a_longer_pause_by_another_process_counts_for_runs_that_come_after_it() -> None:
    w = world()
    pause(w.engine, "flow", Pause(queue_ttl_ms=1_000))
    begin(w, 1)
    deliver_all(w)
    elsewhere = replace(w.engine, paused=type(w.engine.paused)())
    pause(elsewhere, "flow", HOUR)
    ids = begin(w, 1)
    deliver_all(w)
    w.clock.advance(60_000)
    tick(w.engine)
    deliver_all(w)
    assert statuses(w, ids) == [QUEUED]


def test_what_has_started_is_not_held_back() -> None:
    w = world(retries=1)
    tries: list[int] = []

    def body(work: object) -> None:
        tries.append(1)
        if len(tries) == 1:
            pause(w.engine, "flow", HOUR)
            raise ValueError("once")

    w.code = {"flow": body}  # type: ignore[dict-item]  # a body that returns nothing
    [run_id] = begin(w, 1)
    deliver_all(w)
    assert statuses(w, [run_id]) == [DONE]


def test_a_paused_run_can_be_cancelled() -> None:
    w = world()
    pause(w.engine, "flow", HOUR)
    [run_id] = begin(w, 1)
    deliver_all(w)
    assert cancel(w.engine, run_id)
    assert line(w, "pause#flow") == []


# ---------------------------------------------------------------- labels

LARGE = encode_required([("model", 0, "large")])


@dataclass(slots=True)
class Processes:
    """Processes of one worker on one queue, each with labels of its own."""

    w: World
    labels: dict[str, Mapping[str, str | int]] = field(default_factory=dict)
    took: list[str] = field(default_factory=list)

    def host(self, name: str) -> Host:
        host = self.w.host("default")
        return replace(host, labels=lambda: self.labels[name])

    def take_one(self, name: str) -> bool:
        """The process receives a message, if there is one."""
        for received in self.w.queues.receive("default", limit=1, wait_s=0):
            before = len(self.w.ran)
            if isinstance(deliver(self.w.engine, self.host(name), received, runner=run_at_once), Done):
                self.w.queues.delete(received)
            self.took.extend([name] * (len(self.w.ran) - before))
            return True
        return False

    def start(self, name: str, **labels: str | int) -> None:
        self.labels[name] = labels
        announce(self.w.engine, "default", name, labels)
        labels_changed(self.w.engine, "default", labels)


def picky() -> tuple[World, str]:
    w = world()
    run_id = w.start("flow", None, routing=Routing(required_labels={"flow": LARGE}))
    return w, run_id


def test_a_run_that_no_process_can_take_waits_until_one_appears() -> None:
    w, run_id = picky()
    processes = Processes(w)
    processes.start("small", model="small")
    while processes.take_one("small"):
        pass
    assert (statuses(w, [run_id]), line(w, "labels#default")) == ([QUEUED], [run_id])
    processes.start("big", model="large")
    while processes.take_one("big"):
        pass
    assert (statuses(w, [run_id]), processes.took) == ([DONE], ["big"])
    assert swept(w)


def test_a_process_hands_on_what_another_one_can_take() -> None:
    w, run_id = picky()
    processes = Processes(w)
    processes.start("small", model="small")
    processes.start("big", model="large")
    assert processes.take_one("small")
    [body] = w.queues.bodies("default")
    assert decode_message(body).run_id == run_id  # type: ignore[union-attr]  # a task's
    assert w.record(run_id).tasks == {}, "no ticket was used up"
    w.clock.advance(1_000)
    assert processes.take_one("big")
    assert (statuses(w, [run_id]), processes.took) == ([DONE], ["big"])


def test_a_process_whose_labels_change_takes_what_waits_for_them() -> None:
    w, run_id = picky()
    processes = Processes(w)
    processes.start("only", model="small")
    processes.take_one("only")
    processes.start("only", model="large")
    processes.take_one("only")
    assert statuses(w, [run_id]) == [DONE]


@pytest.mark.parametrize("parked", [False, True])
def test_it_waits_no_longer_than_its_schedule_timeout(parked: bool) -> None:
    w, run_id = picky()
    processes = Processes(w)
    processes.start("small", model="small")
    if parked:
        processes.take_one("small")
    w.clock.advance(301_000)
    tick(w.engine)
    while processes.take_one("small"):
        pass
    row = w.record(run_id).tasks["flow"]
    assert row.status is TaskStatus.CANCELLED
    assert line(w, "labels#default") == []
