"""What is due after more than SQS can delay: timer items, by the minute in which they are due, and what the clock does with them."""

from __future__ import annotations

import hashlib
from typing import TypeAlias

from headrace.core.changes import Item, Key, Put
from headrace.core.run.message import FiringKind
from headrace.core.table import key_of, timer_key
from headrace.core.values import dataclass
from headrace.engine.engine import Engine
from headrace.ports import MAX_DELAY_S, Outgoing

SHARDS = 16
"""A minute's timers lie in so many partitions, so that several invocations can share it. A power of 2."""

HORIZON_S = 300
"""How far ahead of its due time the clock sends a timer, with an exact delay."""

LATEST_S = 2 * HORIZON_S
"""A timer written with less than this to go may have missed the clock: the writer sends it as well."""

KEPT_S = 7 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class SendMessage:
    """Send `body` to a worker's queue."""

    worker: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAt:
    """Look at a cron or a scheduled run: its own item says when it is due. The timer is but a pointer, and may be stale. `worker`: one that
    may look, where there are too many for the clock."""

    kind: FiringKind
    id: str
    worker: str = ""


Action: TypeAlias = SendMessage | LookAt


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """An action and when it is due; `key` is where it is stored."""

    key: Key
    due_ms: int
    action: Action


def set_timer(engine: Engine, worker: str, due_at_ms: int, body: str) -> bool:
    """Put a timer for a message. False: the writing took so long that the clock may have passed it."""
    put_timer(engine, due_at_ms, SendMessage(worker=worker, body=body))
    return due_at_ms - engine.clock.now_ms() > LATEST_S * 1000


def put_timer(engine: Engine, due_at_ms: int, action: Action) -> None:
    """Store a timer; storing it again is harmless."""
    engine.store.write(encode_timer(due_at_ms, action))


def encode_timer(due_at_ms: int, action: Action) -> Put:
    item: Item = {"due": due_at_ms, "expires_at": due_at_ms // 1000 + KEPT_S}
    match action:
        case SendMessage():
            item |= {"worker": action.worker, "body": action.body}
            text = action.body
        case LookAt():
            item |= {"look": action.kind.value, "id": action.id, "worker": action.worker}
            text = f"{action.kind}#{action.id}"
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    key = timer_key(due_at_ms, int(name[:4], 16) % SHARDS, name)
    return Put(key=key, item=item)


def decode_timer(item: Item) -> Timer:
    """The timer that was stored. KeyError or ValueError where the item is none."""
    action: Action
    if "look" in item:
        action = LookAt(
            kind=FiringKind(str(item["look"])), id=str(item["id"]), worker=str(item.get("worker", ""))
        )
    else:
        action = SendMessage(worker=str(item["worker"]), body=str(item["body"]))
    return Timer(key=key_of(item), due_ms=int(str(item["due"])), action=action)


def send_at(engine: Engine, worker: str, due_ms: int, body: str, *, group: str | None = None) -> None:
    """Send a message that is due at `due_ms`: by SQS's delay, or by a timer where that is longer than SQS can delay."""
    delay_s = max(0, -(-(due_ms - engine.clock.now_ms()) // 1000))
    if delay_s <= MAX_DELAY_S or not set_timer(engine, worker, due_ms, body):
        outgoing = Outgoing(body=body, delay_s=min(delay_s, MAX_DELAY_S), group=group)
        engine.send(worker, [outgoing])
