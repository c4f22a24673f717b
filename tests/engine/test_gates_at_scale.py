"""The clock over many gates: none starves, nothing is written where nothing is late, and a death costs a delay."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.engine.test_crons import KillAt, Killed

from headrace.core.changes import Delete, Put, Update
from headrace.core.points import AtConcurrency, encode_point
from headrace.core.run.message import TaskMessage, decode_message
from headrace.core.table import CURSOR, gate_key, waiter_key
from headrace.core.waits.holders import held_as
from headrace.core.waits.line import Waiter, mark, put_waiter
from headrace.engine.clock.sweep import PAGE, sweep_gates
from headrace.engine.clock.tick import begin, tick
from headrace.engine.engine import Engine
from headrace.memory.clock import VirtualClock
from headrace.memory.faults import Faults
from headrace.memory.queues import MemoryQueues
from headrace.memory.wiring import connect

MICROSECONDS = {"get": 60, "query": 400, "query_index": 8_000, "write": 400, "send": 10_000}
"""What a call takes: gets in batches of a hundred, queries and writes sixteen at a time, messages ten by ten."""


class Slow:
    """Calls take time, as on Lambda; and they are counted."""

    def __init__(self) -> None:
        self.clock: VirtualClock | None = None
        self.calls: Counter[str] = Counter()
        self._spent_us = 0

    def before(self, port: str, call: str) -> None:
        self.calls[call] += 1

    def after(self, port: str, call: str) -> None:
        if self.clock is None:
            return
        self._spent_us += MICROSECONDS.get(call, 0)
        if self._spent_us >= 1_000:
            self.clock.advance(self._spent_us // 1_000)
            self._spent_us %= 1_000


def gate(number: int) -> str:
    return encode_point(AtConcurrency("flow/0", f"k{number}"))


def place(run_id: str, now_ms: int) -> str:
    return f"wait#3#{now_ms}#{run_id}#flow"


def busy(count: int, faults: Faults | None = None, *, late: bool = False) -> Engine:
    """So many keys with one place each: the one that has it comes in an hour from now, so that no sweep of this test takes it for dead, and
    one waits; `late`: past its schedule timeout."""
    ports = connect(faults=faults)
    engine = Engine.on(ports)
    begin(engine)
    now_ms, expires_at_s = engine.clock.now_ms(), engine.clock.now_ms() // 1000 + 86_400
    fresh_ms = now_ms + 3_600_000
    start_by_ms = now_ms - 1 if late else now_ms + 86_400_000
    for number in range(count):
        name = gate(number)
        held = {held_as(name, f"holder{number}/flow"): {"t": 1, "a": fresh_ms, "b": fresh_ms}, "c": 1, "n": 1}
        engine.store.write(Put(key=gate_key(name), item=held))  # type: ignore[arg-type]  # an item
        waiter = Waiter(
            gate=name, sk=place(f"r{number}", now_ms), run_id=f"r{number}", task="flow", number=0, ticket=1,
            worker="w", queued_at_ms=now_ms, start_by_ms=start_by_ms,
        )  # fmt: skip
        engine.store.write(put_waiter(waiter, expires_at_s=expires_at_s))
        engine.store.write(mark(name, "nonce", expires_at_s=expires_at_s))
    return engine


def sent(engine: Engine) -> Counter[str]:
    """The runs that were sent a message."""
    assert isinstance(engine.queues, MemoryQueues)
    messages = [decode_message(body) for body in engine.queues.bodies("w")]
    return Counter(each.run_id for each in messages if isinstance(each, TaskMessage))


@pytest.mark.parametrize("count", [2_500, pytest.param(100_000, marks=pytest.mark.scale)])
def test_a_late_waiter_at_any_of_many_keys_is_told_once_within_a_few_minutes(count: int) -> None:
    slow = Slow()
    engine = busy(count, slow, late=True)
    assert isinstance(engine.clock, VirtualClock)
    slow.clock, before_all_ms = engine.clock, engine.clock.now_ms()
    ticks, told = 0, set[str]()
    while len(sent(engine)) < count:
        before_ms = engine.clock.now_ms()
        tick(engine, until_ms=before_ms + (45_000 if count > 10_000 else 500))
        spent_ms = engine.clock.now_ms() - before_ms
        assert spent_ms < 55_000  # of the clock's 60 s
        engine.clock.advance(max(0, 60_000 - spent_ms))
        for run_id in set(sent(engine)) - told:  # its message has ended it
            engine.store.write(Delete(key=waiter_key(gate(int(run_id[1:])), place(run_id, before_all_ms))))
        told = set(sent(engine))
        ticks += 1
        assert ticks <= 8
    assert ticks > 1  # more than one tick looks at
    assert set(sent(engine).values()) == {1}


@pytest.mark.parametrize("count", [2_500, pytest.param(100_000, marks=pytest.mark.scale)])
def test_where_nothing_is_late_nothing_is_written_and_every_key_is_seen_in_turn(count: int) -> None:
    slow = Slow()
    engine = busy(count, slow)
    assert isinstance(engine.clock, VirtualClock)
    slow.clock = engine.clock
    tick(engine)
    slow.calls.clear()
    seen, rounds, behind = 0, 0, None
    stops = set[str | None]()
    while seen < count:  # each goes on behind the last
        until_ms = engine.clock.now_ms() + (45_000 if count > 10_000 else 500)
        swept = sweep_gates(engine, behind=behind, until_ms=until_ms)
        assert swept.woken == 0
        seen += sum(line.waiting for line in swept.lines.values())
        behind, rounds = swept.stopped_at, rounds + 1
        stops.add(behind)
    assert rounds > 1
    assert slow.calls["write"] == slow.calls["send"] == 0
    assert slow.calls["get"] <= seen
    assert slow.calls["query"] <= seen
    assert slow.calls["query_index"] <= 2 * count // PAGE + 4 * rounds
    assert len(stops) == rounds  # none began where another one had


def test_the_next_tick_goes_on_behind_the_last_gate() -> None:
    engine = busy(PAGE * 6)
    tick(engine, until_ms=0)
    cursor = engine.store.get(CURSOR) or {}
    first = str(cursor["gate"])
    tick(engine, until_ms=0)
    second = str((engine.store.get(CURSOR) or {})["gate"])
    assert first != second
    tick(engine)
    assert (engine.store.get(CURSOR) or {})["gate"] is None
    engine.store.write(Update(key=CURSOR, sets={("gate",): "3#a gate that is gone"}))
    assert sweep_gates(engine, behind="3#a gate that is gone").lines["flow/0"].waiting == PAGE * 6


def test_a_sweep_that_dies_at_any_call_loses_no_one() -> None:
    count = 7
    kill = KillAt()
    engine = busy(count, kill, late=True)
    before = kill.calls
    tick(engine)
    calls = kill.calls - before
    assert calls > 20
    for number in range(1, calls + 1):
        for after in (False, True):
            kill = KillAt()
            engine = busy(count, kill, late=True)
            assert isinstance(engine.clock, VirtualClock)
            kill.at = (kill.calls + number, after)
            with pytest.raises(Killed):
                tick(engine)
            for _ in range(4):
                engine.clock.advance(60_000)
                tick(engine)
            assert len(sent(engine)) == count, (number, after)


def test_two_clocks_at_once_send_one_message() -> None:
    engine = busy(30, late=True)
    tick(engine)
    tick(engine)
    assert set(sent(engine).values()) == {1}


# ---------------------------------------------------------------- the first tick


def test_the_first_tick_of_a_published_stack_looks_at_one_minute_and_of_another_an_hour_back() -> None:
    for published, minutes in ((True, 5), (False, 65)):
        slow = Slow()
        engine = Engine.on(connect(faults=slow))
        if published:
            begin(engine)
        tick(engine)
        assert slow.calls["query"] == minutes * 16, published
        slow.calls.clear()
        begin(engine)
        assert slow.calls == {"get": 1}
