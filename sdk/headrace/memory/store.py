"""The table in memory: `core.changes.apply` on a dict."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from headrace.core.changes import Applied, Item, Key, PathError, Refused, Value, Write, Written, apply
from headrace.core.table import INDEXES
from headrace.memory.faults import Faults, NoFaults
from headrace.memory.validity import InvalidWrite, check_operands, check_request, check_size


def _copied(item: Item) -> Item:
    return {name: _copied_value(value) for name, value in item.items()}


def _copied_value(value: Value) -> Value:
    if isinstance(value, dict):
        return {name: _copied_value(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_copied_value(each) for each in value]
    return value


class MemoryStore:
    """A table of items and a place for objects. One lock: every write is atomic, as DynamoDB's are."""

    def __init__(self, faults: Faults | None = None) -> None:
        self._partitions: dict[str, dict[str, Item]] = {}
        self._blobs: dict[str, bytes] = {}
        self._lock = threading.RLock()
        self.faults: Faults = faults or NoFaults()

    def write(self, write: Write) -> Written:
        self.faults.before("store", "write")
        check_request(write)
        with self._lock:
            result = self._apply(write)
            copy = _copied(result.item) if result.item is not None else None
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
        if result.item is not None:
            self._partitions.setdefault(key.pk, {})[key.sk] = result.item
        elif before is not None:
            del self._partitions[key.pk][key.sk]
            if not self._partitions[key.pk]:
                del self._partitions[key.pk]
        return result

    def write_many(self, writes: Sequence[Write]) -> list[Written]:
        return [self.write(write) for write in writes]

    def get(self, key: Key, *, consistent: bool = True) -> Item | None:
        self.faults.before("store", "get")
        with self._lock:
            found = self._partitions.get(key.pk, {}).get(key.sk)
            copy = _copied(found) if found is not None else None
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
            rows = self._partitions.get(pk, {})
            names = sorted(sk for sk in rows if sk.startswith(prefix) and (after is None or sk > after))
            found = [_copied(rows[sk]) for sk in names[:limit]]
        self.faults.after("store", "query")
        return found

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
            found = [
                {name: item[name] for name in sorted({"pk", "sk", partition, order})}
                for rows in self._partitions.values()
                for item in rows.values()
                if item.get(partition) == pk and order in item and low <= str(item[order]) <= high
            ]
        found.sort(key=lambda item: str(item[order]), reverse=newest_first)
        self.faults.after("store", "query_index")
        return found[:limit]

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
            return [_copied(item) for rows in found for item in rows.values()]
