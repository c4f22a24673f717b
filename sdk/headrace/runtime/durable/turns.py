"""The operations that code waits for, and whose turn it is: answers are handed out one at a time, in their order."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Collection

from headrace.core.durable.log import Entry
from headrace.runtime.durable.entries import Entries


class Turns:
    """Belongs to the event loop of its code."""

    def __init__(self, loop: asyncio.AbstractEventLoop, entries: Entries) -> None:
        self._loop = loop
        self._entries = entries
        self._waiting: dict[int, asyncio.Future[Entry]] = {}
        self._ready: list[tuple[int, int]] = []  # a heap of (order, node): answers that are waited for

    def __bool__(self) -> bool:
        """Whether any operation is waited for."""
        return bool(self._waiting)

    @property
    def futures(self) -> Collection[asyncio.Future[Entry]]:
        return self._waiting.values()

    @property
    def waited_for(self) -> list[Entry]:
        """What the log says of the operations that are waited for."""
        return [self._entries[node] for node in self._waiting]

    def wait_for(self, node: int) -> asyncio.Future[Entry]:
        """Resolved when it is the operation's turn."""
        found = self._waiting.get(node)
        if found is None or found.done():
            found = self._waiting[node] = self._loop.create_future()
            self.answered(node)
        return found

    def forget(self, node: int, future: asyncio.Future[Entry]) -> None:
        """The code has gone on from there."""
        if self._waiting.get(node) is future and future.done():
            del self._waiting[node]

    def answered(self, node: int) -> None:
        """Have the answer of an operation that is waited for handed out when it is its turn, if it has one."""
        entry = self._entries[node]
        if not entry.open and node in self._waiting:
            heapq.heappush(self._ready, (entry.order, node))

    def release(self) -> int | None:
        """Hand out the answer whose turn it is, of those that the code waits for: its node. None: there is none."""
        while self._ready:
            order, node = heapq.heappop(self._ready)
            entry = self._entries[node]
            if node not in self._waiting or entry.order != order or entry.given_up:
                continue
            future = self._waiting.pop(node)
            if not future.done():
                future.set_result(entry)
            return node
        return None
