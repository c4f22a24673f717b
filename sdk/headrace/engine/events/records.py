"""Events as they are stored: put once, found by id, by time, by key and scope."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import replace

from headrace.core import table
from headrace.core.changes import ITEM_EXISTS, ITEM_MISSING, Item, Key, Put, Refused, Update, Write, Written
from headrace.core.events.event import Event, Trigger, blob_name, decode_item, encode_item, event_key
from headrace.core.values import dataclass
from headrace.engine.engine import Engine

PAGE = 100

COLLIDED = "collided"
CAME = "came"
"""When it was first handled. A wait that begins later waits for another event, however often this one is delivered."""

HANDLER = "by"
"""Which delivery handled it first: one whose write was made twice, as the response was lost, knows it by this for its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An event as it is stored: the runs that it starts, when it came, and when an earlier delivery stored something of it (None: this is
    the first)."""

    triggers: tuple[Trigger, ...]
    came_ms: int
    earlier_ms: int | None = None


def put_once(engine: Engine, event: Event, triggers: tuple[Trigger, ...]) -> Stored:
    """Store an event with the runs that it starts. What an earlier delivery decided stands: its runs, and when it came.

    An event with a scope has come once it is listed there too: who looked back before that has not seen it.
    """
    key = _key(event.event_id)
    now_ms, handler = engine.clock.now_ms(), engine.ids.owner()
    expires_at_s = now_ms // 1000 + engine.limits.retention_s
    came: Item = {CAME: now_ms, HANDLER: handler}
    item: Item = {**encode_item(event, triggers, expires_at_s=expires_at_s), **came}
    puts: list[Write] = [Put(key=key, item=item, require=ITEM_MISSING)]
    if event.scope is not None:
        listed = table.scoped_event_key(event.key, event.scope, event.pushed_at_ms, event.event_id)
        entry: Item = {"expires_at": expires_at_s, **came}
        puts.append(Put(key=listed, item=entry, require=ITEM_MISSING))
    written = engine.store.write_many(puts) if len(puts) > 1 else [engine.store.write(puts[0])]
    earlier = [each.item for each in written if _is_of_another(each, handler) and each.item is not None]
    if not earlier:
        return Stored(triggers=triggers, came_ms=now_ms)
    earlier_ms = max(int(str(each.get(CAME, 0))) for each in earlier)  # older versions did not say it of all
    first = written[0]
    return Stored(
        triggers=decode_item(first.item)[1] if _is_of_another(first, handler) and first.item else triggers,
        came_ms=earlier_ms if len(earlier) == len(written) else now_ms,
        earlier_ms=earlier_ms,
    )


def _is_of_another(written: Written, handler: str) -> bool:
    """Whether an earlier delivery had put it."""
    return isinstance(written, Refused) and written.item is not None and written.item.get(HANDLER) != handler


def note_collisions(engine: Engine, event_id: str, count: int) -> None:
    """Say in the event's item how many of its runs were not started, since others hold their idempotency keys."""
    engine.store.write(Update(key=_key(event_id), require=ITEM_EXISTS, sets={(COLLIDED,): count}))


def get(engine: Engine, event_id: str) -> tuple[Event, tuple[Trigger, ...]] | None:
    """An event and its runs; None where there is none, or it has expired. The payload may lie elsewhere: `with_payload`."""
    key = event_key(event_id)
    item = engine.store.get(key) if key is not None else None
    return decode_item(item) if item is not None else None


def get_many(engine: Engine, event_ids: Sequence[str]) -> list[tuple[Event, tuple[Trigger, ...]] | None]:
    """As `get`, for several, in the order given."""
    items = engine.store.get_many([_key(each) for each in event_ids]) if event_ids else []
    return [decode_item(item) if item is not None else None for item in items]


def with_payload(engine: Engine, event: Event) -> Event:
    """The event with its payload at hand, from wherever it is; an empty one where it has expired."""
    if not event.stored or event.payload is not None:
        return event
    body = engine.store.get_blob(blob_name(event.event_id))
    return replace(event, payload=body.decode() if body is not None else "{}")


def newest_first(
    engine: Engine, *, since_ms: int, until_ms: int
) -> Iterator[tuple[Event, tuple[Trigger, ...]]]:
    """The events pushed from `since_ms` to `until_ms`, newest first, read as they are asked for: a query a shard for each day, and more
    for further pages."""
    for day in range(until_ms // table.DAY_MS, since_ms // table.DAY_MS - 1, -1):
        shards = [_of_shard(engine, day, shard, since_ms, until_ms) for shard in range(table.EVENT_SHARDS)]
        for item in heapq.merge(*shards, key=lambda item: str(item["sk"])):
            yield decode_item(item)


def _of_shard(engine: Engine, day: int, shard: int, since_ms: int, until_ms: int) -> Iterator[Item]:
    partition, after, last = (
        table.events_partition(day, shard),
        table.newest_first(until_ms),
        table.newest_first(since_ms) + "~",
    )
    while page := engine.store.query(partition, after=after, limit=PAGE, consistent=False):
        yield from (item for item in page if str(item["sk"]) <= last)
        after = str(page[-1]["sk"])
        if len(page) < PAGE or after > last:
            return


def of_scope(engine: Engine, key: str, scope: str, *, since_ms: int) -> Iterator[Event]:
    """The events of a key and scope since a time, oldest first, as they are now."""
    partition, after = table.scope_partition(key, scope), f"{since_ms - 1:013d}~"
    while page := engine.store.query(partition, after=after, limit=PAGE):
        after = str(page[-1]["sk"])
        found = get_many(engine, [str(item["sk"]).partition("#")[2] for item in page])
        yield from (with_payload(engine, each[0]) for each in found if each is not None)
        if len(page) < PAGE:
            return


def _key(event_id: str) -> Key:
    key = event_key(event_id)
    if key is None:
        raise ValueError(f"{event_id!r} is not the id of an event: it must be a UUID of version 7")
    return key
