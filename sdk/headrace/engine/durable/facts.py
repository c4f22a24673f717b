"""The facts that answer operations: children that have ended, events that have come."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from headrace.core.durable.answers import (
    EventFound,
    Facts,
    waits,
)
from headrace.core.durable.log import (
    ChildRun,
    Entry,
)
from headrace.core.run.derived.progress import finished, finished_at_ms
from headrace.core.run.record import RunRecord
from headrace.core.table import join_key, run_key
from headrace.engine.catalog.plans import record_in
from headrace.engine.durable.subscriptions import subscriptions_of
from headrace.engine.engine import Engine
from headrace.engine.finished import round_of
from headrace.engine.waits.kinds.children import leaf_for


def facts_for(
    engine: Engine, record: RunRecord, task: str, entries: Sequence[Entry], places: Mapping[str, int]
) -> Facts:
    """What is true of the open operations among `entries`: the children that have left their joins, one read of the subscriptions, and the
    clock. `places`: see `places_in_joins`, of all entries of the task."""
    return Facts(
        now_ms=engine.clock.now_ms(),
        events=events_for(engine, record, task, entries),
        ended_at_ms=_ended_children(engine, record, task, entries, places),
    )


def _ended_children(
    engine: Engine, record: RunRecord, task: str, entries: Sequence[Entry], places: Mapping[str, int]
) -> dict[str, int]:
    """When the children ended that are over, by run id. Of many only those are read that have left their join."""
    children = [entry.child for entry in entries if waits(entry) and entry.child is not None]
    ended: dict[str, int] = {}
    left = _left_their_joins(engine, record, task, children, places)
    for item in engine.store.get_many([run_key(run_id) for run_id in left]) if left else []:
        child = record_in(engine, item) if item is not None else None
        if child is not None and finished(child):
            engine.children.remember(round_of(record, task), child)
            ended[child.run_id] = finished_at_ms(child) or child.created_at_ms
    return ended


def _left_their_joins(
    engine: Engine, record: RunRecord, task: str, children: Sequence[ChildRun], places: Mapping[str, int]
) -> list[str]:
    """The children that may be over: those that are not in the leaf of their join any more, and any that is alone in it."""
    by_leaf: dict[str, list[str]] = {}
    for child in children:
        index = places.get(child.run_id, child.first)
        by_leaf.setdefault(leaf_for(record.run_id, task, child.first, index), []).append(child.run_id)
    shared = [leaf for leaf, members in by_leaf.items() if len(members) > 1]
    items = engine.store.get_many([join_key(leaf) for leaf in shared]) if shared else []
    inside: dict[str, object] = {
        leaf: item.get("left") for leaf, item in zip(shared, items, strict=True) if item is not None
    }
    return [
        run_id
        for leaf, members in by_leaf.items()
        for run_id in members
        if not _is_in(inside.get(leaf), places.get(run_id))
    ]


def _is_in(indexes: object, index: int | None) -> bool:
    return isinstance(indexes, frozenset | set) and index in indexes


def events_for(
    engine: Engine, record: RunRecord, task: str, entries: Iterable[Entry]
) -> dict[tuple[int, int], EventFound]:
    """The events that have satisfied subscriptions of the open operations: one batched read, none where there is none."""
    wanted = subscriptions_of(record, task, entries)
    if not wanted:
        return {}
    from headrace.core.events.event import short
    from headrace.engine.events import subscriptions

    found = subscriptions.look_up(engine, [each for _, each, _ in wanted])
    return {
        place: EventFound(
            at_ms=event.at_ms,
            payload=json.loads(event.payload) if event.payload else {},
            name=short(event.event_id),
        )
        for (place, _, _), event in zip(wanted, found, strict=True)
        if event is not None
    }
