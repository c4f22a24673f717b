"""The bulk half of `hatchet.runs`: many runs cancelled or replayed inside the stack."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from headrace.clients.runs.replaying import RunsReplaying
from headrace.core.run.record import RunStatus
from headrace.errors import AccessDenied, HeadraceError, QueueUnavailable, StoreUnavailable
from headrace.triggers.faces import aio

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headrace.clients.models.bulk import BulkOperation
    from headrace.clients.models.runs import BulkCancelReplayOpts
    from headrace.engine.runs.bulk import operation
    from headrace.engine.runs.bulk.operation import BulkKind
    from headrace.engine.runs.listing import Wanted

OPEN = (RunStatus.QUEUED, RunStatus.RUNNING)
OVER = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)
LOOK_EVERY_S = 0.5
HELPS_AFTER_MS = 2_000
HELPS_FOR_MS = 500
FEW = 100
"""So many runs that are named are done by the call itself, beside the worker that is asked: what a person has chosen is done at once."""


class RunsBulk(RunsReplaying):
    """Cancels and replays of many runs. A worker of the stack works them off, a page at a time: the caller may end meanwhile."""

    def bulk_cancel(self, opts: BulkCancelReplayOpts) -> BulkOperation:
        """Have runs cancelled by ids or by a filter (of those that match, the ones not settled yet). Durably stored on return, done soon after (up
        to 100 ids: in the call, as far as it gets in half a second): `get_bulk` tells how far it is, `wait_for_bulk` waits. What is wrong with one run, such as an unknown id, is among the `reasons`.

        An id of a task run cancels that task. NotConfigured where the stack has no worker.
        """
        return self._ask_for(_cancel(), opts, OPEN)

    aio_bulk_cancel = aio(bulk_cancel)

    def bulk_replay(self, opts: BulkCancelReplayOpts, *, only_failed: bool = False) -> BulkOperation:
        """Have runs replayed by ids or by a filter (of those that match, the ones that are over), as `replay` does. Durably stored on return, as
        `bulk_cancel` is.

        One operation replays no run twice, whatever dies meanwhile; a run that goes on already is left alone. `only_failed`: what completed
        stays as it is. NotConfigured where the stack has no worker.
        """
        return self._ask_for(_replay(), opts, OVER, only_failed=only_failed)

    aio_bulk_replay = aio(bulk_replay)

    def bulk_cancel_by_filters_with_pagination(
        self,
        sleep_time: int = 3,
        chunk_size: int = 500,
        since: datetime | None = None,
        until: datetime | None = None,
        statuses: Sequence[RunStatus] | None = None,
        additional_metadata: Mapping[str, str] | None = None,
        workflow_ids: Sequence[str] | None = None,
    ) -> BulkOperation:
        """As `bulk_cancel` by filter, `chunk_size` runs (at most 1,000) at a time with `sleep_time` seconds (at most 900) between chunks."""
        wanted = self._wanted(
            since=since,
            until=until,
            statuses=statuses or OPEN,
            additional_metadata=additional_metadata,
            workflow_ids=workflow_ids,
        )
        return self._in_chunks(_cancel(), wanted, chunk_size, sleep_time)

    aio_bulk_cancel_by_filters_with_pagination = aio(bulk_cancel_by_filters_with_pagination)

    def bulk_replay_by_filters_with_pagination(
        self,
        sleep_time: int = 3,
        chunk_size: int = 500,
        since: datetime | None = None,
        until: datetime | None = None,
        statuses: Sequence[RunStatus] | None = None,
        additional_metadata: Mapping[str, str] | None = None,
        workflow_ids: Sequence[str] | None = None,
    ) -> BulkOperation:
        """As `bulk_replay` by filter (default: all that is over), `chunk_size` runs (at most 1,000) at a time with `sleep_time` seconds (at
        most 900) between chunks."""
        wanted = self._wanted(
            since=since,
            until=until,
            statuses=statuses or OVER,
            additional_metadata=additional_metadata,
            workflow_ids=workflow_ids,
        )
        return self._in_chunks(_replay(), wanted, chunk_size, sleep_time)

    aio_bulk_replay_by_filters_with_pagination = aio(bulk_replay_by_filters_with_pagination)

    # ---- how far it is

    def get_bulk(self, bulk_id: str) -> BulkOperation:
        """A bulk operation as it is now. ValueError where there is none of that id; they are kept for 7 days."""
        from headrace.clients.models.bulk import bulk_operation

        return bulk_operation(self._operation(bulk_id))

    def _operation(self, bulk_id: str) -> operation.BulkOperation:
        from headrace.engine.runs.bulk.operation import get_operation

        found = get_operation(self._app.engine, bulk_id)
        if found is None or found.namespace != self._app.settings.prefix:
            raise ValueError(f"there is no bulk operation {bulk_id}: they are kept for 7 days")
        return found

    aio_get_bulk = aio(get_bulk)

    def list_bulk(self) -> list[BulkOperation]:
        """The bulk operations of the last 7 days, the newest first."""
        from headrace.clients.models.bulk import bulk_operation
        from headrace.engine.runs.bulk.operation import list_operations

        prefix = self._app.settings.prefix
        return [
            bulk_operation(each) for each in list_operations(self._app.engine) if each.namespace == prefix
        ]

    aio_list_bulk = aio(list_bulk)

    def watch_bulk(self, bulk_id: str) -> Iterator[BulkOperation]:
        """The operation as it is, twice a second, until it has ended.

        Where no worker has gone on with it for 2 seconds, as behind a long queue, this process works on it, too.
        """
        from headrace.clients.models.bulk import bulk_operation
        from headrace.engine.runs.bulk.work import lend_a_hand

        engine, alone = self._app.engine, False
        while True:
            found = self._operation(bulk_id)
            yield bulk_operation(found)
            if found.status.value != "WORKING":
                return
            alone = alone or engine.clock.now_ms() - found.changed_at_ms >= HELPS_AFTER_MS
            if alone and not found.pause_s:
                lend_a_hand(engine, bulk_id, HELPS_FOR_MS)
            else:
                engine.clock.sleep(LOOK_EVERY_S)

    def wait_for_bulk(self, bulk_id: str, *, timeout: float | None = None) -> BulkOperation:
        """Wait until a bulk operation has ended, as `watch_bulk` does; `timeout` in seconds, None: as long as it takes. TimeoutError while it goes on.

        HeadraceError, with the reason, where it was stopped because its message could not be processed.
        """
        clock = self._app.engine.clock
        until_ms = None if timeout is None else clock.now_ms() + int(timeout * 1000)
        found: BulkOperation | None = None
        for found in self.watch_bulk(bulk_id):
            if found.status == "WORKING" and until_ms is not None and clock.now_ms() >= until_ms:
                raise TimeoutError(f"bulk operation {bulk_id} goes on after {timeout:g} seconds")
        assert found is not None  # it yields once at least
        if found.status == "STOPPED":
            raise HeadraceError(f"bulk operation {bulk_id} was stopped: {found.reasons[-1]}")
        return found

    aio_wait_for_bulk = aio(wait_for_bulk)

    # ---- asking

    def _ask_for(
        self,
        kind: BulkKind,
        opts: BulkCancelReplayOpts,
        default: Sequence[RunStatus],
        *,
        only_failed: bool = False,
    ) -> BulkOperation:
        """`default`: the statuses, where the filter names none."""
        from headrace.clients.models.bulk import bulk_operation
        from headrace.engine.runs.bulk.operation import Asked, ask

        wanted = None
        if opts.filters is not None:
            wanted = self._wanted(
                since=opts.filters.since,
                until=opts.filters.until,
                statuses=opts.filters.statuses or default,
                additional_metadata=opts.filters.additional_metadata,
                workflow_ids=opts.filters.workflow_ids,
            )
        asked = Asked(
            kind=kind,
            ids=opts.ids or (),
            wanted=wanted,
            namespace=self._app.settings.prefix,
            only_failed=only_failed,
        )
        operation = ask(self._app.engine, asked)
        return self._begun(operation) if 0 < len(asked.ids) <= FEW else bulk_operation(operation)

    def _begun(self, asked: operation.BulkOperation) -> BulkOperation:
        """The operation, done as far as this process gets in a moment. Where it may not or cannot, the worker does it alone."""
        from headrace.clients.models.bulk import bulk_operation
        from headrace.engine.runs.bulk.operation import get_operation
        from headrace.engine.runs.bulk.work import lend_a_hand

        try:
            lend_a_hand(self._app.engine, asked.id, HELPS_FOR_MS)
            found = get_operation(self._app.engine, asked.id)
        except (AccessDenied, QueueUnavailable, StoreUnavailable):
            return bulk_operation(asked)
        return bulk_operation(found or asked)

    def _in_chunks(self, kind: BulkKind, wanted: Wanted, chunk_size: int, sleep_time: int) -> BulkOperation:
        from headrace.clients.models.bulk import bulk_operation
        from headrace.engine.runs.bulk.operation import LARGEST_PAGE, Asked, ask
        from headrace.ports import MAX_DELAY_S

        if not 1 <= chunk_size <= LARGEST_PAGE:
            raise ValueError(f"chunk_size is {chunk_size}: give 1 to {LARGEST_PAGE}")
        if not 0 <= sleep_time <= MAX_DELAY_S:
            raise ValueError(f"sleep_time is {sleep_time}: give 0 to {MAX_DELAY_S} seconds")
        asked = Asked(
            kind=kind,
            wanted=wanted,
            namespace=self._app.settings.prefix,
            page=chunk_size,
            pause_s=int(sleep_time),
        )
        return bulk_operation(ask(self._app.engine, asked))


def _cancel() -> BulkKind:
    from headrace.engine.runs.bulk.operation import BulkKind

    return BulkKind.CANCEL


def _replay() -> BulkKind:
    from headrace.engine.runs.bulk.operation import BulkKind

    return BulkKind.REPLAY
