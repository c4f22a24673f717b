"""A page of the list of runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

from headrace.clients.models.resource import PaginationResponse, at
from headrace.clients.models.runs import V1TaskSummary, V1TaskSummaryList
from headrace.clients.runs.details import Loaded, run_summary, task_summaries
from headrace.clients.runs.loading import load_many
from headrace.engine.runs.listing import PAGE, Bound, Wanted, runs

if TYPE_CHECKING:
    from headrace.core.run.record import RunRecord
    from headrace.engine.engine import Engine


def page(
    engine: Engine,
    wanted: Wanted,
    *,
    offset: int,
    limit: int,
    only_tasks: bool,
    payloads: bool,
    look_at: int | None = None,
) -> V1TaskSummaryList:
    """`limit` rows from `offset` on (both count rows: tasks where `only_tasks`), and whether more follow.

    `look_at`: how many records are read at most; `searched_until` says where that stopped it.
    """
    bound = Bound(look_at) if look_at is not None else None
    found = runs(engine, wanted, bound)
    if only_tasks:
        rows = list(islice(_tasks(engine, found, payloads), offset, offset + limit + 1))
    else:
        rows = list(_summaries(engine, islice(found, offset, offset + limit + 1), payloads))
    current = offset // limit + 1 if limit else 1
    return V1TaskSummaryList(
        rows=rows[:limit],
        pagination=PaginationResponse(
            current_page=current,
            next_page=current + 1 if len(rows) > limit else None,
            num_pages=None if len(rows) > limit else current,
        ),
        searched_until=stopped_at(bound) if len(rows) <= limit else None,
    )


def stopped_at(bound: Bound | None) -> datetime | None:
    return None if bound is None or bound.stopped_at_ms is None else at(bound.stopped_at_ms)


def _summaries(engine: Engine, records: Iterable[RunRecord], payloads: bool) -> Iterator[V1TaskSummary]:
    for loaded in _loaded(engine, records, payloads):
        yield run_summary(loaded)


def _tasks(engine: Engine, records: Iterable[RunRecord], payloads: bool) -> Iterator[V1TaskSummary]:
    for loaded in _loaded(engine, records, payloads):
        yield from task_summaries(loaded)


def _loaded(engine: Engine, records: Iterable[RunRecord], payloads: bool) -> Iterator[Loaded]:
    left = iter(records)
    while chunk := list(islice(left, PAGE)):
        yield from load_many(engine, chunk) if payloads else [Loaded(record=record) for record in chunk]
