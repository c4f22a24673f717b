"""`hatchet.event`: push events, and see what came of them."""

from __future__ import annotations

import builtins
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

from headrace.clients.asked import among, pairs, texts, time_ms
from headrace.clients.naming import App, workflow_names
from headrace.clients.pages import DEFAULT_LIMIT, span_of
from headrace.core.events.event import Event as Pushed
from headrace.core.events.event import Trigger, event_id_at
from headrace.core.run.derived.progress import run_status
from headrace.core.run.record import RunRecord, RunStatus
from headrace.engine.events import records
from headrace.engine.events.handle import run_id_of
from headrace.engine.events.push import push
from headrace.engine.runs.read import read_many
from headrace.options.events import check_key
from headrace.options.priority import check_priority
from headrace.telemetry import tracing
from headrace.triggers.children import current
from headrace.triggers.faces import aio
from headrace.values.codec import input_text, metadata_of

if TYPE_CHECKING:
    from headrace.clients.models.events import (
        BulkPushEventOptions,
        BulkPushEventWithMetadata,
        Event,
        PushEventOptions,
        V1Event,
        V1EventList,
        V1EventWorkflowRunSummary,
    )

MOST_PUSHED = 1_000
"""Events a `bulk_push` takes (PARITY G2)."""

DAY_MS = 86_400_000
SOURCE_RUN, SOURCE_STEP = "hatchet__source_workflow_run_id", "hatchet__source_step_run_id"


class EventClient:
    """Events. A push returns when the stack's queue has it: from then on it starts exactly one run for each workflow and filter."""

    def __init__(self, app: App) -> None:
        self._app = app

    # ---- push

    def push(
        self,
        event_key: str,
        payload: Any = None,
        options: PushEventOptions | None = None,
        additional_metadata: Mapping[str, Any] | None = None,
        priority: int | None = None,
        scope: str | None = None,
    ) -> Event:
        """Push an event: it starts the workflows whose `on_events` name its key, and wakes tasks that wait for it.

        payload: a dict, a pydantic model or a dataclass, up to 4 MB; it is the input of the runs. additional_metadata: of the runs, too.
        priority: of the runs; default: each workflow's own. scope: what filters are for. `options` is deprecated: give its fields here.
        ValueError or TypeError, before anything is sent, for what is no event; PayloadTooLargeError for a payload over the limit.
        """
        from headrace.clients.models.events import BulkPushEventWithMetadata

        namespace = None
        if options is not None:
            additional_metadata = {**options.additional_metadata, **(additional_metadata or {})}
            priority = priority if priority is not None else options.priority
            scope = scope if scope is not None else options.scope
            namespace = options.namespace
        one = BulkPushEventWithMetadata.model_construct(
            key=event_key,
            payload=payload,
            additional_metadata=dict(additional_metadata or {}),
            priority=priority,
            scope=scope,
        )
        return self._push([one], namespace, bulk=False)[0]

    aio_push = aio(push)

    def bulk_push(
        self, events: Sequence[BulkPushEventWithMetadata], options: BulkPushEventOptions | None = None
    ) -> list[Event]:
        """Push up to 1,000 events; the results in order. All are checked before the first is sent. ValueError for more."""
        if len(events) > MOST_PUSHED:
            raise ValueError(
                f"bulk_push takes {MOST_PUSHED:,} events a call, not {len(events):,}: push them in parts"
            )
        return self._push(events, options.namespace if options is not None else None, bulk=True)

    aio_bulk_push = aio(bulk_push)

    def _push(
        self, events: Sequence[BulkPushEventWithMetadata], namespace: str | None, *, bulk: bool
    ) -> list[Event]:
        with tracing.pushing([self._event(each, namespace) for each in events], bulk=bulk) as made:
            push(self._app.engine, made)
            return [_shown(self._app.settings.stack, each) for each in made]

    def _event(self, given: BulkPushEventWithMetadata, namespace: str | None) -> Pushed:
        engine = self._app.engine
        key = check_key(given.key, "the key of an event")
        if "*" in key:
            raise ValueError(f"event {key!r}: a key that is pushed has no '*': wildcards belong in on_events")
        if given.priority is not None:
            check_priority(given.priority, f"event {key!r}: priority")
        if given.scope is not None and (not isinstance(given.scope, str) or not given.scope):
            raise ValueError(f"event {key!r}: scope is {given.scope!r}: give a non-empty text, or none")
        try:
            text = input_text(given.payload)
            metadata = metadata_of(given.additional_metadata)
        except TypeError as error:
            reason = str(error).replace("the input", "the payload").replace("an input", "a payload")
            raise TypeError(f"event {key!r}: {reason}") from error
        now_ms = engine.clock.now_ms()
        return Pushed(
            event_id=event_id_at(now_ms, engine.ids.run_id().encode()),
            key=self._app.settings.apply_namespace(key, namespace),
            pushed_at_ms=now_ms,
            payload=text or "{}",
            scope=given.scope,
            metadata=metadata,
            priority=int(given.priority) if given.priority is not None else None,
            source=_source(),
        )

    # ---- read

    def get(self, event_id: str) -> V1Event:
        """An event with its runs. ValueError where there is none: it is stored as soon as it was handled."""
        found = records.get(self._app.engine, event_id)
        if found is None:
            raise ValueError(
                f"Event {event_id} not found: it is stored a moment after it was pushed, and kept as long as runs are"
            )
        return self._pages([found])[0]

    aio_get = aio(get)

    def list(
        self,
        offset: int | None = None,
        limit: int | None = None,
        keys: Sequence[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        workflow_ids: Sequence[str] | None = None,
        workflow_run_statuses: Sequence[RunStatus] | None = None,
        event_ids: Sequence[str] | None = None,
        additional_metadata: Mapping[str, str] | None = None,
        scopes: Sequence[str] | None = None,
    ) -> V1EventList:
        """Events, newest first: those pushed from `since` (default: a day ago) until `until` (default: now).

        `limit` defaults to 50. None means any; all pairs of `additional_metadata` have to match, of `workflow_run_statuses` one run has to
        have one. `workflow_ids` takes ids or names. Each day that is asked for costs 8 requests, and more for its events.
        """
        from headrace.clients.models.events import V1EventList
        from headrace.clients.models.resource import PaginationResponse

        first, size = span_of(offset, limit)
        statuses = among(workflow_run_statuses, RunStatus, "workflow_run_statuses")
        wanted = self._wanted(keys, workflow_ids, event_ids, additional_metadata, scopes)
        found: Iterator[_Found] = filter(wanted, self._all(since, until))
        if statuses is not None:
            found = self._with_status(found, statuses)
        rows = list(islice(found, first, first + size + 1))
        current = first // size + 1
        more = len(rows) > size
        return V1EventList(
            rows=self._pages(rows[:size]),
            pagination=PaginationResponse(
                current_page=current,
                next_page=current + 1 if more else None,
                num_pages=None if more else current,
            ),
        )

    aio_list = aio(list)

    def _all(self, since: datetime | None, until: datetime | None) -> Iterator[_Found]:
        now_ms = self._app.engine.clock.now_ms()
        return records.newest_first(
            self._app.engine,
            since_ms=time_ms(since, "since", now_ms - DAY_MS),
            until_ms=time_ms(until, "until", now_ms),
        )

    def _wanted(
        self,
        keys: Sequence[str] | None,
        workflow_ids: Sequence[str] | None,
        event_ids: Sequence[str] | None,
        metadata: Mapping[str, str] | None,
        scopes: Sequence[str] | None,
    ) -> Callable[[_Found], bool]:
        keys, workflow_ids = texts(keys, "keys"), texts(workflow_ids, "workflow_ids")
        event_ids, scopes, wanted = texts(event_ids, "event_ids"), texts(scopes, "scopes"), pairs(metadata)
        spaced = {*(keys or ()), *(self._app.settings.apply_namespace(each) for each in keys or ())}
        names = workflow_names(self._app, workflow_ids or ())

        def takes(found: _Found) -> bool:
            event, triggers = found
            return (
                event.key.startswith(self._app.settings.prefix)
                and (not keys or event.key in spaced)
                and (not workflow_ids or any(each.workflow in names for each in triggers))
                and (not event_ids or event.event_id in event_ids)
                and (not scopes or event.scope in scopes)
                and all(str(event.metadata.get(k)) == str(v) for k, v in wanted.items())
            )

        return takes

    def _with_status(self, found: Iterator[_Found], statuses: frozenset[RunStatus]) -> Iterator[_Found]:
        while page := list(islice(found, DEFAULT_LIMIT)):
            runs = self._runs(page)
            for each in page:
                mine = [runs.get(run_id_of(each[0], trigger)) for trigger in each[1]]
                if any(run is not None and run_status(run) in statuses for run in mine):
                    yield each

    def _runs(self, found: Sequence[_Found]) -> dict[str, RunRecord]:
        ids = [run_id_of(event, trigger) for event, triggers in found for trigger in triggers]
        read = read_many(self._app.engine, ids) if ids else []
        return {record.run_id: record for record in read if record is not None}

    def _pages(self, found: Sequence[_Found]) -> builtins.list[V1Event]:
        """Events with the runs that they started, which are read in one batch."""
        runs = self._runs(found)
        return [_listed(self._app, event, triggers, runs) for event, triggers in found]


_Found: TypeAlias = tuple[Pushed, tuple[Trigger, ...]]


def _source() -> dict[str, Any]:
    """The reserved metadata that names the task whose code pushes; none outside of tasks."""
    spawner = current.get()
    if spawner is None:
        return {}
    return {SOURCE_RUN: spawner.record.run_id, SOURCE_STEP: spawner.step_run_id}


def _shown(stack: str, event: Pushed) -> Event:
    from headrace.clients.models.events import Event

    metadata = {**event.metadata, **event.source}
    return Event(
        tenant_id=stack,
        event_id=event.event_id,
        key=event.key,
        payload=event.payload or "{}",
        event_timestamp=_time(event.pushed_at_ms),
        additional_metadata=json.dumps(metadata) if metadata else None,
        scope=event.scope,
        seen_at=_time(event.pushed_at_ms),
    )


def _listed(app: App, event: Pushed, triggers: Sequence[Trigger], runs: Mapping[str, RunRecord]) -> V1Event:
    from headrace.clients.models.events import V1Event, V1EventTriggeredRun
    from headrace.clients.models.resource import APIResourceMeta

    at = _time(event.pushed_at_ms)
    started = [(run_id_of(event, each), each.filter_id) for each in triggers]
    started = [(run_id, filter_id) for run_id, filter_id in started if run_id in runs]
    return V1Event(
        metadata=APIResourceMeta(id=event.event_id, created_at=at, updated_at=at),
        key=event.key,
        tenant_id=app.settings.stack,
        workflow_run_summary=_summary([runs[run_id] for run_id, _ in started]),
        payload=json.loads(records.with_payload(app.engine, event).payload or "{}"),
        additional_metadata={**event.metadata, **event.source},
        scope=event.scope,
        seen_at=at,
        triggered_runs=[V1EventTriggeredRun(workflow_run_id=r, filter_id=f) for r, f in started],
        triggering_webhook_name=event.webhook,
    )


def _summary(runs: Sequence[RunRecord]) -> V1EventWorkflowRunSummary:
    from headrace.clients.models.events import V1EventWorkflowRunSummary

    found = [run_status(each) for each in runs]
    return V1EventWorkflowRunSummary(
        running=found.count(RunStatus.RUNNING),
        queued=found.count(RunStatus.QUEUED),
        succeeded=found.count(RunStatus.COMPLETED),
        failed=found.count(RunStatus.FAILED),
        cancelled=found.count(RunStatus.CANCELLED),
    )


def _time(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
