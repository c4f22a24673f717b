"""What is due after more than SQS can delay: timer items, sent by the clock shortly before they are due."""

from __future__ import annotations

import hashlib

from headrace.core.changes import Item, Key, Put
from headrace.engine.engine import Engine

SHARDS = 4
HORIZON_S = 300
"""How far ahead of its due time the clock sends a timer, with an exact delay."""

LATEST_S = 2 * HORIZON_S
"""A timer written with less than this to go may have missed the clock: the writer sends it as well."""


def timer_partition(minute: int, shard: int) -> str:
    return f"timer#{minute}#{shard}"


def set_timer(engine: Engine, worker: str, due_at_ms: int, body: str) -> bool:
    """Put a timer for a message. False: the writing took so long that the clock may have passed it."""
    name = hashlib.sha256(body.encode()).hexdigest()[:16]
    shard = int(name[:4], 16) % SHARDS
    item: Item = {
        "worker": worker,
        "body": body,
        "due": due_at_ms,
        "expires_at": due_at_ms // 1000 + 7 * 86_400,
    }
    key = Key(timer_partition(due_at_ms // 60_000, shard), f"{due_at_ms:013d}#{name}")
    engine.store.write(Put(key=key, item=item))
    return due_at_ms - engine.clock.now_ms() > LATEST_S * 1000
