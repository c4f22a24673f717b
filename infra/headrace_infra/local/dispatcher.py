"""Delivery as the event source mapping does it: batches to the real handlers, partial failures, no delete without success."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from headrace.errors import HeadraceError
from headrace.ports import NEXT, Queues, Received

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]
IDLE_PAUSE_S = 0.004
PAUSE_GROWTH = 1.02
"""What the pause grows by after each round that found nothing, up to the longest one: an emulator that is asked all the time heats the machine."""

FAILED_PAUSE_S = 1.0
logger = logging.getLogger("headrace.local")


@dataclass(frozen=True, slots=True)
class LambdaContext:
    """What a handler may ask about its invocation."""

    function_name: str
    timeout_s: int
    memory_limit_in_mb: int = 512
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    started: float = field(default_factory=monotonic)

    @property
    def invoked_function_arn(self) -> str:
        return f"arn:aws:lambda:us-east-1:123456789012:function:{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        return int((self.timeout_s - (monotonic() - self.started)) * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A queue and the function that it feeds."""

    queue: str
    handler: Handler
    batch_size: int
    timeout_s: int
    visibility_s: int | None = None
    """How long what is received is hidden, in seconds; None: the queue's own."""


def event_of(batch: list[Received], region: str) -> dict[str, Any]:
    """The event that Lambda would get for these messages."""
    return {
        "Records": [
            {
                "messageId": message.message_id,
                "receiptHandle": message.receipt,
                "body": message.body,
                "attributes": {
                    "ApproximateReceiveCount": str(message.receive_count),
                    "SentTimestamp": str(message.sent_at_ms),
                    "SenderId": "local",
                    "ApproximateFirstReceiveTimestamp": str(message.first_received_at_ms),
                },
                "messageAttributes": {},
                "md5OfBody": "",
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:{region}:123456789012:{message.queue}",
                "awsRegion": region,
            }
            for message in batch
        ]
    }


class Dispatcher:
    """Receives for all targets and invokes their handlers: on threads of its own, or on the caller's."""

    def __init__(
        self,
        queues: Queues,
        targets: Mapping[str, Target],
        *,
        region: str,
        concurrency: int,
        on_invocation: Callable[[str, float], None] | None = None,
        has_messages: Callable[[str], bool] = lambda queue: True,
        idle_pause_s: float = IDLE_PAUSE_S,
        longest_pause_s: float | None = None,
    ) -> None:
        self._idle_pause_s = self._pause_s = idle_pause_s
        self._longest_pause_s = idle_pause_s if longest_pause_s is None else longest_pause_s
        self._has_messages = has_messages
        self._queues = queues
        self._targets = targets
        self._region = region
        self._pool = ThreadPoolExecutor(max_workers=concurrency, thread_name_prefix="headrace-lambda")
        self._free = threading.Semaphore(concurrency)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._busy = 0
        self.invocations = 0
        self._thread: threading.Thread | None = None
        self._on_invocation = on_invocation

    def start(self) -> None:
        """Deliver in the background until `stop`."""
        self._thread = threading.Thread(target=self._run, name="headrace-dispatcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def running(self) -> bool:
        return self._thread is not None

    def is_busy(self) -> bool:
        with self._lock:
            return self._busy > 0

    def _run(self) -> None:
        while not self._stop.is_set():
            if self._round():
                self._pause_s = self._idle_pause_s
            else:
                self._stop.wait(self._pause_s)
                self._pause_s = min(self._pause_s * PAUSE_GROWTH, self._longest_pause_s)

    def _round(self) -> bool:
        """Receive once for each target that a thread is free for. False: there was nothing."""
        found = False
        for target in self._targets.values():
            if not self._free.acquire(timeout=0.05):
                return True
            with self._lock:
                self._busy += 1
            batch = self._receive(target) if self._has_messages(target.queue) else []
            if not batch:
                self._done()
                continue
            found = True
            self._pool.submit(self._invoke_and_free, target, batch)
        return found

    def _receive(self, target: Target) -> list[Received]:
        """What is there. A queue that does not answer, or is gone, costs a warning and a pause: the others are delivered."""
        try:
            return self._received(target)
        except HeadraceError as error:
            if not self.running:
                raise
            logger.warning("queue %s: %s", target.queue, error)
            self._stop.wait(FAILED_PAUSE_S)
            return []

    def _received(self, target: Target) -> list[Received]:
        return self._queues.receive(
            target.queue, limit=target.batch_size, wait_s=0, visibility_s=target.visibility_s
        )

    def _done(self) -> None:
        with self._lock:
            self._busy -= 1
        self._free.release()

    def _invoke_and_free(self, target: Target, batch: list[Received]) -> None:
        try:
            self.invoke(target, batch)
        finally:
            self._done()

    def deliver_one(self) -> bool:
        """Receive and handle one batch on the calling thread. False: no message is visible."""
        for target in self._targets.values():
            if not self._has_messages(target.queue):
                continue
            batch = self._receive(target)
            if batch:
                self.invoke(target, batch)
                return True
        return False

    def invoke(self, target: Target, batch: list[Received]) -> None:
        """One invocation; what it does not report as failed is deleted. If it raises, the whole batch stays."""
        with self._lock:
            self.invocations += 1
        context = LambdaContext(target.queue.removesuffix(NEXT), target.timeout_s)
        try:
            answer = target.handler(event_of(batch, self._region), context)
        except KeyboardInterrupt:
            raise
        except BaseException:  # whatever ends an invocation: Lambda would end the process
            logger.exception("an invocation of worker %s crashed; its messages come back", target.queue)
            return
        failed = {each["itemIdentifier"] for each in answer.get("batchItemFailures", [])}
        if self._on_invocation is not None:
            self._on_invocation(target.queue.removesuffix(NEXT), monotonic() - context.started)
        for message in batch:
            if message.message_id not in failed:
                self._queues.delete(message)
