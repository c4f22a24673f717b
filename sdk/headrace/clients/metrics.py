"""`hatchet.metrics`: how much work there is, counted from the runs of a span of time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from headrace.clients.asked import time_ms
from headrace.clients.naming import App, namespaced
from headrace.core.run.derived.graph import TaskState, states
from headrace.core.run.derived.progress import public_status
from headrace.core.run.ids import split_task_run_id
from headrace.core.run.owed import worker_of
from headrace.core.run.record import RunRecord, RunStatus, TaskStatus
from headrace.triggers.faces import aio

if TYPE_CHECKING:
    from headrace.clients.models.metrics import GateStat, TaskMetrics, TaskStat
    from headrace.engine.waits.views import GateView

DAY_MS = 86_400_000


class MetricsClient:
    """Counts of tasks, read from the records of runs: a read of each run in the span, so ask for short ones.

    Rates and latencies over time are in CloudWatch, where the workers put them.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    def get_task_metrics(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        workflow_ids: Sequence[str] | None = None,
        parent_task_external_id: str | None = None,
        triggering_event_external_id: str | None = None,
    ) -> TaskMetrics:
        """How many tasks have each status, of runs created from `since` (default: a day ago) until `until` (now)."""
        from headrace.clients.models.metrics import TaskMetrics

        found = self._records(
            since, until, workflow_ids, parent_task_external_id, triggering_event_external_id
        )
        counts = Counter(public_status(state.status) for record in found for _, state in _due(record))
        return TaskMetrics(**{status.value.lower(): counts[status] for status in RunStatus})

    aio_get_task_metrics = aio(get_task_metrics)

    def get_task_stats(self) -> dict[str, TaskStat]:
        """For each task, by name, how many are queued and running, of the runs of the last day; and since when."""
        from headrace.clients.models.metrics import TaskStat, TaskStatusStat
        from headrace.clients.models.resource import at

        since: dict[tuple[str, RunStatus], list[int]] = {}
        for record in self._records(None, None, None, None):
            for name, state in _due(record):
                status = public_status(state.status)
                if not state.settled:
                    since.setdefault((name, status), []).append(_since(state, record))
        names = sorted({name for name, _ in since})

        def stat(name: str, status: RunStatus) -> TaskStatusStat:
            times = since.get((name, status), [])
            return TaskStatusStat(total=len(times), oldest=at(min(times)) if times else None)

        return {
            name: TaskStat(queued=stat(name, RunStatus.QUEUED), running=stat(name, RunStatus.RUNNING))
            for name in names
        }

    aio_get_task_stats = aio(get_task_stats)

    def get_queue_metrics(self) -> dict[str, Any]:
        """How many tasks are queued and running, in all and by worker, of the runs of the last day."""
        queues: dict[str, Counter[str]] = {}
        for record in self._records(None, None, None, None):
            for name, state in _due(record):
                if not state.settled:
                    worker = worker_of(record, name)
                    queues.setdefault(worker, Counter())[public_status(state.status).value.lower()] += 1
        return {
            "total": _counts(queues.values()),
            "queues": {worker: _counts([counts]) for worker, counts in sorted(queues.items())},
        }

    aio_get_queue_metrics = aio(get_queue_metrics)

    def get_gate_stats(self) -> dict[str, GateStat]:
        """For each gate that a task waits at, or has waited at lately, by its whole name: limit, what is taken, which tasks wait."""
        from headrace.clients.models.metrics import GateStat
        from headrace.clients.models.resource import at
        from headrace.engine.waits.views import gate_view, waited_at

        def stat(view: GateView) -> GateStat:
            oldest = min([waiter.since_ms for waiter in view.waiters], default=None)
            window = view.window
            return GateStat(
                name=view.name,
                key=view.key,
                limit=window.limit if window is not None else view.limit,
                taken=(window.limit or 0) - window.left if window is not None else view.taken,
                waiters=len(view.waiters),
                oldest=at(oldest) if oldest is not None else None,
            )

        engine = self._app.engine
        return {gate: stat(gate_view(engine, gate)) for gate in waited_at(engine)}

    aio_get_gate_stats = aio(get_gate_stats)

    def scrape_tenant_prometheus_metrics(self) -> str:
        """The open tasks by worker and by name, how old the oldest are, and what waits at limits, as gauges in Prometheus' text format.

        It reads the runs of the last day: scrape by the minute, not by the second. Rates are in CloudWatch, where workers put them.
        """
        from headrace.clients.models.resource import at
        from headrace.clients.prometheus import prometheus_text

        return prometheus_text(
            self.get_queue_metrics(),
            self.get_task_stats(),
            self.get_gate_stats().values(),
            at(self._app.engine.clock.now_ms()),
        )

    aio_scrape_tenant_prometheus_metrics = aio(scrape_tenant_prometheus_metrics)

    def _records(
        self,
        since: datetime | None,
        until: datetime | None,
        workflow_ids: Sequence[str] | None,
        parent: str | None,
        event: str | None = None,
    ) -> Iterator[RunRecord]:
        from headrace.clients.runs.naming import named
        from headrace.engine.runs.listing import Wanted, runs

        now_ms = self._app.engine.clock.now_ms()
        wanted = Wanted(
            workflows=named(self._app, workflow_ids),
            namespace=namespaced(self._app, ""),
            since_ms=time_ms(since, "since", now_ms - DAY_MS),
            until_ms=time_ms(until, "until", now_ms),
            parent=split_task_run_id(parent) if parent else None,
            event=event,
        )
        return runs(self._app.engine, wanted)


def _due(record: RunRecord) -> Iterator[tuple[str, TaskState]]:
    """The tasks that are due or were."""
    return ((name, state) for name, state in states(record).items() if state.status is not TaskStatus.WAITING)


def _since(state: TaskState, record: RunRecord) -> int:
    row = state.row
    if row is None:
        return state.due_since_ms or record.created_at_ms
    started = row.started_at_ms if row.status is TaskStatus.RUNNING else None
    return started or row.queued_at_ms or record.created_at_ms


def _counts(each: Iterable[Counter[str]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for counts in each:
        total.update(counts)
    return {"queued": total["queued"], "running": total["running"]}
