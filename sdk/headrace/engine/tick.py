"""What the clock does once a minute: send the timers that are due soon."""

from __future__ import annotations

from headrace.engine.engine import Engine


def tick(engine: Engine) -> int:
    """Send, with exact delays, every timer due within the next minutes. Returns how many were sent."""
    raise NotImplementedError
