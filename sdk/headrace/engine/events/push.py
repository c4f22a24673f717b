"""Push events: each is one message of the stack's `events` queue. It is durable when SQS has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from headrace.core.events.event import Event, blob_name, encode_message
from headrace.core.sizes import check_metadata
from headrace.engine.engine import Engine
from headrace.errors import PayloadTooLargeError, StackNotFound
from headrace.ports import Outgoing

EVENTS_QUEUE = "events"
"""What the engine calls the queue of events."""


def push(engine: Engine, events: Sequence[Event]) -> None:
    """Send the events. PayloadTooLargeError before anything is sent; StackNotFound where the stack has no events queue.

    A payload too large for a message is stored first; one that is stored twice is the same.
    """
    for event in events:
        size = len((event.payload or "").encode())
        if size > engine.limits.payload_bytes:
            raise PayloadTooLargeError(
                f"the payload of event {event.key!r}", size, engine.limits.payload_bytes
            )
        check_metadata(f"event {event.key!r}", event.metadata, engine.limits.metadata_bytes)
    messages = [Outgoing(body=encode_message(_sendable(engine, event))) for event in events]
    try:
        engine.queues.send(EVENTS_QUEUE, messages)
    except StackNotFound as error:
        raise StackNotFound(
            f"{str(error).rstrip('.')}. The stack has a queue for events once one of its workflows has on_events=[...], one of its tasks waits for "
            "events, or one of its workers has event_patterns=[...]: compile and deploy it again"
        ) from error


def _sendable(engine: Engine, event: Event) -> Event:
    """The event as its message carries it."""
    text = event.payload
    if text is None or len(text.encode()) <= engine.limits.message_input_bytes:
        return event
    engine.store.put_blob(blob_name(event.event_id), text.encode())
    return replace(event, payload=None, stored=True)
