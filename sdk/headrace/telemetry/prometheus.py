"""Events of tasks counted by name, and as Prometheus' text."""

from __future__ import annotations

import threading
from collections import Counter

from headrace.telemetry.events import TaskEvent, name_of


class Counts:
    """A listener that counts. Thread-safe."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def heard(self, event: TaskEvent) -> None:
        with self._lock:
            self.counts[name_of(event)] += 1

    def text(self) -> str:
        """Prometheus' text format, for `/metrics`."""
        with self._lock:
            return "".join(
                f'headrace_tasks_total{{event="{name}"}} {n}\n' for name, n in sorted(self.counts.items())
            )
