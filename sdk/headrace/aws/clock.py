"""The system's clock, and unique identifiers."""

from __future__ import annotations

import secrets
import time
import uuid


class SystemClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class SystemIds:
    def run_id(self) -> str:
        return str(uuid.uuid4())

    def owner(self) -> str:
        """48 random bits: enough to tell the attempts at one task apart."""
        return secrets.token_urlsafe(6)
