"""How soon running code learns that its run was cancelled, or its parent's: by the looks and beats of the defaults, in virtual time."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from statistics import median

import pytest
from support.records import plan, task
from support.world import World

from headrace.core.run.record import ParentLink
from headrace.core.run.transitions.claim import claim
from headrace.core.run.transitions.fence import Attempt
from headrace.engine.owed.cancel import cancel
from headrace.ports import Received
from headrace.runtime.control import LiveControl
from headrace.runtime.heartbeat import Heartbeat

HELD = Received(queue="default", body="", receipt="0.0", receive_count=1, sent_at_ms=0)
STEP_MS = 250
LAST_MS = 60_000


class VirtualPulse:
    """A pulse on the clock of a world: what is due goes off as the clock is moved, in its order."""

    def __init__(self, w: World) -> None:
        self._w = w
        self._alarms: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = count()

    def after(self, seconds: float, callback: Callable[[], None]) -> int:
        number = next(self._numbers)
        heapq.heappush(self._alarms, (self._w.clock.now_ms() + round(seconds * 1000), number, callback))
        return number

    def cancel(self, alarm: int) -> None:
        self._alarms = [each for each in self._alarms if each[1] != alarm]
        heapq.heapify(self._alarms)

    def until(self, at_ms: int) -> None:
        """Move the clock, and let what is due go off when it is."""
        while self._alarms and self._alarms[0][0] <= at_ms:
            due_ms, _, callback = heapq.heappop(self._alarms)
            self._w.clock.advance(due_ms - self._w.clock.now_ms())
            callback()
        self._w.clock.advance(at_ms - self._w.clock.now_ms())


def late_ms(monkeypatch: pytest.MonkeyPatch, cancelled_after_ms: int, *, child: bool) -> int:
    """How long code goes on after its run (or its parent) was cancelled, so long after its start."""
    w = World(
        plans={
            "parent": plan(task("parent"), workflow="parent"),
            "child": plan(task("child"), workflow="child"),
        },
        code={},
    )
    pulse, told_ms = VirtualPulse(w), list[int]()
    monkeypatch.setattr("headrace.runtime.heartbeat.PULSE", pulse)
    parent = w.start("parent")
    run_id = w.start("child", parent=ParentLink(run_id=parent, task="parent")) if child else parent
    began_ms = w.clock.now_ms()
    attempt = Attempt(
        run_id=run_id,
        task="child" if child else "parent",
        number=0,
        ticket=1,
        owner="o",
        now_ms=began_ms,
        lease_until_ms=began_ms + 60_000,
    )
    w.store.write(claim(attempt, queued_at_ms=began_ms))
    record = w.record(run_id)
    control = LiveControl(w.engine, record, attempt, limit_s=600, ceiling_s=600)
    control.on_cancel(lambda: told_ms.append(w.clock.now_ms()))
    with Heartbeat(w.engine, HELD, record, attempt, control):
        pulse.until(began_ms + cancelled_after_ms)
        assert told_ms == []
        assert cancel(w.engine, parent)
        pulse.until(began_ms + cancelled_after_ms + 30_000)
    [first] = told_ms
    return first - began_ms - cancelled_after_ms


@pytest.mark.parametrize("child", [False, True], ids=["of the run", "of its parent"])
@pytest.mark.parametrize("within_ms", [10_000, LAST_MS], ids=["short tasks", "tasks of a minute"])
def test_a_cancellation_reaches_running_code_within_two_seconds_at_the_median(
    monkeypatch: pytest.MonkeyPatch, child: bool, within_ms: int
) -> None:
    """Cancelled at any time, as often at one as at another."""
    late = [late_ms(monkeypatch, at_ms, child=child) for at_ms in range(STEP_MS // 2, within_ms, STEP_MS)]
    assert len(late) == within_ms // STEP_MS
    assert median(late) <= 2_000
    assert max(late) <= 6_000
