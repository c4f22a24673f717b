"""What a worker process has received and not begun, and what it has done and not deleted.

Receiving ahead hides the time of a receive behind the tasks before it, so it is worth it only where tasks are short: how many
messages are fetched ahead follows from how long deliveries have lately taken. A message that waits here anyway (a task became
slow) goes back to its queue, for another process.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING

from headrace.errors import HeadraceError

if TYPE_CHECKING:
    from headrace.ports import Queues, Received

logger = logging.getLogger("headrace.worker")

MOST_RECEIVED = 10
"""Messages a ReceiveMessage and a DeleteMessageBatch (SQS quotas)."""

AHEAD_S = 0.25
"""The time that a message received ahead may be expected to wait for a slot."""

WAITED_S = 10.0
"""A message that has waited this long goes back. A fraction of the visibility timeout that it was received with."""

DELETE_AFTER_S = 0.1
"""How long the first message of a batch to delete waits for others."""

WEIGHT = 0.2
"""Of the latest delivery in the moving average of their times."""


class Intake:
    """Messages between the thread that receives and the slots. Thread-safe."""

    def __init__(self, slots: int, *, now_s: Callable[[], float] = monotonic) -> None:
        self._slots = slots
        self._now_s = now_s
        self._waiting: deque[tuple[float, Received]] = deque()
        self._busy = 0
        self._average_s: float | None = None
        self._closed = False
        lock = threading.Lock()
        self._arrived, self._freed = threading.Condition(lock), threading.Condition(lock)

    def _ahead(self) -> int:
        """How many messages may wait for a slot: none before the first delivery has shown how long one takes."""
        if self._average_s is None:
            return 0
        return min(MOST_RECEIVED, int(self._slots * AHEAD_S / max(self._average_s, 1e-6)))

    def _room(self) -> int:
        """How many messages to ask for: 0 until a receive is worth its request."""
        ahead = self._ahead()
        room = self._slots + ahead - self._busy - len(self._waiting)
        return min(MOST_RECEIVED, room) if room >= max(1, ahead) else 0

    def wait_for_room(self, timeout_s: float) -> int:
        """How many messages to ask for now; 0 where there is no room within the time, or the intake is closed."""
        with self._freed:
            self._freed.wait_for(lambda: self._closed or self._room() > 0, timeout_s)
            return 0 if self._closed else self._room()

    def put(self, messages: Sequence[Received], *, first: bool = False) -> list[Received]:
        """Hand them to the slots, `first` before all that wait. Those that come too late, as the intake is closed, are returned."""
        with self._arrived:
            if self._closed:
                return list(messages)
            arrived = [(self._now_s(), message) for message in messages]
            if first:
                self._waiting.extendleft(reversed(arrived))
            else:
                self._waiting.extend(arrived)
            self._arrived.notify(len(arrived))
        return []

    def take(self) -> Received | None:
        """A slot's next message, when there is one; None once the intake is closed."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._closed or self._waiting)
            if self._closed:
                return None
            self._busy += 1
            return self._waiting.popleft()[1]

    def done(self, took_s: float) -> None:
        """A slot is free again; its delivery took so long."""
        with self._freed:
            self._busy -= 1
            before = self._average_s
            self._average_s = took_s if before is None else before + WEIGHT * (took_s - before)
            if self._room() > 0:
                self._freed.notify_all()

    def overdue(self) -> list[Received]:
        """Take out what has waited too long."""
        with self._freed:
            latest_s = self._now_s() - WAITED_S
            out = [message for since_s, message in self._waiting if since_s <= latest_s]
            if out:
                self._waiting = deque(each for each in self._waiting if each[0] > latest_s)
        return out

    def close(self) -> list[Received]:
        """Let no slot begin another message; what waited."""
        with self._freed:
            self._closed = True
            left = [message for _, message in self._waiting]
            self._waiting.clear()
            self._arrived.notify_all()
            self._freed.notify_all()
        return left


class Deleter:
    """Deletes messages in batches, from a thread of its own, woken by the first message of a batch and by the last.
    A message that is not deleted is delivered again, to no effect."""

    def __init__(self, queues: Queues) -> None:
        self._queues = queues
        self._done: deque[Received] = deque()
        self._begun, self._full = threading.Event(), threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="headrace-deleter", daemon=True)
        self._thread.start()

    def add(self, message: Received) -> None:
        self._done.append(message)
        waiting = len(self._done)
        if waiting >= MOST_RECEIVED:
            self._full.set()
        if not self._begun.is_set():
            self._begun.set()

    def close(self) -> None:
        """Delete what is left, then return."""
        self._closing = True
        self._full.set()
        self._begun.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._begun.wait()
            full = self._full.wait(DELETE_AFTER_S)
            ended = self._closing  # before the look: what is added until then is deleted
            self._full.clear()
            self._begun.clear()
            while len(self._done) >= MOST_RECEIVED or (self._done and (ended or not full)):
                self._delete([self._done.popleft() for _ in range(min(MOST_RECEIVED, len(self._done)))])
            if self._done:
                self._begun.set()  # the first of another batch
            if ended:
                return

    def _delete(self, batch: Sequence[Received]) -> None:
        try:
            self._queues.delete_many(batch)
        except HeadraceError as error:
            logger.warning("%d messages are not deleted and will be delivered again: %s", len(batch), error)


def give_back(queues: Queues, messages: Sequence[Received]) -> None:
    """Let other processes have them at once. Those that cannot be given back appear when their visibility timeout ends."""
    for message in messages:
        try:
            queues.hide(message, 0)
        except HeadraceError as error:
            logger.warning("a message that was not begun appears later: %s", error)
