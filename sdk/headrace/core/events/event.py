"""An event: what is pushed, the message that carries it, and the item that remembers it."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import field

from headrace.core import table
from headrace.core.changes import Item, Key
from headrace.core.run.plans.plan import Json
from headrace.core.values import dataclass

MAX_KEY_BYTES = 512

HANDLED_WITHIN_MS = 60_000
"""The longest that one delivery works on an event: its function is ended then."""

APART_MS = 5_000
"""The clocks of two machines differ by no more."""


class BadEvent(Exception):
    """The message is no event, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`payload`: JSON text of an object; None where it lies in the store for objects (`stored`). `source`: reserved metadata that
    names the task that pushed it. `webhook`: the name of the webhook that it came in by. `pushed_at_ms`: as its sender's clock has it."""

    event_id: str
    key: str
    pushed_at_ms: int
    payload: str | None = "{}"
    stored: bool = False
    scope: str | None = None
    metadata: Mapping[str, Json] = field(default_factory=dict)
    priority: int | None = None
    source: Mapping[str, Json] = field(default_factory=dict)
    webhook: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Where an event goes on among the tasks that wait for it: past `after` in `partition`. `came_ms`: when it was first handled."""

    partition: str
    after: str
    came_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """One run that an event starts: of `workflow`, by one of its filters where it has any."""

    workflow: str
    filter_id: str | None = None
    payload: Mapping[str, Json] = field(default_factory=dict)


def event_id_at(at_ms: int, entropy: bytes) -> str:
    """A UUID of version 7 (RFC 9562): its first 48 bits are the time, the others come from `entropy`."""
    bits = int.from_bytes(hashlib.sha256(entropy).digest()[:10])
    rest = (7 << 76) | ((bits >> 68) & 0xFFF) << 64 | (0b10 << 62) | (bits & ((1 << 62) - 1))
    return str(uuid.UUID(int=(at_ms & ((1 << 48) - 1)) << 80 | rest))


def time_of(event_id: str) -> int | None:
    """The time in an event's id, in milliseconds; None where it is no UUID of version 7."""
    try:
        found = uuid.UUID(event_id)
    except ValueError:
        return None
    return found.int >> 80 if found.version == 7 else None


def event_key(event_id: str) -> Key | None:
    """Where the event's item is: its id says when it was pushed. None where the id is no event's."""
    at_ms = time_of(event_id)
    return table.event_key(at_ms, event_id) if at_ms is not None else None


def blob_name(event_id: str) -> str:
    return f"events/{event_id}"


def payload_of(event: Event) -> Json:
    """The parsed payload of an event whose text is at hand."""
    found: Json = json.loads(event.payload or "{}")
    return found


# ---------------------------------------------------------------- message and item


def encode_message(event: Event, page: Page | None = None) -> str:
    out: dict[str, Json] = {"event": {"id": event.event_id, **_fields(event)}}
    if page is not None:
        out["page"] = [page.partition, page.after, page.came_ms]
    return json.dumps(out, separators=(",", ":"), ensure_ascii=False)


def decode_message(raw: Mapping[str, Json]) -> tuple[Event, Page | None]:
    """What `encode_message` wrote, parsed. BadEvent, with the reason, where it is something else."""
    try:
        body, page = raw["event"], raw.get("page")
        if not isinstance(body, dict) or (page is not None and not isinstance(page, list)):
            raise BadEvent("`event` must be an object")
        event = _event(str(body["id"]), body)
        if event_key(event.event_id) is None:
            raise BadEvent(f"the event's id is {event.event_id!r}: it must be a UUID of version 7")
        return event, _page(page) if page else None
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BadEvent(f"the body is not an event: {type(error).__name__}: {error}") from error


def short(event_id: str) -> str:
    """An event's name among the few that one task has had."""
    return event_id[-8:]


def _page(raw: Sequence[Json]) -> Page:
    """Older versions say nothing of when the event came."""
    came_ms = raw[2] if len(raw) > 2 else None
    return Page(
        partition=str(raw[0]), after=str(raw[1]), came_ms=int(str(came_ms)) if came_ms is not None else None
    )


def encode_item(event: Event, triggers: tuple[Trigger, ...], *, expires_at_s: int) -> Item:
    """The event's item. The runs that it starts stand in it before the first is started: a second delivery starts no others."""
    out: Item = {name: _text(value) for name, value in _fields(event).items()}
    out["at"] = event.pushed_at_ms
    out["expires_at"] = expires_at_s
    if triggers:
        out["runs"] = _text([[each.workflow, each.filter_id, dict(each.payload)] for each in triggers])
    return out


def decode_item(item: Item) -> tuple[Event, tuple[Trigger, ...]]:
    fields = {name: json.loads(str(item[name])) for name in _NAMES if name in item and name != "at"}
    event = _event(str(item["sk"]).partition("#")[2], {**fields, "at": item["at"]})
    rows = json.loads(str(item.get("runs", "[]")))
    return event, tuple(Trigger(workflow=w, filter_id=f, payload=p) for w, f, p in rows)


_NAMES = ("key", "at", "payload", "stored", "scope", "meta", "prio", "source", "hook")


def _fields(event: Event) -> dict[str, Json]:
    values: tuple[Json, ...] = (
        event.key,
        event.pushed_at_ms,
        event.payload,
        event.stored or None,
        event.scope,
        dict(event.metadata) or None,
        event.priority,
        dict(event.source) or None,
        event.webhook,
    )
    return {name: value for name, value in zip(_NAMES, values, strict=True) if value is not None}


def _event(event_id: str, raw: Mapping[str, object]) -> Event:
    scope, priority, payload, webhook = raw.get("scope"), raw.get("prio"), raw.get("payload"), raw.get("hook")
    metadata, source = raw.get("meta", {}), raw.get("source", {})
    if not isinstance(metadata, Mapping) or not isinstance(source, Mapping):
        raise BadEvent("the event's metadata must be an object")
    return Event(
        event_id=event_id,
        key=str(raw["key"]),
        pushed_at_ms=int(str(raw["at"])),
        payload=str(payload) if payload is not None else None,
        stored=bool(raw.get("stored", False)),
        scope=str(scope) if scope is not None else None,
        metadata=dict(metadata),
        priority=int(str(priority)) if priority is not None else None,
        source=dict(source),
        webhook=str(webhook) if webhook is not None else None,
    )


def _text(value: Json) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
