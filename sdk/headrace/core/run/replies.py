"""Reply queues: how a process asks to be told of a run's end, and how long its queue is kept.

A queue has an item in the table before it is made, and until after it is gone: so one whose process died is found and removed.
"""

from __future__ import annotations

import json

from headrace.core.changes import ALWAYS, ITEM_EXISTS, AtMost, Delete, Item, Missing, Put, Update, every
from headrace.core.run.stored.record import WAITER
from headrace.core.table import reply_queue_key, run_key

PREFIX = "reply-"
"""What the names of reply queues begin with, after the stack's: policies name them by it, and no worker's name begins so."""

LEASE_MS = 15 * 60_000
"""How long a process keeps its queue without renewing that."""

RENEW_BEFORE_MS = 10 * 60_000
"""A process that waits renews its lease once less than this is left of it."""

USABLE_MS = 2 * 60_000
"""A queue whose lease has less left than this is named by no new run: it may be swept before the run ends."""

SWEPT_AFTER_MS = 5 * 60_000
"""How long after its lease a queue is swept: more than the clocks of two machines are apart."""

KEPT_S = 86_400
"""How long its item outlives the lease, in seconds, before the table's TTL takes it: the clock has long swept it by then."""

MOST_WAITERS = 32
"""Processes that may ask at one record. More poll: a record must not grow with its readers."""


def queue_named(name: str) -> str:
    return PREFIX + name.replace("_", "-")


def ask(run_id: str, queue: str) -> Update:
    """`queue` wants to be told. The answer is the record: a run that is over by then sends no reply any more."""
    return Update(key=run_key(run_id), require=ITEM_EXISTS, sets={(WAITER + queue,): 1})


def encode_reply(run_id: str) -> str:
    return json.dumps({"over": run_id}, separators=(",", ":"))


def decode_reply(body: str) -> str | None:
    """The run that is over; None where the message says something else."""
    try:
        found = json.loads(body)["over"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, str) else None


# ---------------------------------------------------------------- leases


def announce(queue: str, *, now_ms: int) -> Put:
    """The queue is about to be made."""
    return Put(key=reply_queue_key(queue), item=_lease(now_ms + LEASE_MS))


def renew(queue: str, *, now_ms: int) -> Update:
    """Keep it for another lease. Refused: it has been swept, or will be at once."""
    lease = _lease(now_ms + LEASE_MS)
    require = every(ITEM_EXISTS, Missing(("swept",)))
    return Update(key=reply_queue_key(queue), require=require, sets={(n,): v for n, v in lease.items()})


def condemn(queue: str, *, now_ms: int) -> Update:
    """From here on the lease is not renewed, so the queue can be removed. Refused: it was renewed."""
    require = every(ITEM_EXISTS, AtMost(("until_ms",), now_ms - SWEPT_AFTER_MS))
    return Update(key=reply_queue_key(queue), require=require, sets={("swept",): True})


def forget(queue: str) -> Delete:
    """The queue is gone."""
    return Delete(key=reply_queue_key(queue), require=ALWAYS)


def is_dead(item: Item, *, now_ms: int) -> bool:
    """Whether the process of a queue has not renewed its lease for so long that it must have ended."""
    until_ms = item.get("until_ms")
    return isinstance(until_ms, int) and until_ms <= now_ms - SWEPT_AFTER_MS


def _lease(until_ms: int) -> Item:
    return {"until_ms": until_ms, "expires_at": until_ms // 1000 + KEPT_S}
