"""Callbacks after a while, for all attempts of a process, from one thread.

An attempt that ends before its callbacks are due (nearly all do) pays for putting them into a dict and out of it: starting a thread for each would
cost more CPU than the rest of the framework.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic, sleep

from headrace.core.values import dataclass

RESOLUTION_S = 0.2


@dataclass(slots=True, eq=False)
class Alarm:
    """A callback that is due at `due`, in seconds of `time.monotonic`."""

    due: float
    callback: Callable[[], None]


class Pulse:
    """Looks a few times a second which alarms are due, and runs each on a thread of its own. Thread-safe: a dict takes and gives whole."""

    def __init__(self) -> None:
        self._alarms: dict[Alarm, None] = {}
        self._starting = threading.Lock()
        self._started = False

    def after(self, seconds: float, callback: Callable[[], None]) -> Alarm:
        """Call back in so many seconds, a resolution late at most."""
        alarm = Alarm(monotonic() + seconds, callback)
        self._alarms[alarm] = None
        if not self._started:
            self._start()
        return alarm

    def _start(self) -> None:
        with self._starting:
            if self._started:
                return
            self._started = True
        threading.Thread(target=self._run, name="headrace-pulse", daemon=True).start()

    def cancel(self, alarm: Alarm) -> None:
        """Forget an alarm; one that has gone off is ignored."""
        self._alarms.pop(alarm, None)

    def _run(self) -> None:
        while True:
            sleep(RESOLUTION_S)
            now = monotonic()
            due = [alarm for alarm in list(self._alarms) if alarm.due <= now]
            for alarm in due:
                if self._alarms.pop(alarm, CANCELLED) is not CANCELLED:
                    threading.Thread(target=alarm.callback, name="headrace-alarm", daemon=True).start()


CANCELLED = object()

PULSE = Pulse()
"""The process's own."""
