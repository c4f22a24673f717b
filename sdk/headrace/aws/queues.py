"""The Queues port on SQS."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from headrace.aws.faults import is_throttle, translated
from headrace.aws.transport import Refusal, Transport
from headrace.core.run.replies import PREFIX
from headrace.errors import HeadraceError, PayloadTooLargeError, QueueUnavailable
from headrace.ports import MAX_DELAY_S, MAX_MESSAGE_BYTES, Outgoing, Received

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef as Entry

BATCH = 10
"""Messages a SendMessageBatch (SQS quotas)."""

ATTRIBUTES = ("ApproximateReceiveCount", "SentTimestamp", "ApproximateFirstReceiveTimestamp")
"""What is asked for with each message."""

MAX_HIDDEN_S = 43_200
"""The longest visibility timeout, in seconds (SQS quotas: 12 hours)."""

PARALLEL = 8
TRIES = 6

GONE = frozenset(
    {
        "ReceiptHandleIsInvalid",
        "AWS.SimpleQueueService.ReceiptHandleIsInvalid",
        "MessageNotInflight",
        "AWS.SimpleQueueService.MessageNotInflight",
        "InvalidParameterValue",
    }
)
"""What SQS says of a delivery that is over: deleted, visible again, received by another, or past its 12 hours."""

_GROUP = re.compile(r"[!-~]{1,128}")
_NOT_XML = re.compile("[\ud800-\udfff\ufffe\uffff]")


class AwsQueues:
    """The stack's queues by the name of their worker. Thread-safe."""

    def __init__(
        self,
        transport: Transport,
        *,
        stack: str,
        urls: Mapping[str, str],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._transport = transport
        self._stack = stack
        self._urls = dict(urls)
        self._lock = threading.Lock()
        self._pause = pause

    def _call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        return self._transport.call("sqs", operation, request)

    def url(self, queue: str) -> str:
        """The queue's URL: told by the settings, else asked for once."""
        with self._lock:
            known = self._urls.get(queue)
        if known is None and queue.startswith(PREFIX):
            known = self._url_of_reply_queue(queue)
        if known is None:
            name = f"{self._stack}-{queue}"
            with translated("queues", f"queue {name}", self._stack):
                known = str(self._call("GetQueueUrl", {"QueueName": name})["QueueUrl"])
            if not queue.startswith(PREFIX):
                with self._lock:
                    self._urls[queue] = known
        return known

    def _url_of_reply_queue(self, queue: str) -> str | None:
        """As the URL of another queue of the stack has it: they come and go, so none is asked for or remembered."""
        with self._lock:
            for name, url in self._urls.items():
                place, _, last = url.rpartition("/")
                if last == f"{self._stack}-{name}":
                    return f"{place}/{self._stack}-{queue}"
        return None

    def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        entries = [_entry(number, message) for number, message in enumerate(messages)]
        if not entries:
            return
        url = self.url(queue)
        if len(entries) == 1:
            self._send_one(url, queue, entries[0])
            return
        batches = _batches(entries)
        if len(batches) == 1:
            self._send_batch(url, queue, batches[0])
            return
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(max_workers=min(PARALLEL, len(batches))) as pool:
            list(pool.map(lambda batch: self._send_batch(url, queue, batch), batches))

    def _send_one(self, url: str, queue: str, entry: Entry) -> None:
        message: Any = {name: value for name, value in entry.items() if name != "Id"}
        with translated("queues", f"queue {queue}", self._stack):
            self._call("SendMessage", {"QueueUrl": url, **message})

    def _send_batch(self, url: str, queue: str, batch: Sequence[Entry]) -> None:
        """Entries that SQS refuses are sent again; raises if any is left."""
        left = list(batch)
        why = ""
        for attempt in range(TRIES):
            with translated("queues", f"queue {queue}", self._stack):
                answer = self._call("SendMessageBatch", {"QueueUrl": url, "Entries": left})
            failed = {entry["Id"]: entry for entry in answer.get("Failed", [])}
            if not failed:
                return
            why = next(iter(failed.values())).get("Message", "no reason given")
            if any(entry["SenderFault"] and not is_throttle(entry["Code"]) for entry in failed.values()):
                raise HeadraceError(f"SQS rejected the message for queue {queue}: {why}")
            left = [entry for entry in left if entry["Id"] in failed]
            if attempt + 1 < TRIES:
                self._pause(0.05 * 2**attempt)
        raise QueueUnavailable(
            f"queue {queue} refused {len(left)} of {len(batch)} messages {TRIES} times: {why}"
        )

    def receive(
        self, queue: str, *, limit: int, wait_s: int, visibility_s: int | None = None
    ) -> list[Received]:
        extra: dict[str, Any] = {} if visibility_s is None else {"VisibilityTimeout": visibility_s}
        url = self.url(queue)
        with translated("queues", f"queue {queue}", self._stack):
            request = {
                "QueueUrl": url,
                "MaxNumberOfMessages": min(limit, BATCH),
                "WaitTimeSeconds": wait_s,
                "MessageSystemAttributeNames": list(ATTRIBUTES),
            }
            answer = self._call("ReceiveMessage", request | extra)
        return [_received(queue, message) for message in answer.get("Messages", [])]

    def delete(self, message: Received) -> None:
        """A message that has left meanwhile is no error."""
        with translated("queues", f"queue {message.queue}", self._stack), _gone_is_fine():
            self._call(
                "DeleteMessage", {"QueueUrl": self.url(message.queue), "ReceiptHandle": message.receipt}
            )

    def delete_many(self, messages: Sequence[Received]) -> None:
        """Messages that have left meanwhile are no error."""
        by_queue: dict[str, list[Received]] = {}
        for message in messages:
            by_queue.setdefault(message.queue, []).append(message)
        for queue, group in by_queue.items():
            for first in range(0, len(group), BATCH):
                self._delete_batch(queue, group[first : first + BATCH])

    def _delete_batch(self, queue: str, batch: Sequence[Received]) -> None:
        if len(batch) == 1:
            self.delete(batch[0])
            return
        left = [{"Id": str(number), "ReceiptHandle": each.receipt} for number, each in enumerate(batch)]
        why = ""
        for attempt in range(TRIES):
            with translated("queues", f"queue {queue}", self._stack):
                answer = self._call("DeleteMessageBatch", {"QueueUrl": self.url(queue), "Entries": left})
            failed = {
                entry["Id"]: entry for entry in answer.get("Failed", []) if entry.get("Code") not in GONE
            }
            if not failed:
                return
            why = next(iter(failed.values())).get("Message", "no reason given")
            left = [entry for entry in left if entry["Id"] in failed]
            if attempt + 1 < TRIES:
                self._pause(0.05 * 2**attempt)
        raise QueueUnavailable(f"queue {queue} deleted all but {len(left)} of {len(batch)} messages: {why}")

    def hide(self, message: Received, seconds: int) -> None:
        """A message that has left meanwhile is no error: another process holds it or has deleted it."""
        if not 0 <= seconds <= MAX_HIDDEN_S:
            raise HeadraceError(f"a visibility timeout of {seconds} s: SQS takes 0 to {MAX_HIDDEN_S} s")
        with translated("queues", f"queue {message.queue}", self._stack), _gone_is_fine():
            request = {
                "QueueUrl": self.url(message.queue),
                "ReceiptHandle": message.receipt,
                "VisibilityTimeout": seconds,
            }
            self._call("ChangeMessageVisibility", request)

    def known(self) -> Iterable[str]:
        with self._lock:
            return tuple(self._urls)


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    try:
        yield
    except Refusal as refusal:
        if refusal.code not in GONE:
            raise


def _size(entry: Entry) -> int:
    return len(entry["MessageBody"].encode())


def _batches(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Groups of at most 10 messages and 1 MiB."""
    out: list[list[Entry]] = [[]]
    room = MAX_MESSAGE_BYTES
    for entry in entries:
        size = _size(entry)
        if len(out[-1]) == BATCH or size > room:
            out.append([])
            room = MAX_MESSAGE_BYTES
        out[-1].append(entry)
        room -= size
    return out


def _entry(number: int, message: Outgoing) -> Entry:
    """A message as an entry of a batch; refuses what SQS would refuse."""
    if not 0 <= message.delay_s <= MAX_DELAY_S:
        raise HeadraceError(f"a message delay of {message.delay_s} s: SQS takes 0 to {MAX_DELAY_S} s")
    entry: Entry = {"Id": str(number), "MessageBody": _NOT_XML.sub(_escaped, message.body)}
    if (size := _size(entry)) > MAX_MESSAGE_BYTES:
        raise PayloadTooLargeError("a message", size, MAX_MESSAGE_BYTES)
    if message.delay_s:
        entry["DelaySeconds"] = message.delay_s
    if message.group:
        entry["MessageGroupId"] = _group(message.group)
    return entry


def _escaped(found: re.Match[str]) -> str:
    """As JSON escapes it: bodies are JSON, and SQS takes no character that XML does not have."""
    return f"\\u{ord(found.group()):04x}"


def _group(key: str) -> str:
    """The key itself, or its hash where SQS takes no such group id (up to 128 printable ASCII characters, no space)."""
    return key if _GROUP.fullmatch(key) else sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _received(queue: str, message: Mapping[str, Any]) -> Received:
    attributes = message.get("Attributes", {})
    return Received(
        queue=queue,
        body=message["Body"],
        receipt=message["ReceiptHandle"],
        receive_count=int(attributes.get("ApproximateReceiveCount", 1)),
        sent_at_ms=int(attributes.get("SentTimestamp", 0)),
        message_id=message["MessageId"],
        first_received_at_ms=int(attributes.get("ApproximateFirstReceiveTimestamp", 0)),
    )
