"""The Queues port on SQS."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from headrace.aws.clients import Clients
from headrace.aws.faults import translated
from headrace.errors import HeadraceError, PayloadTooLargeError, QueueUnavailable
from headrace.ports import MAX_DELAY_S, MAX_MESSAGE_BYTES, Outgoing, Received

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

BATCH = 10
"""Messages a SendMessageBatch (SQS quotas)."""

PARALLEL = 8
TRIES = 6


class AwsQueues:
    """The stack's queues by the name of their worker. Thread-safe."""

    def __init__(self, clients: Clients, *, stack: str, urls: Mapping[str, str]) -> None:
        self._clients = clients
        self._stack = stack
        self._urls = dict(urls)
        self._lock = threading.Lock()

    def url(self, queue: str) -> str:
        """The queue's URL: told by the settings, else asked for once."""
        with self._lock:
            known = self._urls.get(queue)
        if known is None:
            name = f"{self._stack}-{queue}"
            with translated("queues", f"queue {name}", self._stack):
                known = self._clients.sqs.get_queue_url(QueueName=name)["QueueUrl"]
            with self._lock:
                self._urls[queue] = known
        return known

    def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        for message in messages:
            _check(message)
        if not messages:
            return
        url = self.url(queue)
        if len(messages) == 1:
            self._send_one(url, queue, messages[0])
            return
        batches = _batches(messages)
        if len(batches) == 1:
            self._send_batch(url, queue, batches[0])
            return
        with ThreadPoolExecutor(max_workers=min(PARALLEL, len(batches))) as pool:
            list(pool.map(lambda batch: self._send_batch(url, queue, batch), batches))

    def _send_one(self, url: str, queue: str, message: Outgoing) -> None:
        extra: dict[str, Any] = {}
        if message.delay_s:
            extra["DelaySeconds"] = message.delay_s
        if message.group:
            extra["MessageGroupId"] = message.group
        with translated("queues", f"queue {queue}", self._stack):
            self._clients.sqs.send_message(QueueUrl=url, MessageBody=message.body, **extra)

    def _send_batch(self, url: str, queue: str, batch: Sequence[Outgoing]) -> None:
        """Entries that SQS refuses are sent again; raises if any is left."""
        left = [_entry(number, message) for number, message in enumerate(batch)]
        why = ""
        for attempt in range(TRIES):
            with translated("queues", f"queue {queue}", self._stack):
                answer = self._clients.sqs.send_message_batch(QueueUrl=url, Entries=left)
            failed = {entry["Id"]: entry for entry in answer.get("Failed", [])}
            if not failed:
                return
            why = next(iter(failed.values())).get("Message", "no reason given")
            if any(entry.get("SenderFault") for entry in failed.values()):
                raise HeadraceError(f"queue {queue} takes no such message: {why}")
            left = [entry for entry in left if entry["Id"] in failed]
            time.sleep(0.05 * 2**attempt)
        raise QueueUnavailable(
            f"queue {queue} refused {len(left)} of {len(batch)} messages {TRIES} times: {why}"
        )

    def receive(
        self, queue: str, *, limit: int, wait_s: int, visibility_s: int | None = None
    ) -> list[Received]:
        extra: dict[str, Any] = {} if visibility_s is None else {"VisibilityTimeout": visibility_s}
        url = self.url(queue)
        with translated("queues", f"queue {queue}", self._stack):
            answer = self._clients.sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=min(limit, BATCH),
                WaitTimeSeconds=wait_s,
                MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
                **extra,
            )
        return [_received(queue, message) for message in answer.get("Messages", [])]

    def delete(self, message: Received) -> None:
        with translated("queues", f"queue {message.queue}", self._stack):
            self._clients.sqs.delete_message(QueueUrl=self.url(message.queue), ReceiptHandle=message.receipt)

    def hide(self, message: Received, seconds: int) -> None:
        """A message that has left meanwhile is no error: somebody else holds or has deleted it."""
        try:
            with translated("queues", f"queue {message.queue}", self._stack):
                self._clients.sqs.change_message_visibility(
                    QueueUrl=self.url(message.queue), ReceiptHandle=message.receipt, VisibilityTimeout=seconds
                )
        except (HeadraceError, self._clients.sqs.exceptions.ClientError) as error:
            text = str(error.__cause__ or error)
            if not any(
                code in text
                for code in ("ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue")
            ):
                raise

    def known(self) -> Iterable[str]:
        with self._lock:
            return tuple(self._urls)


def _check(message: Outgoing) -> None:
    if not 0 <= message.delay_s <= MAX_DELAY_S:
        raise HeadraceError(f"a message delay of {message.delay_s} s: SQS takes 0 to {MAX_DELAY_S} s")
    size = len(message.body.encode())
    if size > MAX_MESSAGE_BYTES:
        raise PayloadTooLargeError("a message", size, MAX_MESSAGE_BYTES)


def _batches(messages: Sequence[Outgoing]) -> list[list[Outgoing]]:
    """Groups of at most 10 messages and 1 MiB."""
    out: list[list[Outgoing]] = [[]]
    room = MAX_MESSAGE_BYTES
    for message in messages:
        size = len(message.body.encode())
        if len(out[-1]) == BATCH or size > room:
            out.append([])
            room = MAX_MESSAGE_BYTES
        out[-1].append(message)
        room -= size
    return out


def _entry(number: int, message: Outgoing) -> SendMessageBatchRequestEntryTypeDef:
    entry: SendMessageBatchRequestEntryTypeDef = {"Id": str(number), "MessageBody": message.body}
    if message.delay_s:
        entry["DelaySeconds"] = message.delay_s
    if message.group:
        entry["MessageGroupId"] = message.group
    return entry


def _received(queue: str, message: Mapping[str, Any]) -> Received:
    attributes = message.get("Attributes", {})
    return Received(
        queue=queue,
        body=message["Body"],
        receipt=message["ReceiptHandle"],
        receive_count=int(attributes.get("ApproximateReceiveCount", 1)),
        sent_at_ms=int(attributes.get("SentTimestamp", 0)),
        message_id=message["MessageId"],
    )
