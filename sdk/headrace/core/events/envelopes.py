"""What a message of the events queue holds: an event of ours, EventBridge's envelope, or S3's notification. Pure.

An event of AWS has the key `<source>:<detail-type>` and the payload `detail`. Its id follows from the envelope, so that one that
AWS delivers twice is one event.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from headrace.core.events.event import BadEvent, Event, Page, decode_message, event_id_at
from headrace.core.run.plans.plan import Json

S3_TEST = "s3:TestEvent"
"""S3 sends it when a notification is set up."""


def events_of(body: str, namespaced: Callable[[str], str], *, now_ms: int) -> list[tuple[Event, Page | None]]:
    """The events of a message, and where each is to go on. BadEvent where it holds none of ours and none of AWS.

    `namespaced`: puts the namespace in front of a key, as code that pushes an event does.
    """
    try:
        raw = json.loads(body)
    except ValueError as error:
        raise BadEvent(f"the body is not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise BadEvent(f"the body is a JSON {type(raw).__name__}, not an object")
    if "event" in raw:
        return [decode_message(raw)]
    if "detail-type" in raw and "source" in raw:
        return [(_bridged(raw, namespaced, now_ms), None)]
    if raw.get("Event") == S3_TEST:
        return []
    records = raw.get("Records")
    if isinstance(records, list) and all(_is_s3(each) for each in records):
        return [(_stored(each, namespaced, now_ms), None) for each in records]
    raise BadEvent("the body is not an event of Headrace, EventBridge or S3")


def _bridged(raw: Mapping[str, Json], namespaced: Callable[[str], str], now_ms: int) -> Event:
    """EventBridge's envelope (EventBridge user guide, "Event structure")."""
    detail = raw.get("detail")
    at_ms = _time(raw.get("time"), now_ms)
    identity = f"{raw.get('source')}/{raw.get('id')}" if raw.get("id") else json.dumps(raw, sort_keys=True)
    metadata = {f"aws_{name}": raw[name] for name in ("account", "region", "id") if raw.get(name)}
    return Event(
        event_id=event_id_at(at_ms, identity.encode()),
        key=namespaced(f"{raw['source']}:{raw['detail-type']}"),
        payload=_text(detail if isinstance(detail, dict) else {"detail": detail}),
        pushed_at_ms=at_ms,
        metadata=metadata,
    )


def _is_s3(record: Json) -> bool:
    return isinstance(record, dict) and record.get("eventSource") == "aws:s3" and "eventName" in record


def _stored(record: Json, namespaced: Callable[[str], str], now_ms: int) -> Event:
    """A record of S3's notification (S3 user guide, "Event message structure"): the key is `aws.s3:<eventName>`."""
    if not isinstance(record, dict):
        raise BadEvent("a record of the notification is not an object")
    s3 = record.get("s3")
    at_ms = _time(record.get("eventTime"), now_ms)
    identity = json.dumps([record.get("eventName"), record.get("eventTime"), s3], sort_keys=True)
    return Event(
        event_id=event_id_at(at_ms, identity.encode()),
        key=namespaced(f"aws.s3:{record['eventName']}"),
        payload=_text(s3 if isinstance(s3, dict) else {"s3": s3}),
        pushed_at_ms=at_ms,
        metadata={"aws_region": record["awsRegion"]} if record.get("awsRegion") else {},
    )


def _time(given: Json, now_ms: int) -> int:
    """An ISO time in milliseconds; the present one where none is given."""
    try:
        found = datetime.fromisoformat(str(given))
    except ValueError:
        return now_ms
    return int((found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp() * 1000)


def _text(value: Json) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
