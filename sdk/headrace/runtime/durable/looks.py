"""Looks at what is answered by now, and what is written down of it before code sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from headrace.core.durable.answers import event_leaves
from headrace.core.durable.log import Entry, SleepLeaf
from headrace.errors import StoreUnavailable
from headrace.runtime.durable.entries import Entries
from headrace.runtime.durable.invocation import Invocation
from headrace.runtime.durable.turns import Turns
from headrace.runtime.hands import HANDS

T = TypeVar("T")


class Looks:
    """`fenced`: never returns; what a write that was refused leads to."""

    def __init__(
        self, invocation: Invocation, entries: Entries, turns: Turns, fenced: Callable[[], Awaitable[None]]
    ) -> None:
        self._invocation = invocation
        self._entries = entries
        self._turns = turns
        self._fenced = fenced
        self._saving = asyncio.Lock()

    async def find(self) -> bool:
        """Look what is answered by now, and write it down in order before any of it is handed out."""
        asked = [entry for entry in self._turns.waited_for if entry.open]
        if not asked or self._are_all_new(asked):
            return False
        try:
            found = await HANDS.call(lambda: self._look(asked))
        except StoreUnavailable:
            return False
        if not found:
            return False
        answered = self._entries.answer_all(found)
        await self.saved()
        for entry in answered:
            self._turns.answered(entry.node)
        if event_leaves(answered):  # not before the answers are written: they would be lost
            await HANDS.call(lambda: self._invocation.log.disarm(answered))
        return True

    def _are_all_new(self, asked: Sequence[Entry]) -> bool:
        """Whether all begin now and no event has to find them: there is nothing to look at, and nothing to write."""
        looked_at, now_ms = self._invocation.looked_at, self._invocation.log.now_ms()
        if any(entry.node in looked_at or not _begins_now(entry, now_ms) for entry in asked):
            return False
        if event_leaves(asked):
            return False
        looked_at |= {entry.node for entry in asked}
        return True

    def _look(self, asked: Sequence[Entry]) -> list[Entry]:
        log, looked_at = self._invocation.log, self._invocation.looked_at
        new = [entry for entry in asked if entry.node not in looked_at]
        log.arm(new)
        looked_at |= {entry.node for entry in new}
        if len(new) == len(asked) and all(_begins_now(entry, log.now_ms()) for entry in asked):
            return []  # what comes meanwhile is seen by the next look, or by that after the suspension
        return log.look(asked)

    async def saved(self) -> None:
        """Write what was put. Does not return where the attempt is fenced, or its run was cancelled: the heartbeat, or the deadline, ends it."""
        log = self._invocation.log
        async with self._saving:  # one after the other; an earlier one may have taken what was put along
            saved = not log.changed or await HANDS.call(log.save)
        if not saved:
            await self._fenced()


async def on_thread_if(blocks: bool, work: Callable[[], T]) -> T:
    """A thread only for what may block: the way there and back takes as long as a step."""
    return await HANDS.call(work) if blocks else work()


def _begins_now(entry: Entry, now_ms: int) -> bool:
    """Whether it waits for events that come from now on, and for time that is not over: nothing can have answered it."""
    leaves = [leaf for group in entry.groups for leaf in group]
    return bool(leaves) and all(
        leaf.due_at_ms > now_ms if isinstance(leaf, SleepLeaf) else leaf.since_ms is None for leaf in leaves
    )
