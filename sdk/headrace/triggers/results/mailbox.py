"""The reply queue of this process: made when a wait first outlasts its polls, received from while anything is waited for.

One thread receives for all waits of the process, so that many waits share the price of a long poll. What it hears is a hint: it wakes
the waiting callers, and the record says the rest.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from headrace.core.run.replies import LEASE_MS, RENEW_BEFORE_MS, USABLE_MS, decode_reply
from headrace.errors import AccessDenied, HeadraceError, RequestRefused, StackNotFound

if TYPE_CHECKING:
    from headrace.core.run.record import RunRecord
    from headrace.engine.engine import Engine

logger = logging.getLogger("headrace.waiting")

LONG_POLL_S = 20
BATCH = 10
NEW_QUEUE_S = 1.0
"""How long a new queue may be unknown to processes that send to it (SQS API reference, CreateQueue)."""

FAILED_PAUSE_S = 1.0
LOST_TRIES = 3
"""How often in a row the queue must be missing before it counts as removed: a new one is not known everywhere at once."""

MOST_EARLY = 10_000
"""How many ends are remembered that are not waited for yet: those of runs that were quicker than the call that started them."""

Wake = Callable[[], None]


class Mailbox:
    """What one process is told of the runs that it waits for. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._queue: str | None = None
        self._until_ms = 0
        self._refused = engine.replies is None
        self._thread: threading.Thread | None = None
        self._waiting: dict[str, list[Wake]] = {}
        self._early: dict[str, None] = {}
        self._started: dict[str, RunRecord] = {}

    # ---- for waiting callers

    @property
    def address(self) -> str | None:
        """The queue that runs may name from now on; None where there is none yet, or its lease is nearly over."""
        with self._lock:
            left_ms = self._until_ms - self._engine.clock.now_ms()
            return self._queue if left_ms > USABLE_MS else None

    @property
    def may_open(self) -> bool:
        """Whether there is a queue, or one can be made."""
        return not self._refused

    def open(self) -> None:
        """Have the queue made, in the thread that receives from it. Waiting callers are woken once it is there."""
        self._start()

    def remember(self, records: Iterable[RunRecord]) -> None:
        """These runs were started with the queue's name, to be waited for."""
        with self._lock:
            self._started.update((record.run_id, record) for record in records)
            while len(self._started) > MOST_EARLY:
                del self._started[next(iter(self._started))]

    def started(self, run_id: str) -> RunRecord | None:
        """The record of a run that was started with the queue's name, once."""
        with self._lock:
            return self._started.pop(run_id, None)

    def watch(self, run_id: str, wake: Wake) -> bool:
        """Call `wake` when the run is over, or the queue has come or gone. True: it is over already."""
        with self._lock:
            self._waiting.setdefault(run_id, []).append(wake)
            over = run_id in self._early
            self._early.pop(run_id, None)
        if self._queue is not None:
            self._start()
        return over

    def unwatch(self, run_id: str, wake: Wake) -> None:
        with self._lock:
            left = [each for each in self._waiting.get(run_id, ()) if each is not wake]
            if left:
                self._waiting[run_id] = left
            else:
                self._waiting.pop(run_id, None)

    # ---- the thread

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None or self._refused:
                return
            self._thread = threading.Thread(target=self._run, name="headrace-replies", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        lost = 0
        while self._goes_on():
            try:
                self._keep()
                lost = 0 if self._receive() else lost + 1
                if lost >= LOST_TRIES:
                    self._forget()
                elif lost:
                    time.sleep(FAILED_PAUSE_S)
            except (AccessDenied, RequestRefused) as error:
                self._refuse(error)
            except HeadraceError as error:
                logger.debug("could not receive replies: %s", error)
                time.sleep(FAILED_PAUSE_S)

    def _goes_on(self) -> bool:
        with self._lock:
            if self._refused or not self._waiting:
                self._thread = None
                return False
            return True

    def _keep(self) -> None:
        """Make the queue where there is none, or renew its lease where little is left of it."""
        from headrace.engine.clock.reply_queues import make_queue, renew_queue

        left_ms = self._until_ms - self._engine.clock.now_ms()
        if self._queue is not None and left_ms > RENEW_BEFORE_MS:
            return
        until_ms = self._engine.clock.now_ms() + LEASE_MS
        if self._queue is not None and renew_queue(self._engine, self._queue):
            self._until_ms = until_ms
            return
        queue = make_queue(self._engine)
        time.sleep(NEW_QUEUE_S)
        with self._lock:
            self._queue, self._until_ms = queue, until_ms
            closed = self._refused
        if closed:  # meanwhile
            self.close()
        self._wake(None)

    def _receive(self) -> bool:
        """Wait for replies and hand them on. False: the queue is not there."""
        assert self._queue is not None
        try:
            received = self._engine.queues.receive(self._queue, limit=BATCH, wait_s=LONG_POLL_S)
        except StackNotFound:
            return False
        for each in received:
            run_id = decode_reply(each.body)
            if run_id is not None:
                self._wake(run_id)
        return True

    def _forget(self) -> None:
        with self._lock:
            self._queue, self._until_ms = None, 0
        self._wake(None)

    def _refuse(self, error: HeadraceError) -> None:
        logger.warning(
            "results are polled for, and come up to a second late, as there is no reply queue: %s", error
        )
        with self._lock:
            self._queue, self._until_ms, self._refused = None, 0, True
        self._wake(None)

    def distrust(self) -> None:
        """Nothing is told here: poll from now on."""
        if not self._refused:
            self._refuse(
                HeadraceError(f"ends of runs were not told at it: may the workers send to {self._queue}?")
            )

    def _wake(self, run_id: str | None) -> None:
        """The callers that wait for the run; None: all."""
        with self._lock:
            if run_id is None:
                wakes = [wake for each in self._waiting.values() for wake in each]
            else:
                wakes = list(self._waiting.get(run_id, ()))
                if not wakes:
                    self._early[run_id] = None
                    if len(self._early) > MOST_EARLY:
                        del self._early[next(iter(self._early))]
        for wake in wakes:
            wake()

    # ---- the end

    def close(self) -> None:
        """Remove the queue. What a process cannot do any more, the clock does."""
        from headrace.engine.clock.reply_queues import remove_queue

        with self._lock:
            queue, self._queue, self._refused = self._queue, None, True
        if queue is not None:
            with contextlib.suppress(HeadraceError):
                remove_queue(self._engine, queue)


_mailboxes: dict[tuple[int, int], Mailbox] = {}
"""By process (a fork has none of its parent's threads) and engine, which the mailbox keeps alive."""

_making = threading.Lock()


def mailbox_of(engine: Engine) -> Mailbox:
    """This process's mailbox for an engine; removed when the process ends."""
    key = (os.getpid(), id(engine))
    found = _mailboxes.get(key)
    if found is not None:
        return found
    with _making:
        if key not in _mailboxes:
            _mailboxes[key] = Mailbox(engine)
            atexit.register(_close, key)
    return _mailboxes[key]


def _close(key: tuple[int, int]) -> None:
    mailbox = _mailboxes.pop(key, None)
    if mailbox is not None and key[0] == os.getpid():
        mailbox.close()
