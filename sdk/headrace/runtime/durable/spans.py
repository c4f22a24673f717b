"""The spans of durable waits: one in the invocation that first asks for it, until it is answered or the task suspended."""

from __future__ import annotations

from collections.abc import Callable

from headrace.core.durable.log import Entry, Kind
from headrace.telemetry import tracing


class Spans:
    """The spans that are open, by node. `task_external_id`: of the task that waits."""

    def __init__(self, task_external_id: str) -> None:
        self._task_external_id = task_external_id
        self._ends: dict[int, Callable[[], None]] = {}

    def begin(self, entry: Entry, says: str) -> None:
        """A new operation; only waits have a span, and only where traces are made."""
        if entry.kind is Kind.WAIT and tracing.installed is not None:
            self._ends[entry.node] = tracing.installed.waiting(self._task_external_id, entry, says)

    def end(self, node: int) -> None:
        found = self._ends.pop(node, None)
        if found is not None:
            found()

    def end_all(self) -> None:
        for node in list(self._ends):
            self.end(node)
