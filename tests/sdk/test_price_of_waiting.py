"""What waits for results cost, and how late they end: requests counted and priced in virtual time, polls as far apart as they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from support.records import plan, task
from support.world import World

from headrace import Settings
from headrace.aws.prices import PRICES
from headrace.core.changes import Item, Key, Write, Written
from headrace.core.run.derived.progress import finished
from headrace.core.run.routing import Routing
from headrace.engine.clock.reply_queues import make_queue
from headrace.memory.store import MemoryStore
from headrace.triggers.results.looking import Looker
from headrace.triggers.results.mailbox import BATCH, LONG_POLL_S, NEW_QUEUE_S, Mailbox

AT_ONCE = 20
APART_S = 0.05
LATE_S = 0.05
FLOW = plan(task("a", schedule_timeout_ms=3_600_000), workflow="lasts")
LENGTHS = (0.1, 0.2, 0.3, 1.0, 3.0, 10.0, 60.0, 300.0)


class Priced(MemoryStore):
    """A store that counts what a waiting process asks for while it looks: read units, and the writes by which it asks to be told."""

    looking = False
    read = 0.0
    asked = 0

    def get(self, key: Key, *, consistent: bool = True) -> Item | None:
        """Of many, too."""
        self.read += self.looking * (1.0 if consistent else 0.5)
        return super().get(key, consistent=consistent)

    def write_many(self, writes: Sequence[Write]) -> list[Written]:
        self.asked += self.looking * len(writes)
        return super().write_many(writes)


class Post(Mailbox):
    """A mailbox whose thread is this test: its queue is there a while after it is asked for."""

    def _start(self) -> None:
        self.asked_for = True

    asked_for = False

    def opens(self) -> None:
        self._queue = make_queue(self._engine)
        self._until_ms = self._engine.clock.now_ms() + 900_000
        self._wake(None)


class Process:
    """One process that waits for `AT_ONCE` runs which begin a little after each other and last equally long."""

    def __init__(self, length_s: float, *, warm: bool, named: bool) -> None:
        self.world = World(plans={"lasts": FLOW}, code={"a": lambda work: {}}, store_type=Priced)
        self.engine = replace(self.world.engine, replies=self.world.queues)
        self.world.engine = self.engine
        self.post = Post(self.engine)
        self.looker = Looker(self.engine, Settings(), self.post)
        self.named = named
        self.length_s = length_s
        self.receives = self.idle = self.hidden = 0
        self.late_s: list[float] = []
        self.ends: dict[str, float] = {}
        self.ready_at = math.inf
        if warm:
            self.post.opens()
        assert isinstance(self.world.store, Priced)
        self.store = self.world.store

    def now(self) -> float:
        return self.engine.clock.now_ms() / 1000

    def waits(self) -> Process:
        begun = self.now()
        begins = [begun + number * APART_S for number in range(AT_ONCE)]
        open_ends: list[tuple[float, str]] = []
        long_poll_at = begun
        while True:
            now = self.now()
            while begins and begins[0] <= now:
                begins.pop(0)
                open_ends.append((now + self.length_s, self.begin()))
            while open_ends and open_ends[0][0] <= now:
                self.ends[open_ends.pop(0)[1]] = now
                assert self.world.deliver_next()  # in the order of their beginnings
            self.ready()
            long_poll_at = self.receive(now, long_poll_at)
            self.look(now)
            if len(self.late_s) == AT_ONCE:
                return self
            upcoming = [*begins[:1], *(at for at, _ in open_ends[:1]), long_poll_at, self.ready_at]
            upcoming += [each.look_at for each in self.looker.watches.values()]
            self.world.clock.advance(max(1, math.ceil((min(upcoming) - now) * 1000)))

    def begin(self) -> str:
        routing = Routing(reply_to=self.post.address) if self.named else Routing()
        run_id = self.world.start("lasts", routing=routing)
        if self.named:
            self.post.remember([self.world.record(run_id)])
        watches = self.looker.watches
        watches[run_id] = self.looker.watch(run_id, self.now(), lambda: self.wake(run_id))
        return run_id

    def wake(self, run_id: str) -> None:
        if run_id in self.looker.watches:
            self.looker.watches[run_id].hear(self.now())

    def ready(self) -> None:
        if self.post.asked_for and self.ready_at == math.inf and self.post.address is None:
            self.ready_at = self.now() + NEW_QUEUE_S + 0.1
        if self.ready_at <= self.now():
            self.ready_at = math.inf
            self.post.opens()

    def receive(self, now: float, long_poll_at: float) -> float:
        """A long poll returns with what has come, or after its time."""
        address = self.post.address
        if address is None:
            return math.inf
        while self.world.queues.depth(address) - self.hidden > 0:
            before = self.world.queues.depth(address)
            self.post._receive()
            self.receives += 1
            self.hidden += min(BATCH, before - self.hidden)
            long_poll_at = now + LONG_POLL_S
        if long_poll_at <= now or long_poll_at == math.inf:
            self.idle += 1
            long_poll_at = now + LONG_POLL_S
        return long_poll_at

    def look(self, now: float) -> None:
        watches = self.looker.watches
        self.store.looking = True
        self.looker.look([each for each in watches.values() if each.is_due(now)], now)
        self.store.looking = False
        for run_id in [run_id for run_id, watch in watches.items() if watch.over]:
            record = watches.pop(run_id).found
            assert record is not None
            assert finished(record)
            self.late_s.append(self.now() - self.ends[run_id])

    def dollars(self) -> float:
        """A million waits, with the replies that workers send. What the process pays for listening is `idle`, however many it waits for."""
        told = len(self.world.queues.bodies(self.post.address)) if self.post.address else 0
        sqs = (self.receives + told) * PRICES["sqs"].dollars
        spent = self.store.read * PRICES["read"].dollars + self.store.asked * PRICES["write"].dollars + sqs
        return spent / AT_ONCE * 1_000_000


@pytest.mark.parametrize("length_s", LENGTHS)
def test_a_process_with_its_queue_waits_for_its_own_runs_for_less_than_a_dollar_a_million(
    length_s: float,
) -> None:
    process = Process(length_s, warm=True, named=True).waits()
    assert max(process.late_s) < 0.002, process.late_s  # told: no poll between the end and the result
    assert process.dollars() <= 1.0, process.dollars()
    assert process.idle <= 1 + length_s // LONG_POLL_S  # three long polls a minute, for all that it waits for


@pytest.mark.parametrize("length_s", LENGTHS)
@pytest.mark.parametrize("warm", [True, False], ids=["has its queue", "makes its queue"])
def test_a_run_that_names_no_queue_is_noticed_in_time_too(length_s: float, warm: bool) -> None:
    process = Process(length_s, warm=warm, named=False).waits()
    assert max(process.late_s) < LATE_S, process.late_s
    most = 1.0 if length_s <= 0.3 else 2.3 if warm else 4.5
    assert process.dollars() <= most, process.dollars()
