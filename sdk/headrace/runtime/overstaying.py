"""Keep the places of code that outlasts its attempt, until it has ended."""

from __future__ import annotations

import logging
import threading

from headrace.core.run.record import RunRecord
from headrace.core.run.transitions.fence import Attempt
from headrace.engine.engine import Engine
from headrace.engine.owed.overstay import Place, hold_places, keep_places, leave_places
from headrace.errors import QueueUnavailable, StoreUnavailable
from headrace.runtime.control import Running
from headrace.runtime.pulse import PULSE, Alarm

logger = logging.getLogger("headrace.worker")

AGAIN_S = 1.0
"""After which a write is tried again that the store did not answer: the time of the places is running out."""


class Overstaying:
    """One attempt's. The places become its code's once no other attempt can have them: its end is committed, or it was cancelled."""

    def __init__(self, engine: Engine, record: RunRecord, attempt: Attempt, running: Running) -> None:
        self._engine = engine
        self._record = record
        self._attempt = attempt
        self._running = running
        self._lock = threading.Lock()
        self._places: tuple[Place, ...] = ()
        self._alarm: Alarm | None = None

    def begin(self) -> None:
        """Make the places the code's, and see that they are kept and left. Twice is harmless. StoreUnavailable where the store does not
        answer."""
        with self._lock:
            if self._places or not self._running.lives:
                return
            self._places = hold_places(self._engine, self._record, self._attempt.task)
            if not self._places:
                return
            self._alarm = PULSE.after(self._engine.limits.beat_every_s, self._keep)
        self._running.on_end(lambda: self._after(0.0))

    def cancelled(self) -> None:
        """The attempt has learned that it counts for nothing more, and its code has not ended."""
        try:
            self.begin()
        except (StoreUnavailable, QueueUnavailable):
            PULSE.after(AGAIN_S, self.cancelled)

    def _after(self, seconds: float) -> None:
        with self._lock:
            if self._alarm is not None:
                PULSE.cancel(self._alarm)
            self._alarm = PULSE.after(seconds, self._keep)

    def _keep(self) -> None:
        """While the code lives, keep the places; then leave them. What the store does not answer is tried again."""
        lives = self._running.lives
        try:
            (keep_places if lives else leave_places)(self._engine, self._places)
        except (StoreUnavailable, QueueUnavailable) as error:
            logger.warning("the places of code that outlasted its attempt: %s", error)
            self._after(AGAIN_S)
            return
        if lives:
            self._after(self._engine.limits.beat_every_s if self._running.lives else 0.0)
