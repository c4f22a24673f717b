"""Queues in memory: at least once, with delays, visibility, receive counts and redrive, all on the clock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field
from itertools import count

from headrace.core.run.replies import PREFIX
from headrace.core.values import dataclass
from headrace.errors import HeadraceError, PayloadTooLargeError, StackNotFound
from headrace.memory.faults import Faults, NoFaults
from headrace.ports import MAX_DELAY_S, MAX_MESSAGE_BYTES, Clock, Outgoing, Received

DEAD_LETTERS = "dead-letters"

MAX_HIDDEN_S = 43_200
"""The longest visibility timeout, in seconds (SQS quotas: 12 hours)."""

MOST_RECEIVED = 10
"""Messages a ReceiveMessage brings at most (SQS API reference)."""


@dataclass(slots=True)
class _Message:
    number: int
    body: str
    sent_at_ms: int
    visible_at_ms: int
    receive_count: int = 0
    receipt: str = ""
    first_received_at_ms: int = 0
    source: str | None = None


@dataclass(slots=True)
class _Queue:
    messages: dict[int, _Message] = field(default_factory=dict)


class MemoryQueues:
    """`visibility_s` is each queue's default; after `max_receive_count` deliveries a message goes to the dead letters.

    old_receipt_deletes: whether a delete by the receipt of an earlier delivery removes the message all the same. SQS leaves that open (API
    reference, DeleteMessage).
    """

    def __init__(
        self,
        clock: Clock,
        *,
        visibility_s: int = 60,
        max_receive_count: int = 12,
        faults: Faults | None = None,
        old_receipt_deletes: Callable[[], bool] = lambda: False,
    ) -> None:
        self._clock = clock
        self._queues: dict[str, _Queue] = {}
        self._numbers = count(1)
        self._lock = threading.RLock()
        self.visibility_s = visibility_s
        self.max_receive_count = max_receive_count
        self.faults: Faults = faults or NoFaults()
        self._old_receipt_deletes = old_receipt_deletes
        self.only: frozenset[str] | None = None
        """The queues that there are; None: any that is sent to."""

    def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        made = queue in self._queues if queue.startswith(PREFIX) else self.only is None or queue in self.only
        if not made:
            raise StackNotFound(f"the stack has no queue {queue!r}")
        for message in messages:
            if not 0 <= message.delay_s <= MAX_DELAY_S:
                raise HeadraceError(f"a delay of {message.delay_s} s: SQS takes 0 to {MAX_DELAY_S}")
            size = len(message.body.encode())
            if size > MAX_MESSAGE_BYTES:
                raise PayloadTooLargeError("a message", size, MAX_MESSAGE_BYTES)
        self.faults.before("queues", "send")
        now_ms = self._clock.now_ms()
        with self._lock:
            rows = self._rows(queue)
            for message in messages:
                number = next(self._numbers)
                rows[number] = _Message(number, message.body, now_ms, now_ms + message.delay_s * 1000)
        self.faults.after("queues", "send")

    def receive(
        self, queue: str, *, limit: int, wait_s: int, visibility_s: int | None = None
    ) -> list[Received]:
        """Up to 10 that are visible now. `wait_s` is ignored: virtual time does not pass by itself."""
        self.faults.before("queues", "receive")
        now_ms = self._clock.now_ms()
        out: list[Received] = []
        with self._lock:
            rows = self._rows(queue)
            for message in _visible(rows, now_ms):
                if len(out) == min(limit, MOST_RECEIVED):
                    break
                if queue != DEAD_LETTERS and message.receive_count >= self.max_receive_count:
                    self._redrive(queue, rows, message, now_ms)
                    continue
                message.receive_count += 1
                message.first_received_at_ms = message.first_received_at_ms or now_ms
                message.receipt = f"{message.number}.{message.receive_count}"
                hidden_s = self.visibility_s if visibility_s is None else visibility_s
                message.visible_at_ms = now_ms + hidden_s * 1000
                out.append(_received(queue, message))
        self.faults.after("queues", "receive")
        return out

    def _redrive(self, queue: str, rows: dict[int, _Message], message: _Message, now_ms: int) -> None:
        del rows[message.number]
        message.source = queue
        message.receive_count, message.visible_at_ms = 0, now_ms
        self._rows(DEAD_LETTERS)[message.number] = message

    def _rows(self, queue: str) -> dict[int, _Message]:
        found = self._queues.get(queue)
        if found is None:
            found = self._queues[queue] = _Queue()
        return found.messages

    def delete(self, message: Received) -> None:
        self.faults.before("queues", "delete")
        with self._lock:
            rows = self._rows(message.queue)
            number = int(message.receipt.split(".")[0])
            found = rows.get(number)
            if found is not None and (found.receipt == message.receipt or self._old_receipt_deletes()):
                del rows[number]
        self.faults.after("queues", "delete")

    def delete_many(self, messages: Sequence[Received]) -> None:
        for message in messages:
            self.delete(message)

    def hide(self, message: Received, seconds: int) -> None:
        """Without effect once the message is visible again: SQS changes only what is in flight."""
        if not 0 <= seconds <= MAX_HIDDEN_S:
            raise HeadraceError(f"a visibility timeout of {seconds} s: SQS takes 0 to {MAX_HIDDEN_S}")
        self.faults.before("queues", "hide")
        with self._lock:
            found = self._rows(message.queue).get(int(message.receipt.split(".")[0]))
            now_ms = self._clock.now_ms()
            if found is not None and found.receipt == message.receipt and found.visible_at_ms > now_ms:
                found.visible_at_ms = now_ms + seconds * 1000
        self.faults.after("queues", "hide")

    def known(self) -> Iterable[str]:
        return tuple(name for name in self._queues if name != DEAD_LETTERS and not name.startswith(PREFIX))

    # ---- reply queues

    def make(self, queue: str) -> None:
        self.faults.before("replies", "make")
        with self._lock:
            self._queues.setdefault(queue, _Queue())
        self.faults.after("replies", "make")

    def remove(self, queue: str) -> None:
        self.faults.before("replies", "remove")
        with self._lock:
            self._queues.pop(queue, None)
        self.faults.after("replies", "remove")

    # ---- for tests and the simulation

    def next_visible_ms(
        self, waited_for: Callable[[str], bool] | None = None, *, visible_too: bool = True
    ) -> int | None:
        """When the next message, of any queue, can be received; None: there is no message.

        Of those that are not due yet, only what is `waited_for` counts, by its body; with visible_too=False of all.
        """
        now_ms = self._clock.now_ms()
        with self._lock:
            messages = [m for q in self._queues.values() for m in q.messages.values()]
        if waited_for is None:
            return min([m.visible_at_ms for m in messages], default=None)
        times = [
            m.visible_at_ms
            for m in messages
            if (visible_too and m.visible_at_ms <= now_ms) or waited_for(m.body)
        ]
        return min(times, default=None)

    def depth(self, queue: str | None = None) -> int:
        """Messages held, visible or not: of one queue or of all."""
        with self._lock:
            names = [queue] if queue is not None else list(self._queues)
            return sum(len(self._queues[name].messages) for name in names if name in self._queues)

    def bodies(self, queue: str) -> list[str]:
        """The bodies in a queue, oldest first."""
        with self._lock:
            return [m.body for m in self._queues.get(queue, _Queue()).messages.values()]


def _visible(rows: dict[int, _Message], now_ms: int) -> list[_Message]:
    """The messages that can be received, oldest first."""
    found = [message for message in rows.values() if message.visible_at_ms <= now_ms]
    if len(found) > 1:
        found.sort(key=lambda message: message.number)
    return found


def _received(queue: str, message: _Message) -> Received:
    return Received(
        queue=queue,
        body=message.body,
        receipt=message.receipt,
        receive_count=message.receive_count,
        sent_at_ms=message.sent_at_ms,
        message_id=str(message.number),
        first_received_at_ms=message.first_received_at_ms,
        source=message.source,
    )
