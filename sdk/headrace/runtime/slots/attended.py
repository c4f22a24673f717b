"""An attempt of async code on the process's loop that no thread waits for: it is told how it ended.

By its end, its deadline, a cancellation, or, where code blocks the loop past a deadline, by the process's pulse from outside.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING, Any

from headrace.engine.attempts.ports import Runnable, Work
from headrace.runtime.control import LiveControl
from headrace.runtime.deadline import (
    CANCEL_GRACE_S,
    Ending,
    Interrupted,
    TimedOut,
    cancelled_end,
    raised_in_code,
)
from headrace.runtime.loop import ProcessLoop, abandon_process_loop
from headrace.runtime.pulse import PULSE, Alarm

if TYPE_CHECKING:
    import asyncio


class Attended:
    """One attempt. `ended` is called once, from the loop or from the pulse, and must not block."""

    def __init__(
        self,
        runnable: Runnable,
        work: Work,
        control: LiveControl,
        *,
        grace_s: float,
        context: Context,
        ended: Callable[[Ending], None],
    ) -> None:
        self._runnable = runnable
        self._work = work
        self._control = control
        self._grace_s = grace_s
        self._context = context
        self._ended = ended
        self._lock = threading.Lock()
        self._over = False
        self._ending: Ending | None = None  # decided, while the code is given a grace to end
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[Any]
        self._loop: ProcessLoop
        self._watchdog: Alarm

    def begin(self, loop: ProcessLoop) -> None:
        """Put the code on the loop. From any thread."""
        self._loop = loop
        self._control.running.begins()
        self._watchdog = PULSE.after(max(self._control.remaining_s(), 0) + 2 * self._grace_s, self._watch)
        loop.loop.call_soon_threadsafe(self._start, context=Context())

    # ---- on the loop

    def _start(self) -> None:
        if self._over:  # the loop was blocked until past the deadline
            self._control.running.ends()
            return
        loop = self._loop.loop
        self._task = loop.create_task(self._runnable.acall(self._work), context=self._context)
        self._loop.called(self._task, self._work.described)
        self._task.add_done_callback(self._done)
        self._timer = loop.call_later(max(self._control.remaining_s(), 0), self._due)
        self._control.on_cancel(self._cancelled)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._control.running.ends()
        error = None if task.cancelled() else task.exception()
        if self._ending is not None:
            self._finish(self._ending)
        elif task.cancelled():
            self._finish(cancelled_end(self._control))
        elif error is not None:
            self._finish(raised_in_code(type(error).__name__, str(error)))
        else:
            self._finish(task.result())

    def _due(self) -> None:
        remaining_s = self._control.remaining_s()
        if remaining_s > 0:  # the deadline was moved
            self._timer = self._loop.loop.call_later(remaining_s, self._due)
        else:
            self._stop(TimedOut(self._control.limit_s))

    def _cancelled(self) -> None:
        """From any thread: the code has a moment to see it."""
        with suppress(RuntimeError):  # the loop has ended
            self._loop.loop.call_soon_threadsafe(self._cancel_soon, context=Context())

    def _cancel_soon(self) -> None:
        wait_s = min(CANCEL_GRACE_S, max(self._control.remaining_s(), 0))
        self._loop.loop.call_later(wait_s, self._stop, Interrupted())

    def _stop(self, ending: Ending) -> None:
        """Cancel the code, and give it a grace to end."""
        if self._over or self._ending is not None or self._task.done():
            return
        self._ending = ending
        self._task.cancel()
        self._loop.loop.call_later(self._grace_s, self._finish, ending)

    # ---- from any thread

    def _watch(self) -> None:
        late_s = self._control.remaining_s() + 2 * self._grace_s
        if self._over:
            return
        if late_s > 0:  # the deadline was moved
            self._watchdog = PULSE.after(late_s, self._watch)
        elif self._finish(TimedOut(self._control.limit_s)):
            abandon_process_loop(self._loop)

    def _finish(self, ending: Ending) -> bool:
        with self._lock:
            if self._over:
                return False
            self._over = True
        PULSE.cancel(self._watchdog)
        if self._timer is not None and self._task.done():
            self._timer.cancel()
        self._ended(ending)
        return True
