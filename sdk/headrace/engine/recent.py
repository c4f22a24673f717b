"""What a process has read and keeps as long as there is room: values that never change."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

Name = TypeVar("Name")
Kept = TypeVar("Kept")


class Recent(Generic[Name, Kept]):
    """Values by name, up to a size; those that were put first go first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Name, tuple[Kept, int]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def put(self, name: Name, value: Kept, size: int) -> None:
        """Keep a value. `size`: in the unit of the bound."""
        with self._lock:
            _, before = self._kept.pop(name, (None, 0))
            self._kept[name] = value, size
            self._size += size - before
            while self._size > self._most:
                _, (_, gone) = self._kept.popitem(last=False)
                self._size -= gone

    def get(self, name: Name) -> Kept | None:
        """The value, if it is kept here."""
        found = self._kept.get(name)
        return found[0] if found is not None else None
