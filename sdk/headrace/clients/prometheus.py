"""The open work of a stack in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.clients.models.metrics import GateStat, TaskStat

STATUSES = ("queued", "running")


def prometheus_text(
    queues: Mapping[str, Any], tasks: Mapping[str, TaskStat], gates: Iterable[GateStat], now: datetime
) -> str:
    """Gauges, as `get_queue_metrics`, `get_task_stats` and `get_gate_stats` give them; of gates by name, as keys may be many."""
    of_tasks = [
        (name, status, getattr(stat, status)) for name, stat in sorted(tasks.items()) for status in STATUSES
    ]
    waiting: dict[str, int] = {}
    for gate in gates:
        waiting[gate.name] = waiting.get(gate.name, 0) + gate.waiters
    return "".join(
        [
            _gauge(
                "headrace_worker_tasks",
                "Open tasks by worker, of the runs of the last day.",
                (
                    ({"worker": worker, "status": status}, counts[status])
                    for worker, counts in queues["queues"].items()
                    for status in STATUSES
                ),
            ),
            _gauge(
                "headrace_tasks",
                "Open tasks by name, of the runs of the last day.",
                (({"task": name, "status": status}, stat.total) for name, status, stat in of_tasks),
            ),
            _gauge(
                "headrace_task_oldest_seconds",
                "Since when the oldest open task of a name is queued, or runs.",
                (
                    ({"task": name, "status": status}, max(0.0, (now - stat.oldest).total_seconds()))
                    for name, status, stat in of_tasks
                    if stat.oldest is not None
                ),
            ),
            _gauge(
                "headrace_gate_waiters",
                "Tasks that wait at a limit, by its name.",
                (({"gate": name}, count) for name, count in sorted(waiting.items())),
            ),
        ]
    )


def _gauge(name: str, help: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> str:
    lines = [f"# HELP {name} {help}", f"# TYPE {name} gauge"]
    for labels, value in samples:
        pairs = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        lines.append(
            f"{name}{{{pairs}}} {value:g}" if isinstance(value, float) else f"{name}{{{pairs}}} {value}"
        )
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
