"""The long polls of a worker process: one thread for each of its queues, into the intake of its slots."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from headrace.errors import HeadraceError, QueueUnavailable
from headrace.runtime.slots.intake import give_back

if TYPE_CHECKING:
    from headrace.ports import Queues, Received
    from headrace.runtime.slots.intake import Intake

logger = logging.getLogger("headrace.worker")

LONG_POLL_S = 10
POLL_ENDS_WITHIN_S = LONG_POLL_S + 5

GIVE_WAY_S = 0.05
"""How long the queue of new runs is left alone while the other has more."""

WITHOUT_NEXT_S = 60
"""How long a queue of started runs that cannot be polled is left alone: an older stack has none."""

VISIBILITY_S = 60
"""How long a message is hidden when it is received; the heartbeat keeps it hidden while its task runs."""


class Polls:
    """Receives while the intake has room. A receive blocks for its long poll, so each queue has a thread.

    `queue` brings new runs; `next_queue`, where the stack has one, what goes on with runs that have started, and it comes first.
    `stopping` ends all of them, and is set when one of them has ended.
    """

    def __init__(
        self, queues: Queues, intake: Intake, stopping: threading.Event, *, queue: str, next_queue: str | None
    ) -> None:
        self._queues = queues
        self._intake = intake
        self._stopping = stopping
        self._queue = queue
        self._next_queue = next_queue
        self._next_has_more = False
        self._threads: list[threading.Thread] = []
        self.broken: BaseException | None = None
        """What a poll raised, which ends the worker: raise it on the main thread."""

    def start(self) -> None:
        self._threads.append(self._thread(self._poll, "headrace-poll"))
        if self._next_queue is not None:
            queue = self._next_queue
            self._threads.append(self._thread(lambda: self._poll_next(queue), "headrace-next"))
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        """Until the process is told to stop and its receives have ended, or for POLL_ENDS_WITHIN_S after that. One that gets no answer, or is
        tried again by the client library, holds up no drain: what it may still receive appears when its visibility timeout ends."""
        while not self._stopping.is_set():  # so it is once any of them has ended
            self._threads[0].join(0.2)  # not a wait for `stopping`, which a signal sets on this very thread
        until = monotonic() + POLL_ENDS_WITHIN_S
        for thread in self._threads:
            thread.join(max(0.0, until - monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            logger.warning("a receive has not ended within %d s: the drain goes on", POLL_ENDS_WITHIN_S)
        give_back(self._queues, self._intake.close())

    def receive(self, limit: int) -> list[Received]:
        """Up to `limit` messages of new runs, on this thread; none where the queue does not answer."""
        return self._receive(self._queue, limit)

    def _receive(self, queue: str, limit: int) -> list[Received]:
        try:
            return self._queues.receive(queue, limit=limit, wait_s=LONG_POLL_S, visibility_s=VISIBILITY_S)
        except QueueUnavailable as error:
            logger.warning("could not receive: %s", error)
            self._stopping.wait(1)
            return []

    def _thread(self, poll: Callable[[], None], name: str) -> threading.Thread:
        def polled() -> None:
            try:
                poll()
            except BaseException as error:  # noqa: BLE001  # raised again on the main thread
                self.broken = error
            finally:
                self._stopping.set()
                give_back(self._queues, self._intake.close())

        return threading.Thread(target=polled, name=name, daemon=True)

    def _poll(self) -> None:
        """New runs, while the other queue has no more than it gave."""
        while not self._stopping.is_set():
            room = 0 if self._next_has_more else self._intake.wait_for_room(0.5)
            if room:
                give_back(self._queues, self._intake.put(self.receive(room)))
            elif self._next_has_more:
                self._stopping.wait(GIVE_WAY_S)

    def _poll_next(self, queue: str) -> None:
        """What goes on with runs that have started. A stack without this queue has it all in the other."""
        while not self._stopping.is_set():
            room = self._intake.wait_for_room(0.5)
            if not room:
                continue
            try:
                found = self._receive(queue, room)
            except HeadraceError as error:
                logger.warning("queue %s is not polled for %d s: %s", queue, WITHOUT_NEXT_S, error)
                self._next_has_more = False
                self._stopping.wait(WITHOUT_NEXT_S)
                continue
            self._next_has_more = len(found) == room
            give_back(self._queues, self._intake.put(found, first=True))
        self._next_has_more = False
