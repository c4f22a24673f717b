"""What a durable task's code asks of its run: operations, in the order of their calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from headrace.core.durable.log import ChildRun, Entry, Groups, Kind
from headrace.core.run.plans.plan import Json
from headrace.core.run.record import ErrorInfo
from headrace.engine.attempts.ports import Outcome, Raised, Work
from headrace.runtime.durable.entries import Entries
from headrace.runtime.durable.holding import Holding
from headrace.runtime.durable.invocation import Invocation, invocation_of
from headrace.runtime.durable.looks import Looks
from headrace.runtime.durable.spans import Spans
from headrace.runtime.durable.standing import Standing, running
from headrace.runtime.durable.turns import Turns
from headrace.telemetry import tracing


class Asked:
    """A DurableRun as its code's operations see it. All methods belong to its event loop.

    `task`: whose code it is. `holds`: it is never suspended. `stays`: nothing that its code uses ends with an invocation, so that another one
    can go on with it.
    """

    def __init__(
        self,
        where: str,
        work: Work,
        task: object,
        task_external_id: str,
        *,
        holds: bool = False,
        stays: bool = False,
    ) -> None:
        log = work.durable_log()
        self.where = where
        self.task = task
        self.stays = stays and log.stays and tracing.installed is None
        self._followers: tuple[Callable[[Work], object], ...] = ()
        self._invocation = invocation = Invocation(log, invocation_of(work), work.control.remaining_s)
        self._loop = asyncio.get_running_loop()
        self.standing = Standing(self, self._loop)
        self._spans = Spans(task_external_id)
        self._entries = Entries(where, task_external_id, invocation, self._fail, self._spans.begin)
        self._turns = Turns(self._loop, self._entries)
        self._looks = Looks(invocation, self._entries, self._turns, self.never)
        self._holding = Holding(invocation, self._entries, self._turns, self.standing, always=holds)
        self._main: asyncio.Task[Outcome] | None = None
        self._ending: Raised | None = None
        self._closed = ""
        self._left = False
        self._busy = 0
        self._stirred = asyncio.Event()

    @property
    def invocation_count(self) -> int:
        """Which invocation this is, from 1."""
        return self._invocation.count

    @property
    def wait_index(self) -> int:
        """How many operations were asked for so far."""
        return self._entries.asked

    def branches_of_next(self, count: int) -> list[int]:
        """The branches of the log that the next operations are of."""
        return self._entries.branches_of_next(count)

    def now_ms(self) -> int:
        return self._invocation.log.now_ms()

    def open(
        self,
        kind: Kind,
        asked: str,
        says: str,
        *,
        groups: Callable[[], Groups] | None = None,
        label: str = "",
    ) -> Entry | None:
        """The next operation: what the log has at its place, or a new entry. Places are given in the order of calls.

        `label`: what people are shown it by; at a replay it may be another one. None: the log has another operation there, and the attempt
        has failed; the caller then never goes on.
        """
        self._check()
        return None if self._has_left() else self._entries.open(kind, asked, says, groups, label)

    def started(self, entry: Entry, child: ChildRun) -> None:
        """The child of a RUN exists: from here on the log may say so."""
        if not self._has_left():
            self._entries.start(entry, child)

    def node_of(self, run_id: str) -> int | None:
        """The operation that started a child; None where none did."""
        return self._entries.node_of(run_id)

    async def memo(self, entry: Entry, value: Json) -> None:
        """Write a MEMO before its value is used. Does not return where the attempt is fenced."""
        if self._has_left():
            await self.never()
        self._entries.answer(entry, value)
        await self.aside(self._looks.saved())

    async def answers(self, nodes: Sequence[int]) -> list[Entry]:
        """Wait until the operations are answered, each until it is its turn."""
        self._check()
        if self._has_left():
            await self.never()
        asked = {node: self._entries.again(node) for node in nodes}
        if len(nodes) == 1 and self._is_next(asked[nodes[0]]):
            return [self._entries[asked[nodes[0]]]]
        futures = {node: self._turns.wait_for(node) for node in asked.values()}
        self._stirred.set()
        try:
            await (futures[asked[nodes[0]]] if len(futures) == 1 else asyncio.gather(*futures.values()))
        except asyncio.CancelledError:
            for node, future in futures.items():
                if future.cancelled():
                    self._give_up(node)
            raise
        finally:
            for node, future in futures.items():
                self._turns.forget(node, future)
        return [futures[asked[node]].result() for node in nodes]

    def _is_next(self, node: int) -> bool:
        """Whether it is the turn of a recorded answer whatever else the code may do: no other one is waited for."""
        entry = self._entries[node]
        if entry.open or entry.given_up or self._turns or self._busy:
            return False
        return self._ending is None and self.standing.is_alone()

    async def never(self) -> Any:
        """For code whose attempt has ended: it stays here."""
        await self._loop.create_future()

    async def aside(self, work: Awaitable[Any]) -> Any:
        """Await something of the library's own within an operation: it holds the invocation, as code's own calls do."""
        self._busy += 1
        try:
            return await work
        finally:
            self._busy -= 1

    def _give_up(self, node: int) -> None:
        """The code has stopped waiting: its own timeout came first."""
        self._stirred.set()
        if not self._closed and not self._has_left():
            self._entries.give_up(node)

    def _check(self) -> None:
        if self._closed or running.get() is not self:
            why = self._closed or "it was used outside of the task's code"
            raise RuntimeError(f"{self.where}: a durable operation is refused: {why}")
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError(
                f"{self.where}: a durable operation was used on another event loop than the task's"
            )

    def _fail(self, error: ErrorInfo) -> None:
        self._ending = Raised(error, retryable=False)
        self._stirred.set()

    def _has_left(self) -> bool:
        """Whether the attempt has ended and its code stays. What asks has moved since, without its log: no invocation goes on with it."""
        self.stays = self.stays and not self._left
        return self._left
