"""Runs by age: the listing index (workflow, day, shard), merged newest first and read in batches."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from headrace.core.graph import run_status
from headrace.core.owed import ran_on
from headrace.core.record import INDEX_SHARDS, RunRecord, RunStatus, index_day, index_partition
from headrace.engine.results import read_many

if TYPE_CHECKING:
    from headrace.engine.engine import Engine

PAGE = 100
"""How many index entries, and how many records, are read at once."""

PARALLEL = 8
"""How many partitions of the index are read at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which runs: of these workflows, created from `since_ms` to `until_ms`; None elsewhere means any.

    Of `metadata` one pair that matches is enough (PARITY H1).
    """

    workflows: Sequence[str]
    since_ms: int
    until_ms: int
    statuses: frozenset[RunStatus] | None = None
    metadata: Mapping[str, str] | None = None
    parent: tuple[str, str | None] | None = None
    worker: str | None = None

    def takes(self, record: RunRecord) -> bool:
        """Whether the record is one of these; what the index knows already is not looked at again."""
        if self.parent is not None and not _is_child(record, self.parent):
            return False
        if self.worker is not None and all(ran_on(record, task) != self.worker for task in record.tasks):
            return False
        if self.metadata and not any(_says(record.metadata.get(k), v) for k, v in self.metadata.items()):
            return False
        return self.statuses is None or run_status(record) in self.statuses


def _is_child(record: RunRecord, parent: tuple[str, str | None]) -> bool:
    link, (run_id, task) = record.parent, parent
    return link is not None and link.run_id == run_id and task in (None, link.task)


def _says(found: Any, wanted: Any) -> bool:
    return found is not None and (found == wanted or str(found) == str(wanted))


def runs(engine: Engine, wanted: Wanted) -> Iterator[RunRecord]:
    """The runs that are wanted, newest first, read as they are asked for (eventually consistent as to which there are)."""
    ids = run_ids(engine, wanted)
    while chunk := list(islice(ids, PAGE)):
        for record in read_many(engine, chunk):
            if record is not None and wanted.takes(record):
                yield record


def run_ids(engine: Engine, wanted: Wanted) -> Iterator[str]:
    """Their ids as the index has them: workflows and times are honoured, the rest is not looked at."""
    failed_only = wanted.statuses is not None and wanted.statuses <= {RunStatus.FAILED}
    index, attribute = ("failed", "fsk") if failed_only else ("listing", "lsk")
    for day in range(index_day(wanted.until_ms), index_day(wanted.since_ms) - 1, -1):
        partitions = [
            _Partition(engine, index, attribute, index_partition(workflow, day, shard), wanted)
            for workflow in wanted.workflows
            for shard in range(INDEX_SHARDS)
        ]
        with ThreadPoolExecutor(PARALLEL) as pool:
            first = list(pool.map(_Partition.page, partitions))
        entries = [part.entries(page) for part, page in zip(partitions, first, strict=True) if page]
        for order in heapq.merge(*entries, reverse=True):
            yield order.split("#", 1)[1]


@dataclass(frozen=True, slots=True)
class _Partition:
    """One partition of an index, read by pages from its newest entry."""

    engine: Engine
    index: str
    attribute: str
    name: str
    wanted: Wanted

    def page(self, below: str | None = None) -> list[str]:
        """The next sort keys, newest first: those below `below`."""
        items = self.engine.store.query_index(
            self.index,
            self.name,
            low=f"{self.wanted.since_ms:013d}",
            high=below if below is not None else f"{self.wanted.until_ms:013d}#~",
            limit=PAGE + 1,  # `high` itself is among them
        )
        return [order for item in items if (order := str(item[self.attribute])) != below][:PAGE]

    def entries(self, page: list[str]) -> Iterator[str]:
        while page:
            yield from page
            page = self.page(page[-1]) if len(page) == PAGE else []
