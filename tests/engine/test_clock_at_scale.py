"""A hundred thousand timers in one minute, and scheduled runs as many as a page does not hold: by shards, each resumable."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from tests.engine.test_crons import KillAt, Killed

from headrace.core.run.message import FiringKind, TimersMessage, decode_message, encode_timers
from headrace.core.table import TIMERS
from headrace.engine.attempts.ports import Done, Host
from headrace.engine.clock.tick import MARGIN_MS, PAGE, SEND_FOR_MS, tick
from headrace.engine.engine import Engine
from headrace.engine.runs.dead_letter import fail_dead_letter
from headrace.engine.runs.deliver import deliver
from headrace.engine.timers import SHARDS, LookAt, SendMessage, encode_timer
from headrace.memory.clock import VirtualClock
from headrace.memory.queues import MemoryQueues
from headrace.memory.wiring import connect
from headrace.ports import Received

MILLISECONDS = {"write": 1, "send": 1_000, "query": 60, "get": 5}
"""What a call takes; `send` of a page of a thousand, and each write of a batch of many."""


class Slow:
    """Each call takes as long as on Lambda: so the clock's time counts."""

    def __init__(self) -> None:
        self.clock: VirtualClock | None = None
        self.calls: Counter[str] = Counter()

    def before(self, port: str, call: str) -> None:
        self.calls[call] += 1

    def after(self, port: str, call: str) -> None:
        if self.clock is not None:
            self.clock.advance(MILLISECONDS.get(call, 0))


def engine_with(count: int, faults: Any = None, *, look: bool = False) -> Engine:
    """`count` timers that are due within one minute, some minutes from now."""
    ports = connect(faults=faults)
    engine = Engine.on(ports)
    tick(engine)
    due_ms = (engine.clock.now_ms() // 60_000 + 6) * 60_000
    actions = (
        LookAt(kind=FiringKind.SCHEDULE, id=f"s{n}", worker="w")
        if look
        else SendMessage(worker="w", body=f'{{"n":{n}}}')
        for n in range(count)
    )
    engine.store.write_many([encode_timer(due_ms + n % 60_000, action) for n, action in enumerate(actions)])
    assert isinstance(engine.clock, VirtualClock)
    engine.clock.advance(120_000)
    return engine


def received(engine: Engine) -> list[Received]:
    return engine.queues.receive("w", limit=10, wait_s=0, visibility_s=60)


def handed_over(engine: Engine) -> list[Received]:
    found: list[Received] = []
    while batch := received(engine):
        found += batch
    assert all(isinstance(decode_message(each.body), TimersMessage) for each in found)
    return found


def timers_left(engine: Engine) -> int:
    return sum(str(item["pk"]).startswith(TIMERS) for item in engine.store.items())  # type: ignore[attr-defined]  # in memory


def sent(engine: Engine) -> Counter[str]:
    """What was sent to the worker, by body, delayed or not."""
    assert isinstance(engine.queues, MemoryQueues)
    return Counter(body for body in engine.queues.bodies("w") if '"n":' in body)


@pytest.mark.parametrize("count", [20_000, pytest.param(100_000, marks=pytest.mark.scale)])
def test_the_clock_hands_full_shards_to_workers_and_all_is_sent_in_time(count: int) -> None:
    slow = Slow()
    engine = engine_with(count, slow)
    assert isinstance(engine.clock, VirtualClock)
    slow.clock, slow.calls = engine.clock, Counter()
    before_ms = engine.clock.now_ms()
    tick(engine)
    assert engine.clock.now_ms() - before_ms < 25_000  # of the clock's 60 s
    shares = handed_over(engine)
    assert len(shares) == SHARDS
    host = Host(worker="w", runnables={}, time_left_ms=lambda: 60_000)
    longest_ms = 0
    for share in shares:
        began_ms = engine.clock.now_ms()
        assert isinstance(deliver(engine, host, share), Done)
        engine.queues.delete(share)
        longest_ms = max(longest_ms, engine.clock.now_ms() - began_ms)
    assert longest_ms < SEND_FOR_MS + MARGIN_MS
    assert timers_left(engine) == 0
    found = sent(engine)
    assert (len(found), set(found.values())) == (count, {1})


def test_a_worker_that_dies_at_any_call_loses_none() -> None:
    count = PAGE * SHARDS + SHARDS * 300  # a little more than a page each
    kill = KillAt()
    engine = engine_with(count, kill)
    tick(engine)
    share = handed_over(engine)[0]
    begun = kill.calls
    host = Host(worker="w", runnables={})
    for number in range(1, 9):
        for after in (False, True):
            kill.at = (kill.calls + number, after)
            try:
                deliver(engine, host, share)
            except Killed:
                continue
            kill.at = None
    deliver(engine, host, share)
    assert kill.calls > begun
    message = decode_message(share.body)
    assert isinstance(message, TimersMessage)
    left = [str(item["pk"]) for item in engine.store.items() if str(item["pk"]).startswith(TIMERS)]  # type: ignore[attr-defined]  # in memory
    assert f"{TIMERS}{message.minute}#{message.shard}" not in left


def test_a_clock_without_time_left_hands_the_rest_on() -> None:
    engine = engine_with(PAGE * SHARDS + SHARDS * 300)
    tick(engine)
    [share, *_] = handed_over(engine)
    deliver(engine, Host(worker="w", runnables={}, time_left_ms=lambda: 5_000), share)
    [again] = [each for each in received(engine) if '"timers"' in each.body]
    assert again.body == share.body
    fail_dead_letter(
        engine, again, reason="delivered too often"
    )  # the dead-letter queue's function sends them, too
    assert not [each for each in received(engine) if '"timers"' in each.body]


@pytest.mark.parametrize("count", [PAGE // 2, PAGE * 20])
def test_scheduled_runs_are_looked_at_in_batches(count: int) -> None:
    slow = Slow()
    engine = engine_with(count, slow, look=True)
    slow.calls.clear()
    tick(engine)
    for share in handed_over(engine):
        deliver(engine, Host(worker="w", runnables={}), share)
    assert timers_left(engine) == 0
    assert slow.calls["get_many"] <= SHARDS + count // PAGE + SHARDS


def test_the_message_is_read_back() -> None:
    message = TimersMessage(minute=7, shard=3)
    assert decode_message(encode_timers(message)) == message
