"""A queue that is behind does not fill itself: at most two messages for each time that a run has waited, whatever the latency,
the order and the duplicates."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from random import Random

import pytest
from greenlet import greenlet
from support.gates import gate, left_over, rate, single
from support.world import World

from headrace.core.run.plan import RunPlan
from headrace.core.run.record import TaskStatus
from headrace.engine.clock.tick import tick
from headrace.engine.engine import Engine
from headrace.engine.runs.attempt import Claimed
from headrace.engine.runs.deliver import deliver
from headrace.engine.runs.ports import Done, Host, Runnable, Succeeded, Work
from headrace.memory.clock import VirtualClock
from headrace.memory.queues import MemoryQueues
from headrace.ports import Outgoing, Received
from headrace.runtime.control import LiveControl
from headrace.runtime.deadline import Ending

RUN_MS, CALLS_MS = 500, 100
"""How long a task runs, and what its delivery takes beside that."""

CLOCKS = 3
"""So many processes tick, each once a minute."""


@dataclass(slots=True)
class Fleet:
    """So many slots on one queue, in virtual time."""

    w: World
    slots: int
    random: Random = field(default_factory=lambda: Random(1))
    shuffled: bool = False
    duplicates: float = 0.0
    deaths: float = 0.0
    busy: list[tuple[int, int, greenlet]] = field(default_factory=list)
    holding: Counter[str] = field(default_factory=Counter)
    most_held: int = 0
    number: int = 0
    next_tick_ms: int = 0

    def drain(self, until_ms: int) -> None:
        """Until nothing is left; fails where virtual time passes `until_ms` from now first."""
        end_ms = self.w.clock.now_ms() + until_ms
        while self.w.clock.now_ms() < end_ms:
            self._tick()
            while len(self.busy) < self.slots and self._receive():
                pass
            due_ms = self.busy[0][0] if self.busy else self.w.queues.next_visible_ms()
            if due_ms is None:
                return
            self.w.clock.advance_to(max(due_ms, self.w.clock.now_ms()))
            while self.busy and self.busy[0][0] <= self.w.clock.now_ms():
                self._go_on(heappop(self.busy)[2])
        raise AssertionError(f"{self.w.queues.depth()} messages after {until_ms / 60_000:.0f} minutes")

    def _tick(self) -> None:
        if self.w.clock.now_ms() >= self.next_tick_ms:
            self.next_tick_ms = self.w.clock.now_ms() + 60_000
            for _ in range(CLOCKS):
                tick(self.w.engine)

    def _receive(self) -> bool:
        found = self.w.queues.receive("default", limit=10 if self.shuffled else 1, wait_s=0)
        if not found:
            return False
        for received in self.random.sample(found, len(found)):
            copies = 1 + (self.random.random() < self.duplicates)
            for _ in range(copies):
                self._go_on(greenlet(lambda received=received: self._handle(received)))  # type: ignore[misc]  # now
        return True

    def _go_on(self, body: greenlet) -> None:
        for_ms = body.switch()
        if not body.dead:
            self.number += 1
            heappush(self.busy, (self.w.clock.now_ms() + int(for_ms), self.number, body))

    def _handle(self, received: Received) -> None:
        verdict = deliver(self.w.engine, self.w.host("default"), received, runner=self._run)
        greenlet.getcurrent().parent.switch(CALLS_MS)  # type: ignore[union-attr]  # never the hub
        if isinstance(verdict, Done) and self.random.random() >= self.deaths:
            self.w.queues.delete(received)

    def _run(
        self,
        engine: Engine,
        host: Host,
        claimed: Claimed,
        control: LiveControl,
        runnable: Runnable,
        work: Work,
    ) -> Ending:
        key = json.loads(work.input or "{}")["key"]
        self.holding[key] += 1
        self.most_held = max(self.most_held, self.holding[key])
        greenlet.getcurrent().parent.switch(RUN_MS)  # type: ignore[union-attr]  # never the hub
        self.holding[key] -= 1
        return Succeeded("{}")


def _ticket(body: str) -> str:
    found = json.loads(body)
    return "refill" if "refill" in found else f"{found['run']}/{found['ticket']}"


class CountedSends(MemoryQueues):
    """Counts the messages sent, by run and ticket."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock, max_receive_count=1_000)
        self.sent: Counter[str] = Counter()

    def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        super().send(queue, messages)
        self.sent.update(_ticket(each.body) for each in messages)


def run_all(
    flow: RunPlan, *, runs: int, keys: int, slots: int, minutes: int, seed: int = 1, **more: float | bool
) -> tuple[float, Counter[str]]:
    """Start and finish so many runs. Messages sent for each time that a run was woken; and those sent, by ticket."""
    w = World(plans={flow.workflow: flow}, code={"flow": lambda work: {}})
    queues = CountedSends(w.clock)
    w.queues, w.engine = queues, replace(w.engine, queues=queues)
    ids = [w.start(flow.workflow, {"key": f"k{n * keys // runs}"}) for n in range(runs)]
    fleet = Fleet(w, slots, Random(seed), **more)  # type: ignore[arg-type]  # its fields
    fleet.drain(minutes * 60_000)
    assert {w.record(run_id).tasks["flow"].status for run_id in ids} == {TaskStatus.COMPLETED}
    assert left_over(w) == []
    woken = {name: count for name, count in queues.sent.items() if not name.endswith(("/1", "refill"))}
    assert woken, "nobody waited"
    assert fleet.most_held == 1 or not flow.tasks[0].gates
    return sum(woken.values()) / len(woken), queues.sent


KEYED = single(gates=(gate(key="input['key']"),))


@pytest.mark.parametrize("shuffled", [False, True], ids=["oldest first", "any order"])
def test_a_wait_is_one_message_in_a_queue_that_is_behind(shuffled: bool) -> None:
    sends, sent = run_all(KEYED, runs=600, keys=60, slots=6, minutes=20, shuffled=shuffled)
    assert sends == 1.0, sent.most_common(3)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_wait_is_two_messages_at_most_whatever_is_delivered_twice(seed: int) -> None:
    sends, sent = run_all(
        KEYED, runs=300, keys=30, slots=4, minutes=40, shuffled=True, duplicates=0.1, deaths=0.05, seed=seed
    )
    assert sends <= 1.5, sent.most_common(3)
    assert max(sent.values()) <= 3


def test_a_limit_in_a_queue_that_is_behind() -> None:
    limited = single(rates=(rate(limit="10"),))
    sends, sent = run_all(limited, runs=400, keys=1, slots=20, minutes=20)
    assert sends <= 2, sent.most_common(3)
