"""Runs by age: the shards of the listing index, merged newest first; their records are read in batches."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any

from headrace.core.run.derived.progress import run_status
from headrace.core.run.ids import workflow_id
from headrace.core.run.owed import ran_on
from headrace.core.run.record import IndexEntry, RunRecord, RunStatus, index_entry_of
from headrace.core.table import RUN_SHARDS, runs_listed
from headrace.core.values import dataclass
from headrace.engine.runs.read import read_many

if TYPE_CHECKING:
    from headrace.engine.engine import Engine

PAGE = 100
"""How many records are read at once, and how many index entries at first."""

LATER_PAGE = 5_000
"""How many index entries are read at once when the first page of a partition held too few that are wanted. An entry is some 100 bytes."""

PARALLEL = 8
"""How many partitions of the index are read at once."""


EVENT_ID = "hatchet__event_id"
"""The metadata entry of a run that an event started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which runs: those created from `since_ms` to `until_ms`; None elsewhere means any.

    `workflows` holds names and ids, `namespace` the beginning of their names. Of `metadata` one pair that matches is enough
    (PARITY H1).
    """

    since_ms: int
    until_ms: int
    workflows: frozenset[str] | None = None
    namespace: str = ""
    statuses: frozenset[RunStatus] | None = None
    metadata: Mapping[str, str] | None = None
    parent: tuple[str, str | None] | None = None
    worker: str | None = None
    event: str | None = None

    def lists(self, entry: IndexEntry) -> bool:
        """Whether the run may be one of these, by what the index knows: if not, its record is not read."""
        if self.parent is not None and entry.parent != self.parent[0]:
            return False
        if self.workflows is not None:
            return entry.workflow in self.workflows or workflow_id(entry.workflow) in self.workflows
        return entry.workflow.startswith(self.namespace)

    def takes(self, record: RunRecord) -> bool:
        """Whether the record is one of these; what the index knows already is not looked at again."""
        if self.parent is not None and not _is_child(record, self.parent):
            return False
        if self.worker is not None and all(ran_on(record, task) != self.worker for task in record.tasks):
            return False
        if self.event is not None and record.metadata.get(EVENT_ID) != self.event:
            return False
        if self.metadata and not any(_says(record.metadata.get(k), v) for k, v in self.metadata.items()):
            return False
        return self.statuses is None or run_status(record) in self.statuses


def _is_child(record: RunRecord, parent: tuple[str, str | None]) -> bool:
    link, (run_id, task) = record.parent, parent
    return link is not None and link.run_id == run_id and task in (None, link.task)


def _says(found: Any, wanted: Any) -> bool:
    return found is not None and (found == wanted or str(found) == str(wanted))


@dataclass(slots=True)
class Bound:
    """How many more records may be read; and, once that stopped a search, when the last that was read had been created."""

    left: int
    stopped_at_ms: int | None = None


def runs(engine: Engine, wanted: Wanted, bound: Bound | None = None) -> Iterator[RunRecord]:
    """The runs that are wanted, newest first, read as they are asked for (eventually consistent as to which there are)."""
    ids = run_ids(engine, wanted)
    read_at_ms: int | None = None
    while chunk := list(islice(ids, PAGE)):
        if bound is not None:
            if bound.left <= 0:
                bound.stopped_at_ms = read_at_ms
                return
            bound.left -= len(chunk)
        for record in read_many(engine, chunk):
            if record is None:
                continue
            read_at_ms = record.created_at_ms
            if wanted.takes(record):
                yield record


def run_ids(engine: Engine, wanted: Wanted) -> Iterator[str]:
    """Their ids, by what the index has: workflows, parents and times are honoured, the rest is not looked at.

    One request a shard for each hundred runs, however many workflows there are and days are asked for.
    """
    for _, entry in entries(engine, wanted):
        if wanted.lists(entry):
            yield entry.run_id


def entries(engine: Engine, wanted: Wanted, below: str | None = None) -> Iterator[tuple[str, IndexEntry]]:
    """All entries of the index from `since_ms` to `until_ms`, newest first, each with its sort key; those below the sort key `below`."""
    failed_only = wanted.statuses is not None and wanted.statuses <= {RunStatus.FAILED}
    index, attribute = ("failed", "fsk") if failed_only else ("listing", "lsk")
    partitions = [
        _Partition(engine, index, attribute, runs_listed(shard), wanted) for shard in range(RUN_SHARDS)
    ]
    with ThreadPoolExecutor(PARALLEL) as pool:
        first = list(pool.map(lambda part: part.page(below), partitions))
    orders = [part.entries(page) for part, page in zip(partitions, first, strict=True) if page]
    for order in heapq.merge(*orders, reverse=True):
        yield order, index_entry_of(order)


@dataclass(frozen=True, slots=True)
class _Partition:
    """One partition of an index, read by pages from its newest entry."""

    engine: Engine
    index: str
    attribute: str
    name: str
    wanted: Wanted

    def page(self, below: str | None = None, size: int = PAGE) -> list[str]:
        """The next sort keys, newest first: those below `below`."""
        items = self.engine.store.query_index(
            self.index,
            self.name,
            low=f"{self.wanted.since_ms:013d}",
            high=below if below is not None else f"{self.wanted.until_ms:013d}#~",
            limit=size + 1,  # `high` itself is among them
        )
        return [order for item in items if (order := str(item[self.attribute])) != below][:size]

    def entries(self, page: list[str]) -> Iterator[str]:
        size = PAGE
        while page:
            yield from page
            page = self.page(page[-1], LATER_PAGE) if len(page) == size else []
            size = LATER_PAGE
