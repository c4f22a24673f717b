"""Real time plus an offset: virtual time that can be moved forward."""

from __future__ import annotations

import time

CRON_TICK = '{"fire":"cron"'
"""What the message of a cron's tick begins with. Crons go on for ever, so their ticks to come are not waited for."""


class OffsetClock:
    """The engine's clock and the emulator's: they move together."""

    def __init__(self) -> None:
        self.offset_ms = 0

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.offset_ms

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def advance(self, milliseconds: int) -> None:
        """Move on by so much; nothing goes back."""
        self.offset_ms += max(0, milliseconds)
