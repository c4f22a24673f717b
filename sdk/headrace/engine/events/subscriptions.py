"""Waiting for events: subscriptions are put, looked up, satisfied once, and removed.

Handling an event puts it first and queries subscriptions after; looking back puts the subscription first and queries the events
after. Both read consistently, so one of the two sees the other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from headrace.core.changes import (
    ITEM_MISSING,
    Applied,
    Delete,
    Exists,
    Item,
    Key,
    Missing,
    Put,
    Update,
    every,
)
from headrace.core.events.event import APART_MS, Event, Page, payload_of, short
from headrace.core.events.subscription import (
    SatisfiedBy,
    Shape,
    Subscription,
    decode_shape,
    encode_shape,
    partitions_for,
    shape_of,
    subscription_key,
)
from headrace.core.run.plans.plan import Json
from headrace.core.table import key_of, shapes_key
from headrace.engine.engine import Engine
from headrace.engine.events import records
from headrace.errors import ExpressionError

PAGE = 100
INLINE_BYTES = 1_024
"""A payload up to this size stands in the subscription that it satisfied."""

SHAPE_KNOWN_MS = 3_600_000

Wake = Callable[[Engine, str, str], bool]
"""Wakes a task of a run, if it waits. False: the run is over or gone, so nothing will wait any more."""


def arm(engine: Engine, subs: Sequence[Subscription]) -> None:
    """Put subscriptions. Putting one again changes nothing: not since when it waits, and not what satisfied it."""
    for sub in subs:
        _list_shape(engine, sub)
    now_ms = engine.clock.now_ms()
    engine.store.write_many(
        [
            Put(key=subscription_key(sub), item=_item(engine, sub, now_ms), require=ITEM_MISSING)
            for sub in subs
        ]
    )


def _item(engine: Engine, sub: Subscription, now_ms: int) -> Item:
    item: Item = {
        "run": sub.run_id,
        "task": sub.task,
        "armed": now_ms,
        "expires_at": now_ms // 1000 + engine.limits.retention_s,
    }
    if sub.expression is not None:
        item["expr"] = sub.expression
    if sub.had:
        item["had"] = " ".join(sub.had)
    return item


def _list_shape(engine: Engine, sub: Subscription) -> None:
    """Events of the key look where the subscription is from now on. A shape stays listed, so once a process is enough."""
    name, now_ms = encode_shape(shape_of(sub)), engine.clock.now_ms()
    known = f"shape:{sub.event_key}:{name}"
    if engine.catalog.known(known, now_ms):
        return
    engine.store.write(Update(key=shapes_key(sub.event_key), sets={(f"s:{name}",): 1}))
    engine.catalog.learn(known, True, now_ms + SHAPE_KNOWN_MS)


def look_up(engine: Engine, subs: Sequence[Subscription]) -> list[SatisfiedBy | None]:
    """What satisfied each; None where nothing has, or it was never put. One batch of reads, and more for payloads over 1 KB."""
    items = engine.store.get_many([subscription_key(sub) for sub in subs]) if subs else []
    return [_satisfied_by(engine, item) for item in items]


def _satisfied_by(engine: Engine, item: Item | None) -> SatisfiedBy | None:
    if item is None or "by" not in item:
        return None
    raw: dict[str, Any] = json.loads(str(item["by"]))
    payload = raw.get("payload")
    if payload is None:
        found = records.get(engine, raw["id"])
        payload = records.with_payload(engine, found[0]).payload if found is not None else "{}"
    return SatisfiedBy(
        event_id=raw["id"],
        key=raw["key"],
        at_ms=raw["at"],
        payload=payload or "{}",
        metadata=raw.get("meta", {}),
    )


def look_back(engine: Engine, sub: Subscription, since_ms: int) -> SatisfiedBy | None:
    """Put the subscription, and satisfy it by the first event of its key and scope since a time that it takes. ValueError without a scope."""
    if sub.scope is None:
        raise ValueError(
            f"task {sub.task}: waiting for {sub.event_key!r} and looking back needs a scope: give scope=..."
        )
    arm(engine, [sub])
    for event in records.of_scope(engine, sub.event_key, sub.scope, since_ms=since_ms):
        if _takes(engine, sub.expression, event, payload_of(event)):
            _write(engine, subscription_key(sub), event)
            break
    return look_up(engine, [sub])[0]


def disarm(engine: Engine, subs: Sequence[Subscription]) -> None:
    """Remove subscriptions. Doing it twice is harmless."""
    if subs:
        engine.store.write_many([Delete(key=subscription_key(sub)) for sub in subs])


# ---------------------------------------------------------------- handling an event


def satisfy(
    engine: Engine,
    event: Event,
    wake: Wake,
    *,
    page: Page | None = None,
    until_ms: int | None = None,
    came_ms: int | None = None,
) -> Page | None:
    """Write the event into every subscription that it satisfies and wake its task. The event's payload is at hand.

    `came_ms`: when it first came, of one that comes again. A wait that began after that waits for another one, and so does one of a task that
    has had this one already: a loop that waits for events of one key must not be given one twice. "After" is by more than clocks are apart, as an
    event must not be lost to a worker whose clock is ahead. What this event has satisfied is woken whatever clocks said.

    Returns where to go on, once the clock passes `until_ms`. One read of the key's item, and one query of each partition that may hold
    subscriptions to such an event.
    """
    payload = payload_of(event)
    partitions = sorted(set(partitions_for(event.key, event.scope, payload, _shapes(engine, event.key))))
    for partition in partitions:
        if page is not None and partition < page.partition:
            continue
        after = page.after if page is not None and partition == page.partition else None
        for items in _pages(engine, partition, after):
            for item in items:
                if came_ms is None or _waited(item, event, came_ms) or _is_by(item, event):
                    _offer(engine, item, event, payload, wake)
            if until_ms is not None and engine.clock.now_ms() >= until_ms:
                return Page(partition=partition, after=str(items[-1]["sk"]))
    return None


def _waited(item: Item, event: Event, came_ms: int) -> bool:
    """Whether the subscription may have been there when the event came, and its task has not had the event since."""
    return (
        int(str(item["armed"])) <= came_ms + APART_MS
        and short(event.event_id) not in str(item.get("had", "")).split()
    )


def _shapes(engine: Engine, key: str) -> list[Shape]:
    item = engine.store.get(shapes_key(key)) or {}
    return [decode_shape(name[2:]) for name in item if name.startswith("s:")]


def _pages(engine: Engine, partition: str, after: str | None) -> Iterator[list[Item]]:
    while items := engine.store.query(partition, after=after, limit=PAGE):
        yield items
        if len(items) < PAGE:
            return
        after = str(items[-1]["sk"])


def _offer(engine: Engine, item: Item, event: Event, payload: Json, wake: Wake) -> None:
    """Satisfy one subscription, if the event does. One that this event has satisfied is woken again: its message may have been lost."""
    expression = str(item["expr"]) if "expr" in item else None
    key = key_of(item)
    if "by" not in item:
        if not _takes(engine, expression, event, payload) or not _write(engine, key, event):
            return
    elif not _is_by(item, event):
        return
    if not wake(engine, str(item["run"]), str(item["task"])):
        engine.store.write(Delete(key=key))


def _takes(engine: Engine, expression: str | None, event: Event, payload: Json) -> bool:
    """Whether the expression is true of the event. One that cannot be evaluated is not."""
    if expression is None:
        return True
    variables: Mapping[str, Json] = {
        "input": payload,
        "additional_metadata": dict(event.metadata),
        "event_key": event.key,
    }
    try:
        return engine.expressions.evaluate(expression, variables) is True
    except ExpressionError:
        return False


def _write(engine: Engine, key: Key, event: Event) -> bool:
    """The event satisfies the subscription, if none has and it is still there. False: it does not.

    A write whose response was lost is made again by the client library, and refused: what is found then is this event.
    """
    text = event.payload or "{}"
    by: dict[str, Json] = {"id": event.event_id, "key": event.key, "at": event.pushed_at_ms}
    if len(text.encode()) <= INLINE_BYTES:
        by["payload"] = text
    if event.metadata:
        by["meta"] = dict(event.metadata)
    value = json.dumps(by, separators=(",", ":"), ensure_ascii=False)
    free = every(Exists(("pk",)), Missing(("by",)))
    written = engine.store.write(Update(key=key, require=free, sets={("by",): value}))
    return isinstance(written, Applied) or (written.item is not None and _is_by(written.item, event))


def _is_by(item: Item, event: Event) -> bool:
    return "by" in item and json.loads(str(item["by"]))["id"] == event.event_id
