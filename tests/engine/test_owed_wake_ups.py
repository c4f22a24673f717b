"""A message that wrote a note and died before its wake-up is redelivered when there is no room any more: it sends all the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.world import World

from headrace.core.changes import Item, Put
from headrace.core.points import AtConcurrency, AtRateLimit, encode_point
from headrace.core.table import gate_key
from headrace.core.waits.line import Waiter, put_waiter, woken
from headrace.core.waits.wake_up import Account
from headrace.engine.engine import Engine
from headrace.engine.waits.kinds.concurrency import wake_next
from headrace.engine.waits.kinds.rate_limit import repair_refill

CONCURRENCY = encode_point(AtConcurrency("limit", "k"))
RATE = encode_point(AtRateLimit("api"))
DAY_MS = 86_400_000


def look_at(engine: Engine, gate: str) -> None:
    if gate == RATE:
        repair_refill(engine, gate, "w")
    else:
        wake_next(engine, gate, 1)


def full(w: World, gate: str) -> Item:
    """A gate's item that has no room, and a mark."""
    now_ms = w.clock.now_ms()
    if gate == RATE:
        start_ms = now_ms - now_ms % DAY_MS
        return {"w": "mark", "n": start_ms, "left": 0, "max": 1, "win": DAY_MS, "sched": start_ms + DAY_MS}
    return {"w": "mark", "n": 1, "c": 1, "h:=other/t": {"t": 1, "a": now_ms}}


@pytest.mark.parametrize("gate", [CONCURRENCY, RATE])
@pytest.mark.parametrize(
    ("account", "sent"),
    [
        (Account(message="mine", redelivered=True), 1),
        (Account(message="another", redelivered=True), 0),
        (Account(message="mine"), 0),
    ],
    ids=["redelivered", "another message", "a first delivery"],
)
def test_a_wake_up_is_sent_by_its_message_though_the_room_is_gone(
    gate: str, account: Account, sent: int
) -> None:
    w = World(plans={}, code={})
    waiter = Waiter(
        gate=gate, sk=f"wait#3#{1:013d}.000000#run#t", run_id="run", task="t", number=0, ticket=2, worker="w",
        queued_at_ms=1, start_by_ms=2,
    )  # fmt: skip
    w.store.write(Put(key=gate_key(gate), item=full(w, gate)))
    w.store.write(put_waiter(waiter, expires_at_s=2_000_000_000))
    w.store.write(woken(waiter, by="mine", queued_ms=0, now_ms=w.clock.now_ms()))
    w.clock.advance(20_000)
    engine = replace(w.engine, account=account)
    look_at(engine, gate)
    look_at(engine, gate)  # once a delivery
    assert w.queues.depth() == sent
