"""What is due after more than SQS can delay: timer items, sent by the clock shortly before they are due."""

from __future__ import annotations

import hashlib

from headrace.core.changes import Item, Put
from headrace.core.table import timer_key
from headrace.engine.engine import Engine

SHARDS = 4
HORIZON_S = 300
"""How far ahead of its due time the clock sends a timer, with an exact delay."""

LATEST_S = 2 * HORIZON_S
"""A timer written with less than this to go may have missed the clock: the writer sends it as well."""


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
    key = timer_key(due_at_ms, shard, name)
    engine.store.write(Put(key=key, item=item))
    return due_at_ms - engine.clock.now_ms() > LATEST_S * 1000
