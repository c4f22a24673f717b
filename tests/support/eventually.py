"""Waiting for what other threads bring about."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(holds: Callable[[], bool]) -> None:
    """Return as soon as it holds. AssertionError after 3,000 looks, half a minute and more."""
    for _ in range(3_000):
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("it never came to that")
