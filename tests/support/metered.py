"""A memory store that counts what DynamoDB would bill, and how large the records were that it was given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from headrace.core.changes import Item, Key, Write, Written
from headrace.core.sizes import item_bytes
from headrace.memory.faults import Faults
from headrace.memory.store import MemoryStore


class MeteredStore(MemoryStore):
    """`units`: write (1 KB begun) and read (4 KB begun, consistent). `read`: how often each kind of sort key was read. `reads_of`: each item."""

    def __init__(self, faults: Faults | None = None) -> None:
        super().__init__(faults)
        self.units: Counter[str] = Counter()
        self.read: Counter[str] = Counter()
        self.reads_of: Counter[Key] = Counter()
        self.largest_record_bytes = 0

    def write(self, write: Write) -> Written:
        written = super().write(write)
        size = item_bytes(written.item or {})
        self.units["write"] += -(-max(1, size) // 1024)
        if write.key.sk == "run":
            self.largest_record_bytes = max(self.largest_record_bytes, size)
        return written

    def get(self, key: Key, *, consistent: bool = True) -> Item | None:
        found = super().get(key, consistent=consistent)
        self._count(key, found)
        return found

    def get_many(self, keys: Sequence[Key], *, consistent: bool = True) -> list[Item | None]:
        found = [super(MeteredStore, self).get(key, consistent=consistent) for key in keys]
        for key, item in zip(keys, found, strict=True):
            self._count(key, item)
        return found

    def _count(self, key: Key, item: Item | None) -> None:
        self.units["read"] += -(-max(1, item_bytes(item or {})) // 4096)
        self.read[key.sk.partition("#")[0]] += 1
        self.reads_of[key] += 1
