"""The seconds that are kept back, and what listeners are told: what no outcome of a run shows."""

from __future__ import annotations

from dataclasses import dataclass, replace

from support.records import plan, task
from support.world import World, run_at_once

from headrace.core.labels import WorkerLabelComparator, encode_required
from headrace.core.run.message import TaskMessage, decode_message
from headrace.core.run.record import TaskStatus
from headrace.engine.attempts.patience import INVOCATION_MARGIN_MS
from headrace.engine.attempts.ports import Done, Host, Later, Runnable, Succeeded, Work
from headrace.engine.catalog.workers import announce
from headrace.engine.runs.admission.admission import hand_on
from headrace.engine.runs.claimed import Claimed
from headrace.engine.runs.dead_letter import fail_dead_letter
from headrace.engine.runs.deliver import deliver
from headrace.engine.timers import LATEST_S, set_timer
from headrace.memory.clock import VirtualClock
from headrace.runtime.control import LiveControl
from headrace.runtime.deadline import Ending
from headrace.telemetry.events import (
    AttemptEnded,
    AttemptStarted,
    AttemptTakenOver,
    Outcome,
    TaskEvent,
    name_of,
)

SOLO = plan(task("a", retries=1), workflow="solo")


def world(**options: object) -> World:
    return World(plans={"solo": SOLO}, code={"a": lambda work: {"ok": True}}, **options)  # type: ignore[arg-type]  # World's fields


@dataclass
class SlowWrites:
    """Each write takes that long."""

    clock: VirtualClock
    takes_ms: int

    def before(self, port: str, call: str) -> None:
        if (port, call) == ("store", "write"):
            self.clock.advance(self.takes_ms)

    def after(self, port: str, call: str) -> None:
        """Nothing more."""


def test_a_timer_that_is_written_too_late_for_the_clock_is_to_be_sent_as_well() -> None:
    clock = VirtualClock()
    w = world(clock=clock, faults=SlowWrites(clock, takes_ms=30_000))
    due_ms = clock.now_ms() + LATEST_S * 1000 + 20_000
    assert set_timer(w.engine, "default", due_ms, "{}") is False
    assert set_timer(w.engine, "default", clock.now_ms() + LATEST_S * 1000 + 40_000, "{}") is True


def test_an_attempt_ends_before_its_invocation_does() -> None:
    w, left_s = world(), []

    def runner(
        engine: object, host: Host, claimed: Claimed, control: LiveControl, code: Runnable, work: Work
    ) -> Ending:
        left_s.append(control.remaining_s())
        return Succeeded(None)

    w.start("solo")
    [received] = w.queues.receive("default", limit=1, wait_s=0)
    host = replace(w.host("default"), time_left_ms=lambda: 10_000)
    assert isinstance(deliver(w.engine, host, received, runner=runner), Done)
    assert 5.0 < left_s[0] <= (10_000 - INVOCATION_MARGIN_MS) / 1000


def test_a_first_lease_ends_before_its_message_appears_again() -> None:
    """Else what takes over would be told to wait by a lease of which no holder is left."""
    w, leases_ms = world(), []

    def runner(
        engine: object, host: Host, claimed: Claimed, control: LiveControl, code: Runnable, work: Work
    ) -> Ending:
        leases_ms.append(claimed.attempt.lease_until_ms)
        return Succeeded(None)

    w.start("solo")
    [received] = w.queues.receive("default", limit=1, wait_s=0)
    host = w.host("default")
    assert isinstance(deliver(w.engine, host, received, runner=runner), Done)
    visible_ms = w.clock.now_ms() + host.visibility_s * 1000
    assert w.clock.now_ms() + 1000 < leases_ms[0] < visible_ms


def test_a_dead_letter_whose_task_is_alive_is_hidden_until_its_lease_ends() -> None:
    w, found = world(), []

    def runner(
        engine: object, host: Host, claimed: Claimed, control: LiveControl, code: Runnable, work: Work
    ) -> Ending:
        found.append(fail_dead_letter(w.engine, claimed.received, reason="delivered too often"))
        return Succeeded(None)

    w.start("solo")
    [received] = w.queues.receive("default", limit=1, wait_s=0, visibility_s=5)
    deliver(w.engine, w.host("default"), received, runner=runner)
    [verdict] = found
    assert isinstance(verdict, Later)
    visible_ms = w.queues.next_visible_ms()
    assert visible_ms is not None
    assert visible_ms - w.clock.now_ms() == verdict.seconds * 1000 > 5_000


def test_a_task_whose_code_is_not_deployed_is_not_retried() -> None:
    w = world()
    w.code = {}
    run_id = w.start("solo")
    w.drain()
    row = w.record(run_id).tasks["a"]
    assert (row.status, row.ticket, row.app_retry_count) == (TaskStatus.FAILED, 1, 0)


def test_a_process_with_other_labels_sends_a_message_on_after_a_second() -> None:
    w = world()
    w.start("solo")
    [received] = w.queues.receive("default", limit=1, wait_s=0)
    found = decode_message(received.body)
    assert isinstance(found, TaskMessage)
    message = replace(found, required_labels=encode_required([("gpu", WorkerLabelComparator.EQUAL, "h100")]))
    announce(w.engine, "default", "p1", {"gpu": "h100"})
    other = replace(w.host("default"), labels=lambda: {"gpu": "none"})
    assert isinstance(hand_on(w.engine, other, received, message), Done)
    w.queues.delete(received)
    assert w.queues.next_visible_ms() == w.clock.now_ms() + 1_000


# ---------------------------------------------------------------- listeners


@dataclass
class Notes:
    """A listener that keeps what it hears."""

    events: list[TaskEvent]

    def heard(self, event: TaskEvent) -> None:
        self.events.append(event)


def test_listeners_are_told_of_an_attempt_and_of_its_end() -> None:
    w, notes = world(), Notes([])
    w.start("solo")
    w.clock.advance(250)
    [received] = w.queues.receive("default", limit=1, wait_s=0)
    deliver(w.engine, replace(w.host("default"), listeners=(notes,)), received, runner=run_at_once)
    assert notes.events == [
        AttemptStarted(workflow="solo", task="a", queue_ms=250),
        AttemptEnded(workflow="solo", task="a", outcome=Outcome.COMPLETED, run_ms=0),
    ]


def test_a_takeover_is_told_as_one() -> None:
    w, notes = world(), Notes([])

    def dies(*arguments: object) -> Ending:
        raise KeyboardInterrupt

    w.start("solo")
    [received] = w.queues.receive("default", limit=1, wait_s=0)
    try:
        deliver(w.engine, w.host("default"), received, runner=dies)
    except KeyboardInterrupt:
        w.clock.advance(1_000_000)
    [again] = w.queues.receive("default", limit=1, wait_s=0)
    deliver(w.engine, replace(w.host("default"), listeners=(notes,)), again, runner=run_at_once)
    assert notes.events[0] == AttemptTakenOver(workflow="solo", task="a")
    assert [name_of(each) for each in notes.events] == ["taken_over", "completed"]
