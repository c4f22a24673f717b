"""SQS's records in a Lambda event, as the engine receives messages."""

from __future__ import annotations

from typing import Any

from headrace.ports import NEXT, Received


def queue_of(record: dict[str, Any], worker: str) -> str:
    """Which of the worker's two queues a record came from."""
    return worker + NEXT if record.get("eventSourceARN", "").endswith(f"{worker}{NEXT}") else worker


def received(record: dict[str, Any], queue: str) -> Received:
    """One record of an SQS event."""
    attributes = record.get("attributes", {})
    return Received(
        queue=queue,
        body=record["body"],
        receipt=record["receiptHandle"],
        receive_count=int(attributes.get("ApproximateReceiveCount", 1)),
        sent_at_ms=int(attributes.get("SentTimestamp", 0)),
        message_id=record["messageId"],
        first_received_at_ms=int(attributes.get("ApproximateFirstReceiveTimestamp", 0)),
        source=attributes.get("DeadLetterQueueSourceArn", "").rpartition(":")[2] or None,
    )
