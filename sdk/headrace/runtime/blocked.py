"""A warning that names the task whose code blocks the process's event loop, and the line it stands at."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from os.path import dirname
from sysconfig import get_path
from typing import TYPE_CHECKING

from headrace.runtime.health import LoopWatch
from headrace.runtime.loop import process_loop

if TYPE_CHECKING:
    from types import FrameType

logger = logging.getLogger("headrace.worker")

LOOK_EVERY_S = 1.0
NOT_OF_USERS = tuple(
    f"{each}/" for each in (dirname(dirname(__file__)), get_path("stdlib"), get_path("purelib"))
)


class BlockedLoop:
    """Warns once each time that the loop does not answer for `limit_s` seconds."""

    def __init__(self, *, limit_s: float, is_over: Callable[[float], bool]) -> None:
        """`is_over` waits for so many seconds, and tells whether to stop watching."""
        self._limit_s = limit_s
        self._is_over = is_over
        self._watch = LoopWatch(process_loop, limit_s=limit_s)

    def start(self) -> None:
        threading.Thread(target=self._run, name="headrace-loop-watch", daemon=True).start()

    def _run(self) -> None:
        told = False
        while not self._is_over(min(LOOK_EVERY_S, self._limit_s / 2)):
            blocked = self._watch.is_blocked()
            if blocked and not told:
                logger.warning("%s", self._warning())
            told = blocked

    def _warning(self) -> str:
        loop = process_loop()
        name, frame = loop.running()
        where = _place(frame)
        return (
            f"the event loop has been blocked for over {self._limit_s:g} s by {name or 'a callback'}"
            f"{f', at {where}' if where else ''}: all async tasks of this process wait. "
            "Await what takes long, run it by `await asyncio.to_thread(...)`, or make the task a plain `def`"
        )


def _place(frame: FrameType | None) -> str:
    """The innermost line that is the user's own, else the innermost one."""
    found = frame
    while found is not None and found.f_code.co_filename.startswith((*NOT_OF_USERS, "<frozen")):
        found = found.f_back
    found = found or frame
    if found is None:
        return ""
    return f"{found.f_code.co_filename}:{found.f_lineno} in {found.f_code.co_name}"
