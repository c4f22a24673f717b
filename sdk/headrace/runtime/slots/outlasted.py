"""Code that outlasts its attempt, and keeps its slot until it has ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.engine.attempts.ports import Running

logger = logging.getLogger("headrace.worker")

OUTLASTED = "code goes on although its attempt has ended: its slot is taken until it ends"


def await_ends(lives: Sequence[Running], is_draining: Callable[[], bool]) -> None:
    """Wait until all of it has ended. A drain does not wait for it: its outcome is written."""
    if lives:
        logger.warning(OUTLASTED)
    for code in lives:
        while not code.wait(0.5) and not is_draining():
            pass
