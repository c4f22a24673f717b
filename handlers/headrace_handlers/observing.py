"""What happens to tasks, as metrics in CloudWatch's embedded format: one log line an invocation, no call.

Powertools' Metrics would do the same; written out, it is a dozen lines and no import on the cold path.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, TextIO

from headrace.core.points import encode_point
from headrace.core.values import dataclass
from headrace.telemetry.events import AttemptEnded, AttemptStarted, Listener, TaskEvent, name_of

if TYPE_CHECKING:
    from headrace.engine.events.handle import Handled
    from headrace.engine.waits.lines import Line

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
SPANS = frozenset({"QueueLatency", "TaskDuration", "GateWait", "GateOldestWait"})
"""Those in milliseconds; others are counts."""

MOST_GATES = 20
"""How many gates a line names at most."""


class Metrics(Listener, Protocol):
    """A listener that is told when an invocation ends."""

    def flush(self) -> None: ...


class EmfListener:
    """Collects events; `flush` writes one line for each workflow that had any. Thread-safe."""

    def __init__(self, worker: str, out: TextIO | None = None) -> None:
        self._worker = worker
        self._out = out
        self._lock = threading.Lock()
        self._counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._waits: dict[str, list[int]] = defaultdict(list)
        self._durations: dict[str, list[int]] = defaultdict(list)
        self._gates: dict[str, _Waited] = defaultdict(_Waited)

    def heard(self, event: TaskEvent) -> None:
        workflow = event.workflow
        with self._lock:
            self._counts[workflow][METRICS[name_of(event)]] += 1
            match event:
                case AttemptStarted(queue_ms=queue_ms, lined_up=lined_up):
                    self._waits[workflow].append(queue_ms)
                    if lined_up:
                        self._gates[workflow].add(queue_ms, map(encode_point, lined_up))
                case AttemptEnded(run_ms=run_ms) if run_ms is not None:
                    self._durations[workflow].append(run_ms)
                case _:
                    pass  # a count

    def flush(self) -> None:
        """Write what was collected."""
        with self._lock:
            counts, self._counts = self._counts, defaultdict(lambda: defaultdict(int))
            waits, self._waits = self._waits, defaultdict(list)
            durations, self._durations = self._durations, defaultdict(list)
            gates, self._gates = self._gates, defaultdict(_Waited)
        for workflow, found in counts.items():
            values: dict[str, object] = dict(found)
            if waits[workflow]:
                values["QueueLatency"] = waits[workflow]
            if durations[workflow]:
                values["TaskDuration"] = durations[workflow]
            waited = gates.get(workflow)
            if waited is not None:
                values["GateWait"] = waited.spans_ms
            names = {"Worker": self._worker, "Workflow": workflow}
            more = {"Gates": list(waited.gates)[:MOST_GATES]} if waited is not None else {}
            line = emf(names, values, dimensions=[["Worker", "Workflow"], ["Worker"]], properties=more)
            print(line, file=self._out or sys.stdout, flush=True)


@dataclass(slots=True)
class _Waited:
    """How long attempts were queued that had lined up at gates, and at which."""

    spans_ms: list[int] = field(default_factory=list)
    gates: dict[str, None] = field(default_factory=dict)

    def add(self, span_ms: int, gates: Iterable[str]) -> None:
        self.spans_ms.append(span_ms)
        self.gates.update(dict.fromkeys(gates))


def emf(
    names: Mapping[str, str],
    values: Mapping[str, object],
    *,
    dimensions: Sequence[Sequence[str]],
    properties: Mapping[str, object] = MappingProxyType({}),
) -> str:
    """A line in the embedded metric format. `properties` can be queried in the log and are no metrics."""
    metrics = [{"Name": name, "Unit": "Milliseconds" if name in SPANS else "Count"} for name in values]
    directive = {"Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": metrics}
    head = {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": [directive]}
    return json.dumps({"_aws": head, **names, **properties, **values})


def gate_metrics(lines: Mapping[str, Line], now_ms: int, out: TextIO | None = None) -> int:
    """How many wait, and how long the first of them has, as a line for each name of a gate that anybody waits at: for the clock.

    By name, not by key: a metric is billed by the month. Returns how many wait.
    """
    for name, line in lines.items():
        values = {"GateWaiters": line.waiting, "GateOldestWait": max(0, now_ms - line.oldest_ms)}
        print(emf({"Gate": name}, values, dimensions=[["Gate"]]), file=out or sys.stdout, flush=True)
    return sum(line.waiting for line in lines.values())


def event_metrics(handled: Sequence[Handled], out: TextIO | None = None) -> None:
    """How many events were handled, and what came of them, as one line; none where there were none."""
    if not handled:
        return
    values = {
        "EventsHandled": len(handled),
        "EventRunsStarted": sum(each.started for each in handled),
        "EventRunsCollided": sum(each.collided for each in handled),
        "EventRunsRefused": sum(each.refused for each in handled),
    }
    print(emf({"Worker": "events"}, values, dimensions=[["Worker"]]), file=out or sys.stdout, flush=True)
