"""`hatchet.runs`: start runs by name, read them, replay them, cancel them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from headrace.clients.naming import namespaced
from headrace.clients.runs.replaying import RunsReplaying
from headrace.core.run.ids import split_task_run_id
from headrace.core.run.record import RunStatus
from headrace.engine.runs.cancel import cancel, pay_for_cancelling
from headrace.errors import NotDeployed, NotSupportedError, RunNotFound, RunNotOver
from headrace.triggers.faces import aio
from headrace.values.codec import input_text, metadata_of

if TYPE_CHECKING:
    import builtins

    from headrace.clients.models import BulkCancelReplayOpts, V1WorkflowRunDetails
    from headrace.clients.runs.listing import Wanted

PARALLEL = 8
"""How many runs a bulk cancel or replay works on at once."""

OPEN = (RunStatus.QUEUED, RunStatus.RUNNING)
OVER = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)


class RunsClient(RunsReplaying):
    """Runs: every method has an `aio_` twin that does not block the event loop."""

    def create(
        self,
        workflow_name: str,
        input: Mapping[str, Any],
        additional_metadata: Mapping[str, Any] | None = None,
        priority: int | None = None,
    ) -> V1WorkflowRunDetails:
        """Start a run by the name of its workflow, without waiting, as `run(..., wait_for_result=False)` does; the code need not
        be at hand. It is no child of the task that calls.

        ValueError where no such workflow is registered in the stack; IdempotencyCollisionError where its key is held.
        """
        from headrace.clients.runs.details import Loaded, run_details
        from headrace.core.run.request import Call, StartOptions, StartRun
        from headrace.triggers.start import start_records

        options = StartOptions(metadata=metadata_of(additional_metadata), priority=priority)
        wanted = StartRun(
            workflow=namespaced(self._app, workflow_name),
            input=input_text(input),
            options=options,
            origin=Call(),
        )
        [record] = start_records(self._app, [wanted])
        return run_details(Loaded(record=record, input=dict(input) if input else {}))

    aio_create = aio(create)

    # ---- cancel

    def cancel(self, run_id: str) -> None:
        """Cancel a run: its queued tasks are CANCELLED at once, its running ones are told. A settled run stays as it is.

        By the id of one of its tasks: that task, and what hangs on it; the others go on. A standalone task's id is its run's.
        RunNotFound where the run has no such task.
        """
        run, task = split_task_run_id(run_id)
        if task is not None:
            self._cancel_task(run, task, run_id)
            return
        if self._app.settings.prefix:
            self._record(run)  # of another namespace: not found
        if not cancel(self._app.engine, run):
            pay_for_cancelling(self._app.engine, run)

    aio_cancel = aio(cancel)

    def _cancel_task(self, run: str, task: str, task_run_id: str) -> None:
        from headrace.core.run.cancel import CANCELLED_BY_USER
        from headrace.engine.runs.cancel_task import cancel_task

        if task not in self._record(run).plan.by_name:
            raise RunNotFound(task_run_id, "Task run")
        cancel_task(self._app.engine, run, task, reason=CANCELLED_BY_USER)

    def bulk_cancel(self, opts: BulkCancelReplayOpts) -> None:
        """Cancel runs by ids or by a filter (of those that match, the ones not settled yet). Done on return."""
        ids = self._chosen(opts, OPEN)
        with ThreadPoolExecutor(PARALLEL) as pool:
            for _ in pool.map(self.cancel, ids):
                pass

    aio_bulk_cancel = aio(bulk_cancel)

    def bulk_cancel_by_filters_with_pagination(
        self,
        sleep_time: int = 3,
        chunk_size: int = 500,
        since: datetime | None = None,
        until: datetime | None = None,
        statuses: Sequence[RunStatus] | None = None,
        additional_metadata: Mapping[str, str] | None = None,
        workflow_ids: Sequence[str] | None = None,
    ) -> None:
        """Cancel what matches, `chunk_size` runs at a time with `sleep_time` seconds between chunks."""
        wanted = self._wanted(
            since=since,
            until=until,
            statuses=statuses or OPEN,
            additional_metadata=additional_metadata,
            workflow_ids=workflow_ids,
        )
        self._in_chunks(self.bulk_cancel, wanted, chunk_size, sleep_time)

    aio_bulk_cancel_by_filters_with_pagination = aio(bulk_cancel_by_filters_with_pagination)

    # ---- replay of many

    def bulk_replay(self, opts: BulkCancelReplayOpts) -> None:
        """Replay runs by ids or by a filter (of those that match, the ones that are over). Done on return.

        This process sends a replay for each; where it dies in between, call again: a run that goes on already is left alone, so none is
        replayed twice for one call after the other. RunNotFound or NotDeployed for an id that cannot be replayed, once all others were.
        """
        ids = self._chosen(opts, OVER)
        with ThreadPoolExecutor(PARALLEL) as pool:
            refused = [error for error in pool.map(self._replayed, ids) if error is not None]
        if refused:
            raise refused[0]

    aio_bulk_replay = aio(bulk_replay)

    def bulk_replay_by_filters_with_pagination(
        self,
        sleep_time: int = 3,
        chunk_size: int = 500,
        since: datetime | None = None,
        until: datetime | None = None,
        statuses: Sequence[RunStatus] | None = None,
        additional_metadata: Mapping[str, str] | None = None,
        workflow_ids: Sequence[str] | None = None,
    ) -> None:
        """Replay what matches (default: all that is over), `chunk_size` runs at a time with `sleep_time` seconds between chunks."""
        wanted = self._wanted(
            since=since,
            until=until,
            statuses=statuses or OVER,
            additional_metadata=additional_metadata,
            workflow_ids=workflow_ids,
        )
        self._in_chunks(self.bulk_replay, wanted, chunk_size, sleep_time)

    aio_bulk_replay_by_filters_with_pagination = aio(bulk_replay_by_filters_with_pagination)

    def _chosen(self, opts: BulkCancelReplayOpts, default: Sequence[RunStatus]) -> Sequence[str]:
        """The ids that are given, or those of the runs that match: of the `default` statuses, where the filter names none."""
        if opts.ids is not None or opts.filters is None:
            return opts.ids or []
        wanted = self._wanted(
            since=opts.filters.since,
            until=opts.filters.until,
            statuses=opts.filters.statuses or default,
            additional_metadata=opts.filters.additional_metadata,
            workflow_ids=opts.filters.workflow_ids,
        )
        return self._ids_of(wanted)

    def _ids_of(self, wanted: Wanted) -> builtins.list[str]:
        from headrace.clients.runs.listing import runs

        return [record.run_id for record in runs(self._app.engine, wanted)]

    def _in_chunks(
        self, act: Callable[[BulkCancelReplayOpts], None], wanted: Wanted, chunk_size: int, sleep_time: int
    ) -> None:
        from headrace.clients.models import BulkCancelReplayOpts

        ids = self._ids_of(wanted)
        for first in range(0, len(ids), chunk_size):
            if first:
                self._app.engine.clock.sleep(sleep_time)
            act(BulkCancelReplayOpts(ids=ids[first : first + chunk_size]))

    def _replayed(self, run_id: str) -> Exception | None:
        """Replay it; None also where it goes on already."""
        try:
            self.replay(run_id)
        except RunNotOver:
            return None
        except (RunNotFound, NotDeployed) as error:
            return error
        return None

    # ---- not there yet

    def reset_durable_task(self, /, *args: object, **kwargs: object) -> NoReturn:
        """Not supported yet."""
        raise NotSupportedError(
            "durable tasks cannot be reset yet: replay the run, which goes on from its log, or start a new one"
        )

    aio_reset_durable_task = aio(reset_durable_task)
