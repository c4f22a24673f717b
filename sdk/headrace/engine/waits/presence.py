"""A process that is alive: it renews its lease, and wakes the tasks that its labels are required by."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from headrace.engine.catalog.workers import announce, leave
from headrace.engine.engine import Engine
from headrace.engine.waits.kinds.labels import labels_changed


class Presence:
    """A process that says that it is alive and what its labels are, until it leaves. Safe in any thread.

    `labels` are read at every announcement. Where they are new, the tasks that wait for such labels are told.
    """

    def __init__(self, engine: Engine, worker: str, process: str, labels: Mapping[str, str | int]) -> None:
        self._engine = engine
        self._worker = worker
        self._process = process
        self._labels = labels
        self._told: dict[str, str | int] | None = None
        self._left = False
        self._lock = threading.Lock()

    def announce(self) -> None:
        """Now, and again within RENEW_EVERY_S. Nothing once it has left."""
        with self._lock:
            if self._left:
                return
            labels = dict(self._labels)
            announce(self._engine, self._worker, self._process, labels)
            if labels != self._told:
                labels_changed(self._engine, self._worker, labels)
                self._told = labels

    def leave(self) -> None:
        """Once, when it drains: no run is sent here for its labels any more."""
        with self._lock:
            if not self._left:
                self._left = True
                leave(self._engine, self._worker, self._process)
