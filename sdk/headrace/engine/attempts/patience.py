"""Waiting for a store that does not answer, where giving up would run a task's code again, or count as a crash of its worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from headrace.engine.attempts.ports import Host
from headrace.engine.engine import Engine
from headrace.errors import StoreUnavailable

T = TypeVar("T")
INVOCATION_MARGIN_MS = 1_500
"""Time an invocation keeps back for the commit and what it owes."""

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
"""Between two tries."""


def patiently(engine: Engine, host: Host, call: Callable[[], T]) -> T:
    """`call`, tried again while the store does not answer, for as long as this host has the time; `commit_patience_s` at most. For calls
    that may take place twice. What they write is fenced, however late: where another attempt took over meanwhile, it counts for nothing."""
    try:
        return call()
    except StoreUnavailable as error:
        failed = error
    patience_ms = min(engine.limits.commit_patience_s * 1000, host.time_left_ms() - INVOCATION_MARGIN_MS)
    until_ms = engine.clock.now_ms() + patience_ms
    pause_s = FIRST_PAUSE_S
    while not host.stopping() and engine.clock.now_ms() + pause_s * 1000 <= until_ms:
        engine.clock.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        try:
            return call()
        except StoreUnavailable as error:
            failed = error
    raise failed
