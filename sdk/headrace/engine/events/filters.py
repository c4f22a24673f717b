"""Filters of events: those that definitions declare, and those that were created; how long a process believes them."""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from headrace.core.changes import ITEM_EXISTS, ITEM_MISSING, Applied, Delete, Item, Key, Put
from headrace.core.events.match import Filter
from headrace.core.run.plans.plan import Json
from headrace.core.sizes import MAX_CARRIED_BYTES, check_size
from headrace.core.table import FILTERS, filter_key
from headrace.engine.catalog.workflows import KEPT_MS, Published, all_published
from headrace.engine.engine import Engine

_DECLARED = uuid.UUID("7f4b6f1c-0f0e-5b37-8a52-1f1d3c1b7a10")


def declared(workflow: Published) -> Iterator[Filter]:
    """The filters that a definition declares. Their ids follow from what they say."""
    for each in workflow.filters:
        identity = _identity(workflow.name, each.scope, each.expression, each.payload)
        yield Filter(
            filter_id=str(uuid.uuid5(_DECLARED, identity)),
            workflow=workflow.name,
            expression=each.expression,
            scope=each.scope,
            payload=each.payload,
            declared=True,
        )


def created(engine: Engine) -> list[Filter]:
    """The filters that were created, as they are now: one query."""
    found = {each.filter_id: each for each in map(_decode, engine.store.query(FILTERS))}
    return list(found.values())


def all_filters(engine: Engine) -> list[Filter]:
    """Every filter of the stack, as it is now; those of one workflow together, the oldest first."""
    known = [each for workflow in all_published(engine).values() for each in declared(workflow)]
    return sorted([*known, *created(engine)], key=lambda each: (each.workflow, each.created_at_ms))


def by_workflow(engine: Engine) -> Mapping[str, Sequence[Filter]]:
    """Every filter by its workflow, at most KEPT_MS old."""
    now_ms = engine.clock.now_ms()
    known: Mapping[str, Sequence[Filter]] | None = engine.catalog.known(FILTERS, now_ms)
    if known is None:
        known = _grouped(all_filters(engine))
        engine.catalog.learn(FILTERS, known, now_ms + KEPT_MS)
    return known


def _grouped(filters: Iterable[Filter]) -> Mapping[str, Sequence[Filter]]:
    out: dict[str, list[Filter]] = defaultdict(list)
    for each in filters:
        out[each.workflow].append(each)
    return dict(out)


def create(engine: Engine, new: Filter) -> Filter:
    """Store a filter. One of the same workflow, scope, expression and payload is left as it is, and returned. PayloadTooLargeError."""
    _check_payload(new)
    written = engine.store.write(Put(key=_key(new), item=_encode(new), require=ITEM_MISSING))
    engine.catalog.forget()
    if isinstance(written, Applied) or written.item is None:
        return new
    return _decode(written.item)


def update(engine: Engine, old: Filter, new: Filter) -> bool:
    """Replace a filter by one of the same id. False: another says the same already, or it was deleted meanwhile.

    What is new is written first: dying in between leaves the id twice, which is read as one, the newer. PayloadTooLargeError.
    """
    _check_payload(new)
    if _key(new) == _key(old):
        done = isinstance(
            engine.store.write(Put(key=_key(new), item=_encode(new), require=ITEM_EXISTS)), Applied
        )
    else:
        done = isinstance(
            engine.store.write(Put(key=_key(new), item=_encode(new), require=ITEM_MISSING)), Applied
        )
        if done:
            engine.store.write(Delete(key=_key(old)))
    engine.catalog.forget()
    return done


def delete(engine: Engine, old: Filter) -> None:
    """Forget a filter. Doing it twice is harmless."""
    engine.store.write(Delete(key=_key(old)))
    engine.catalog.forget()


def _check_payload(new: Filter) -> None:
    check_size(f"the payload of a filter of {new.workflow}", new.payload, MAX_CARRIED_BYTES)


def _identity(workflow: str, scope: str, expression: str, payload: Mapping[str, Json]) -> str:
    return json.dumps([workflow, scope, expression, dict(payload)], sort_keys=True, ensure_ascii=False)


def _key(each: Filter) -> Key:
    identity = _identity(each.workflow, each.scope, each.expression, each.payload)
    return filter_key(each.workflow, identity)


def _encode(each: Filter) -> Item:
    return {
        "id": each.filter_id,
        "workflow": each.workflow,
        "expr": each.expression,
        "scope": each.scope,
        "payload": json.dumps(dict(each.payload), separators=(",", ":"), ensure_ascii=False),
        "created": each.created_at_ms,
        "updated": each.updated_at_ms,
    }


def _decode(item: Item) -> Filter:
    return Filter(
        filter_id=str(item["id"]),
        workflow=str(item["workflow"]),
        expression=str(item["expr"]),
        scope=str(item["scope"]),
        payload=json.loads(str(item["payload"])),
        created_at_ms=int(str(item["created"])),
        updated_at_ms=int(str(item["updated"])),
    )
