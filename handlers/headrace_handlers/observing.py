"""What happens to tasks, as metrics in CloudWatch's embedded format: one log line an invocation, no call.

Powertools' Metrics would do the same; written out, it is a dozen lines and no import on the cold path.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import defaultdict
from typing import Protocol, TextIO

from headrace.core.record import RunRecord
from headrace.engine.runnable import Observer

NAMESPACE = "Headrace"
METRICS = {
    "started": "RunsStarted",
    "taken_over": "RunsTakenOver",
    "completed": "RunsCompleted",
    "failed": "RunsFailed",
    "retried": "RunsRetried",
    "timed_out": "RunsTimedOut",
    "cancelled": "RunsCancelled",
    "fenced": "AttemptsFenced",
    "parked": "RunsParked",
}


class Metrics(Observer, Protocol):
    """An observer that is told when an invocation ends."""

    def flush(self) -> None: ...


class EmfObserver:
    """Collects events; `flush` writes one line for each workflow that had any. Thread-safe."""

    def __init__(self, worker: str, out: TextIO | None = None) -> None:
        self._worker = worker
        self._out = out
        self._lock = threading.Lock()
        self._counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._waits: dict[str, list[int]] = defaultdict(list)
        self._durations: dict[str, list[int]] = defaultdict(list)

    def event(self, kind: str, record: RunRecord, task: str, *, queue_ms: int = 0, run_ms: int = 0) -> None:
        workflow = record.plan.workflow
        with self._lock:
            self._counts[workflow][METRICS[kind]] += 1
            if kind == "started":
                self._waits[workflow].append(queue_ms)
            if kind in ("completed", "failed", "retried"):
                self._durations[workflow].append(run_ms)

    def flush(self) -> None:
        """Write what was collected."""
        with self._lock:
            counts, self._counts = self._counts, defaultdict(lambda: defaultdict(int))
            waits, self._waits = self._waits, defaultdict(list)
            durations, self._durations = self._durations, defaultdict(list)
        for workflow, found in counts.items():
            values: dict[str, object] = dict(found)
            if waits[workflow]:
                values["QueueLatency"] = waits[workflow]
            if durations[workflow]:
                values["TaskDuration"] = durations[workflow]
            print(self._line(workflow, values), file=self._out or sys.stdout, flush=True)

    def _line(self, workflow: str, values: dict[str, object]) -> str:
        spans = {"QueueLatency", "TaskDuration"}
        metrics = [{"Name": name, "Unit": "Milliseconds" if name in spans else "Count"} for name in values]
        directive = {
            "Namespace": NAMESPACE,
            "Dimensions": [["Worker", "Workflow"], ["Worker"]],
            "Metrics": metrics,
        }
        head = {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": [directive]}
        return json.dumps({"_aws": head, "Worker": self._worker, "Workflow": workflow, **values})
