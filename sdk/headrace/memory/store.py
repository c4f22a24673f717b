"""The table in memory: `core.changes.apply` on a dict."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping, Sequence

from headrace.core.changes import Applied, Item, Key, PathError, Refused, Write, Written, apply, copied_item
from headrace.core.table import INDEXES
from headrace.memory.faults import Faults, NoFaults
from headrace.memory.validity import InvalidWrite, check_operands, check_request, check_size


def _page(rows: Mapping[str, Item], prefix: str, after: str | None, limit: int | None) -> list[Item]:
    names = sorted(sk for sk in rows if sk.startswith(prefix) and (after is None or sk > after))
    return [copied_item(rows[sk]) for sk in names[:limit]]


def _entry(item: Item | None, partition: str, order: str) -> tuple[str, str] | None:
    """Where an item is in an index; None: it is not there."""
    if item is None or partition not in item or order not in item:
        return None
    return str(item[partition]), str(item[order])


def _order(entry: tuple[str, str, str]) -> str:
    return entry[0]


class MemoryStore:
    """A table of items and a place for objects. One lock: every write is atomic, as DynamoDB's are."""

    def __init__(self, faults: Faults | None = None) -> None:
        self._partitions: dict[str, dict[str, Item]] = {}
        self._indexes: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
        self._blobs: dict[str, bytes] = {}
        self._lock = threading.RLock()
        self.faults: Faults = faults or NoFaults()

    def write(self, write: Write) -> Written:
        self.faults.before("store", "write")
        check_request(write)
        with self._lock:
            result = self._apply(write)
            copy = copied_item(result.item) if result.item is not None else None
        self.faults.after("store", "write")
        return Applied(copy) if isinstance(result, Applied) else Refused(copy)

    def _apply(self, write: Write) -> Written:
        key = write.key
        before = self._partitions.get(key.pk, {}).get(key.sk)
        try:
            result = apply(write, before)
        except PathError as error:
            raise InvalidWrite(str(error)) from error
        if isinstance(result, Refused):
            return result
        check_operands(write, before)
        check_size(result.item)
        self._index(key, before, result.item)
        if result.item is not None:
            self._partitions.setdefault(key.pk, {})[key.sk] = result.item
        elif before is not None:
            del self._partitions[key.pk][key.sk]
            if not self._partitions[key.pk]:
                del self._partitions[key.pk]
        return result

    def _index(self, key: Key, before: Item | None, after: Item | None) -> None:
        for index, (partition, order) in INDEXES.items():
            old, new = _entry(before, partition, order), _entry(after, partition, order)
            if old == new:
                continue
            if old is not None:
                entries = self._indexes[index, old[0]]
                del entries[bisect_left(entries, (old[1], key.pk, key.sk))]
            if new is not None:
                insort(self._indexes.setdefault((index, new[0]), []), (new[1], key.pk, key.sk))

    def write_many(self, writes: Sequence[Write]) -> list[Written]:
        return [self.write(write) for write in writes]

    def get(self, key: Key, *, consistent: bool = True) -> Item | None:
        self.faults.before("store", "get")
        with self._lock:
            found = self._partitions.get(key.pk, {}).get(key.sk)
            copy = copied_item(found) if found is not None else None
        self.faults.after("store", "get")
        return copy

    def get_many(self, keys: Sequence[Key], *, consistent: bool = True) -> list[Item | None]:
        return [self.get(key, consistent=consistent) for key in keys]

    def query(
        self,
        pk: str,
        *,
        prefix: str = "",
        after: str | None = None,
        limit: int | None = None,
        consistent: bool = True,
    ) -> list[Item]:
        self.faults.before("store", "query")
        with self._lock:
            rows = self._partitions.get(pk)
            found = _page(rows, prefix, after, limit) if rows else []
        self.faults.after("store", "query")
        return found

    def query_many(
        self, pks: Sequence[str], *, prefix: str = "", limit: int | None = None
    ) -> list[list[Item]]:
        return [self.query(pk, prefix=prefix, limit=limit) for pk in pks]

    def query_index(
        self,
        index: str,
        pk: str,
        *,
        low: str = "",
        high: str = "~",
        limit: int | None = None,
        newest_first: bool = True,
    ) -> list[Item]:
        partition, order = INDEXES[index]
        self.faults.before("store", "query_index")
        with self._lock:
            entries = self._indexes.get((index, pk), [])
            first, end = bisect_left(entries, low, key=_order), bisect_right(entries, high, key=_order)
            some = entries[first:end]
        if newest_first:
            some.reverse()
        self.faults.after("store", "query_index")
        return [{"pk": at, "sk": sk, partition: pk, order: name} for name, at, sk in some[:limit]]

    def put_blob(self, name: str, body: bytes) -> None:
        self.faults.before("store", "put_blob")
        self._blobs[name] = body
        self.faults.after("store", "put_blob")

    def get_blob(self, name: str) -> bytes | None:
        self.faults.before("store", "get_blob")
        found = self._blobs.get(name)
        self.faults.after("store", "get_blob")
        return found

    def items(self, prefix: str = "") -> list[Item]:
        """Everything in the table, or in the partitions that begin so, in no order: for checks and local stacks."""
        with self._lock:
            found = (rows for pk, rows in self._partitions.items() if pk.startswith(prefix))
            return [copied_item(item) for rows in found for item in rows.values()]
