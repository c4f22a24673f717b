"""What runs wait for that costs nothing meanwhile: events, times and child runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from headrace.clients.asked import time_ms
from headrace.clients.naming import App, namespaced
from headrace.triggers.faces import aio

if TYPE_CHECKING:
    import builtins

    from headrace.clients.models.waits import Wait
    from headrace.core.run.record import RunRecord
    from headrace.core.waits.waiting import Waiting

DEFAULT_LIMIT = 50


class WaitsClient:
    """Waits of durable tasks, and of tasks of a workflow with `SleepCondition` or `UserEventCondition`. What tasks wait for before they
    may start (concurrency, rate limits, slots) is `hatchet.gates`."""

    def __init__(self, app: App) -> None:
        self._app = app

    def list(
        self,
        *,
        event_key: str | None = None,
        workflow_ids: Sequence[str] | None = None,
        run_id: str | None = None,
        since: datetime | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> builtins.list[Wait]:
        """The waits of the stack (of this namespace), of the newest runs first, at most `limit`.

        `event_key`: those that an event of this key may end. `workflow_ids`: ids or names. `run_id`: of one run (RunNotFound if there is
        none). `since`: of runs created from then on; default: all that are kept. Without `run_id` the record of each of these runs is
        read, until `limit` is reached. Which runs there are is eventually consistent; what each waits for is strongly so.
        """
        from itertools import islice

        from headrace.clients.models.waits import wait_of

        key = namespaced(self._app, event_key) if event_key is not None else None
        records = self._records(run_id, workflow_ids, since)
        found = (wait_of(record, wait) for record in records for wait in _waits(record) if _fits(wait, key))
        return list(islice(found, limit))

    aio_list = aio(list)

    def _records(
        self, run_id: str | None, workflow_ids: Sequence[str] | None, since: datetime | None
    ) -> Iterator[RunRecord]:
        from headrace.clients.runs.loading import record_of_run
        from headrace.clients.runs.naming import named
        from headrace.core.run.ids import split_task_run_id
        from headrace.core.run.record import RunStatus
        from headrace.engine.runs.listing import Wanted, runs

        engine, prefix = self._app.engine, self._app.settings.prefix
        if run_id is not None:
            return iter([record_of_run(engine, split_task_run_id(run_id)[0], prefix)])
        now_ms = engine.clock.now_ms()
        kept_ms = int(timedelta(seconds=engine.limits.retention_s).total_seconds() * 1000)
        return runs(
            engine,
            Wanted(
                workflows=named(self._app, workflow_ids),
                namespace=namespaced(self._app, ""),
                since_ms=time_ms(since, "since", now_ms - kept_ms),
                until_ms=now_ms,
                statuses=frozenset({RunStatus.QUEUED, RunStatus.RUNNING}),
            ),
        )


def _waits(record: RunRecord) -> builtins.list[Waiting]:
    from headrace.core.waits.waiting import waits_of

    return waits_of(record)


def _fits(wait: Waiting, event_key: str | None) -> bool:
    return event_key is None or any(event.key == event_key for event in wait.events)
