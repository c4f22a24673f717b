"""The ReplyQueues port on SQS."""

from __future__ import annotations

from headrace.aws.faults import MISSING, translated
from headrace.aws.transport import Refusal, Transport

ATTRIBUTES = {"MessageRetentionPeriod": "60", "VisibilityTimeout": "43200"}
"""The shortest retention and the longest invisibility that SQS has: what was received once is never seen again, so it need not be
deleted; what was not received within a minute is gone."""


class AwsReplyQueues:
    """Thread-safe."""

    def __init__(self, transport: Transport, *, stack: str) -> None:
        self._transport = transport
        self._stack = stack

    def make(self, queue: str) -> None:
        name = f"{self._stack}-{queue}"
        with translated("queues", f"queue {name}", self._stack):
            self._transport.call("sqs", "CreateQueue", {"QueueName": name, "Attributes": ATTRIBUTES})

    def remove(self, queue: str) -> None:
        name = f"{self._stack}-{queue}"
        with translated("queues", f"queue {name}", self._stack):
            try:
                url = self._transport.call("sqs", "GetQueueUrl", {"QueueName": name})["QueueUrl"]
                self._transport.call("sqs", "DeleteQueue", {"QueueUrl": url})
            except Refusal as refusal:
                if refusal.code not in MISSING:
                    raise
