"""A page of the list of runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from headrace.clients.models import PaginationResponse, V1TaskSummary, V1TaskSummaryList
from headrace.clients.runs.details import Loaded, run_summary, task_summaries
from headrace.clients.runs.listing import PAGE, Wanted, runs
from headrace.clients.runs.loading import load_many

if TYPE_CHECKING:
    from headrace.core.run.record import RunRecord
    from headrace.engine.engine import Engine


def page(
    engine: Engine, wanted: Wanted, *, offset: int, limit: int, only_tasks: bool, payloads: bool
) -> V1TaskSummaryList:
    """`limit` rows from `offset` on (both count rows: tasks where `only_tasks`), and whether more follow."""
    found = runs(engine, wanted)
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
    )


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
