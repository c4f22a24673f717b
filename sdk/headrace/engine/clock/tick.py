"""What the clock does once a minute: send the timers that are due soon, and look after the gates that somebody waits at."""

from __future__ import annotations

from collections import defaultdict

from headrace.core.changes import ALWAYS, AtMost, Delete, Item, Missing, Update, either
from headrace.core.table import CURSOR, key_of, timer_partition
from headrace.engine.clock.timers import HORIZON_S, SHARDS
from headrace.engine.engine import Engine
from headrace.engine.waits.sweep import tend_gates
from headrace.ports import MAX_DELAY_S, Outgoing

FIRST_LOOK_BACK_MINUTES = 60
STRIDE_MINUTES = 10
"""How far the clock goes, while it catches up, before it moves its cursor."""


def tick(engine: Engine) -> int:
    """Send, with exact delays, every timer due within the next minutes; then tend the gates. Returns how many messages were sent.

    The cursor names the first minute not yet done, so a clock that stood still for a day catches up, and one that is stopped
    while it does goes on from where it was.
    """
    now_ms = engine.clock.now_ms()
    until = (now_ms + HORIZON_S * 1000) // 60_000
    cursor = engine.store.get(CURSOR)
    start = _int(cursor, "minute", (now_ms // 60_000) - FIRST_LOOK_BACK_MINUTES)
    sent = 0
    for minute in range(start, until):
        sent += sum(_send_minute(engine, minute, shard) for shard in range(SHARDS))
        if minute + 1 == until or (minute + 1) % STRIDE_MINUTES == 0:
            _move_cursor(engine, minute + 1)
    return sent + tend_gates(engine)


def _move_cursor(engine: Engine, minute: int) -> None:
    forward = either(Missing(("minute",)), AtMost(("minute",), minute))
    engine.store.write(Update(key=CURSOR, require=forward, sets={("minute",): minute}))


def _int(item: Item | None, name: str, default: int) -> int:
    value = item.get(name) if item is not None else None
    return value if isinstance(value, int) else default


def _send_minute(engine: Engine, minute: int, shard: int) -> int:
    """Send first, then delete: a timer sent twice is a stale message, a timer lost is a lost run."""
    partition = timer_partition(minute, shard)
    items = engine.store.query(partition)
    by_worker: dict[str, list[Outgoing]] = defaultdict(list)
    now_ms = engine.clock.now_ms()
    for item in items:
        delay_s = max(0, -(-(_int(item, "due", now_ms) - now_ms) // 1000))
        by_worker[str(item["worker"])].append(
            Outgoing(body=str(item["body"]), delay_s=min(delay_s, MAX_DELAY_S))
        )
    for worker, messages in by_worker.items():
        engine.queues.send(worker, messages)
    engine.store.write_many([Delete(key=key_of(item), require=ALWAYS) for item in items])
    return len(items)
