"""A fleet of workers in virtual time: so many slots that poll one queue after the other."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from random import Random

from greenlet import greenlet

from headrace.engine.attempts.ports import Done, Host, Runnable, Succeeded, Work
from headrace.engine.clock.tick import tick
from headrace.engine.engine import Engine
from headrace.engine.runs.claimed import Claimed
from headrace.engine.runs.deliver import deliver
from headrace.memory.clock import VirtualClock
from headrace.ports import Received
from headrace.runtime.control import LiveControl
from headrace.runtime.deadline import Ending
from support.world import World

RUN_MS, CALLS_MS = 500, 100
"""How long a task runs, and what its delivery takes beside that."""

CLOCKS = 3
"""So many processes tick, each once a minute."""


@dataclass(frozen=True, slots=True)
class SlotClock:
    """A slot that sleeps is busy; the others go on."""

    clock: VirtualClock

    def now_ms(self) -> int:
        return self.clock.now_ms()

    def sleep(self, seconds: float) -> None:
        slot = greenlet.getcurrent()
        if slot.parent is None:
            self.clock.sleep(seconds)
        else:
            slot.parent.switch(int(seconds * 1_000))


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
    queues: tuple[str, ...] = ("default",)
    """Polled in this order."""
    ended_ms: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    """By workflow, when runs of it ended."""

    def __post_init__(self) -> None:
        self.w.engine = replace(self.w.engine, clock=SlotClock(self.w.clock))

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
        limit = 10 if self.shuffled else 1
        polled = (self.w.queues.receive(queue, limit=limit, wait_s=0) for queue in self.queues)
        found = next((some for some in polled if some), [])
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
        key = json.loads(work.input or "{}").get("key", work.record.run_id)
        self.holding[key] += 1
        self.most_held = max(self.most_held, self.holding[key])
        greenlet.getcurrent().parent.switch(RUN_MS)  # type: ignore[union-attr]  # never the hub
        self.holding[key] -= 1
        self.ended_ms[work.record.plan.workflow].append(self.w.clock.now_ms())
        return Succeeded("{}")
