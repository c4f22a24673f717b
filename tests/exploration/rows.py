"""Items of the table, each content once: equal items are one row, so tables compare by the numbers of their rows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from itertools import count

from exploration.requests import Lists, Queries
from headrace.core.changes import Applied, Item, Key, Value, Write, Written
from headrace.core.run.record import RunRecord
from headrace.core.run.stored.record import record_of
from headrace.core.waits.holders import GateState, state_of
from headrace.memory.store import MemoryStore

NAMES = re.compile(r"~([^~]*):(\d+):\d+")
"""What a process is named in items: who it is, and which of its kind."""

Who = tuple[str, int]


class Row:
    """An item, with what is read off it again and again."""

    def __init__(self, number: int, key: Key, item: Item, text: str) -> None:
        self.number = number
        self.key = key
        self.item = item
        self.names: frozenset[Who] = frozenset((who, int(n)) for who, n in NAMES.findall(text))

    @cached_property
    def record(self) -> RunRecord | None:
        return record_of(self.item) if self.key.sk == "run" else None

    @cached_property
    def gate(self) -> GateState | None:
        return (
            state_of(self.item)
            if self.key.sk == "gate" and self.key.pk.startswith(("gate#", "places#"))
            else None
        )


class Table:
    """Rows by key. Never changed: `put` gives another."""

    __slots__ = ("mark", "rows")

    def __init__(self, rows: Mapping[Key, Row]) -> None:
        self.rows = rows
        self.mark = tuple(sorted(row.number for row in rows.values()))

    def put(self, key: Key, row: Row | None) -> Table:
        if self.rows.get(key) is row:
            return self
        rows = {**self.rows}
        if row is None:
            del rows[key]
        else:
            rows[key] = row
        return Table(rows)

    def partition(self, pk: str) -> tuple[Row, ...]:
        return tuple(sorted((r for k, r in self.rows.items() if k.pk == pk), key=lambda row: row.key))

    def records(self) -> dict[str, RunRecord]:
        return {row.record.run_id: row.record for row in self.rows.values() if row.record is not None}

    def names(self) -> set[Who]:
        return {name for row in self.rows.values() for name in row.names}


class Rows:
    """Makes rows, and asks the memory store what a request makes of them."""

    def __init__(self) -> None:
        self._known: dict[str, Row] = {}
        self._numbers = count()

    def of(self, item: Item) -> Row:
        text = json.dumps(item, sort_keys=True, default=sorted)
        found = self._known.get(text)
        if found is None:
            key = Key(str(item["pk"]), str(item["sk"]))
            found = self._known[text] = Row(next(self._numbers), key, item, text)
        return found

    def table(self, items: Iterable[Item]) -> Table:
        rows = [self.of(item) for item in items]
        return Table({row.key: row for row in rows})

    def write(self, write: Write, before: Row | None) -> tuple[Written, Row | None]:
        """The answer, and the row that is there afterwards."""
        written = store_of([before] if before is not None else []).write(write)
        if not isinstance(written, Applied):
            return written, before
        return written, None if written.item is None else self.of(written.item)

    def query(self, of: Queries, rows: Iterable[Row]) -> list[Item]:
        return store_of(rows).query(of.pk, prefix=of.prefix, after=of.after, limit=of.limit)

    def list(self, of: Lists, rows: Iterable[Row]) -> list[Item]:
        return store_of(rows).query_index(
            of.index, of.pk, low=of.low, high=of.high, limit=of.limit, newest_first=of.newest_first
        )

    def without_lease(self, row: Row, who: Who) -> Row:
        """The record with the leases over that `who` holds."""
        item, tasks = row.item, row.item.get("tasks")
        mine = f"~{who[0]}:{who[1]}:"
        held = [n for n, t in tasks.items() if _holds(t, mine)] if isinstance(tasks, dict) else []
        if not held or not isinstance(tasks, dict):
            return row
        over: dict[str, Value] = {
            name: {**task, "l": 0} if name in held and isinstance(task, dict) else task
            for name, task in tasks.items()
        }
        return self.of({**item, "tasks": over})


def _holds(task: Value, mine: str) -> bool:
    return isinstance(task, dict) and str(task.get("o", "")).startswith(mine) and bool(task.get("l"))


def store_of(rows: Iterable[Row]) -> MemoryStore:
    """A store with these items."""
    store = MemoryStore()
    for row in rows:
        store._index(row.key, None, row.item)
        store._partitions.setdefault(row.key.pk, {})[row.key.sk] = row.item
    return store
