"""Virtual time and seeded identifiers."""

from __future__ import annotations

import threading
import uuid
from random import Random

START_MS = 1_750_000_000_000


class VirtualClock:
    """Stands still unless it is moved. `sleep` moves it."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self._now_ms = now_ms
        self._lock = threading.Lock()

    def now_ms(self) -> int:
        return self._now_ms

    def sleep(self, seconds: float) -> None:
        self.advance(int(seconds * 1000))

    def advance(self, milliseconds: int) -> None:
        if milliseconds > 0:
            with self._lock:
                self._now_ms += milliseconds

    def advance_to(self, now_ms: int) -> None:
        """Move to a time; one that has passed is ignored."""
        with self._lock:
            self._now_ms = max(self._now_ms, now_ms)


class SeededIds:
    """The same seed gives the same identifiers."""

    def __init__(self, seed: int = 0) -> None:
        self._random = Random(seed)

    def run_id(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def owner(self) -> str:
        return f"{self._random.getrandbits(40):08x}"
