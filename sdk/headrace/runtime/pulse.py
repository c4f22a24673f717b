"""Callbacks after a while, for all attempts of a process, from one thread.

An attempt that ends before its callbacks are due (nearly all do) pays for two list operations: starting a thread for each would
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
    """Looks a few times a second which alarms are due, and runs each on a thread of its own."""

    def __init__(self) -> None:
        self._alarms: list[Alarm] = []
        self._lock = threading.Lock()
        self._started = False

    def after(self, seconds: float, callback: Callable[[], None]) -> Alarm:
        """Call back in so many seconds, a resolution late at most."""
        alarm = Alarm(monotonic() + seconds, callback)
        with self._lock:
            self._alarms.append(alarm)
            if not self._started:
                self._started = True
                threading.Thread(target=self._run, name="headrace-pulse", daemon=True).start()
        return alarm

    def cancel(self, alarm: Alarm) -> None:
        """Forget an alarm; one that has gone off is ignored."""
        with self._lock:
            if alarm in self._alarms:
                self._alarms.remove(alarm)

    def _run(self) -> None:
        while True:
            sleep(RESOLUTION_S)
            now = monotonic()
            with self._lock:
                due = [alarm for alarm in self._alarms if alarm.due <= now]
                for alarm in due:
                    self._alarms.remove(alarm)
            for alarm in due:
                threading.Thread(target=alarm.callback, name="headrace-alarm", daemon=True).start()


PULSE = Pulse()
"""The process's own."""
