"""Runs a durable task's code: its operations wait on the log, and its suspension is invisible to it.

Nothing is raised into the code. An operation that has no answer yet is a future that is not resolved; when all of the code waits on
such futures the attempt is ended from outside, and the coroutines stay where they stand. Recorded answers are released one at a
time, in their order, the next one only when all of the code waits again: so `gather`, `wait`, `as_completed` and `TaskGroup` go the
way they went.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from headrace.core.durable.answers import event_leaves
from headrace.core.durable.log import ChildRun, Entry, Groups, Kind
from headrace.core.run.plans.plan import Json
from headrace.core.run.record import ErrorInfo
from headrace.engine.attempts.ports import DurableLog, Outcome, Raised, SuspendedOnOperations, Work
from headrace.runtime.durable.entries import Entries
from headrace.runtime.durable.holding import Holding
from headrace.runtime.durable.invocation import Invocation, invocation_of
from headrace.runtime.durable.kept import keep
from headrace.runtime.durable.looks import Looks, on_thread_if
from headrace.runtime.durable.spans import Spans
from headrace.runtime.durable.standing import Standing, running
from headrace.runtime.durable.turns import Turns
from headrace.telemetry import tracing

SHORTEST_PAUSE_S, LONGEST_PAUSE_S, GROWTH = 0.005, 0.25, 1.4
"""The pauses between two looks at what may be answered, and how they grow."""


class DurableRun:
    """The code of a durable task from its first line: of one invocation, or of several where it goes on in memory. All methods belong to its
    event loop.

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

    # ---- what operations ask

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

    # ---- suspended

    def _has_left(self) -> bool:
        """Whether the attempt has ended and its code stays. What asks has moved since, without its log: no invocation goes on with it."""
        self.stays = self.stays and not self._left
        return self._left

    def close(self, why: str) -> None:
        """The coroutines go: from here on operations are refused."""
        self._closed, self.stays = why, False

    def leave(self) -> int:
        """The attempt has ended and its code stays: it makes no operation more, whatever timer of its own wakes it. How many operations of its
        log it keeps: those that it needs to go on in memory, or none."""
        self._left = True
        self.stays = self.stays and self._ending is None and self.standing.next_timer_s() is None
        return len(self._entries) if self.stays else self.forget()

    def forget(self) -> int:
        """Let the log go: it is read anew when the task goes on."""
        self.stays = False
        self._entries.forget()
        return 0

    def goes_on(self, log: DurableLog) -> bool:
        """Whether it goes on with a log: it stands where it was left, and the log is the one that it has left, with answers."""
        if not self.stays or asyncio.get_running_loop() is not self._loop:
            return False
        if self._main is None or self._main.done():
            return False
        answered = log.answered_since(self._invocation.log)
        if answered is None:
            return False
        self._entries.answered(answered)
        for entry in answered:
            self._turns.answered(entry.node)
        return True

    # ---- running

    async def run(self, code: Callable[[], Coroutine[Any, Any, Outcome]]) -> Outcome:
        """Run the code from its first line to its end, or to its suspension."""
        await on_thread_if(self._invocation.log.reads, self._entries.load)
        context = contextvars.copy_context()
        context.run(running.set, self)
        self._main = self._loop.create_task(code(), context=context)
        self._main.add_done_callback(lambda _: self._stirred.set())
        return await self._to_its_end(self._main)

    def followed_by(self, *followers: Callable[[Work], object]) -> None:
        """What is told of each later invocation that the code goes on in."""
        self._followers = followers

    async def go_on(self, work: Work) -> Outcome:
        """As `run`, from where the code stands: `goes_on` was true."""
        assert self._main is not None
        self._invocation.next(work.durable_log(), invocation_of(work), work.control.remaining_s)
        for follower in self._followers:
            follower(work)
        self._left = False
        return await self._to_its_end(self._main)

    async def _to_its_end(self, main: asyncio.Task[Outcome]) -> Outcome:
        try:
            outcome = await self._supervise(main)
            self._spans.end_all()
            if main.done():
                self.close("the task has ended")
            return outcome
        except asyncio.CancelledError:
            self._spans.end_all()
            self.close("the attempt has ended")
            main.cancel()
            await asyncio.gather(main, return_exceptions=True)
            raise

    async def _supervise(self, main: asyncio.Task[Outcome]) -> Outcome:
        pause_s = 0.0
        while not main.done():
            if self._ending is not None:
                keep(self, main)
                return self._ending
            if not self._parked():
                pause_s = min(max(pause_s * GROWTH, SHORTEST_PAUSE_S), LONGEST_PAUSE_S) if pause_s else 0.0001
                await self._a_moment(main, pause_s)
                continue
            node = self._turns.release()
            if node is not None:
                self._spans.end(node)
                pause_s = 0.0
                await asyncio.sleep(0)
                continue
            held_from = self._loop.time()
            if not await self._looks.find():
                if not self._parked():
                    continue  # a timer of the code's went off meanwhile
                if self._holding.may_suspend():
                    return await self._suspended(main)
                pause_s = min(max(pause_s * GROWTH, SHORTEST_PAUSE_S), LONGEST_PAUSE_S)
                await self._a_moment(main, self._holding.until_due_s(pause_s))
            self._invocation.held_s += self._loop.time() - held_from
        return main.result()

    def _parked(self) -> bool:
        """Whether all of the code waits on operations, on its own tasks, or on a timer, and on nothing else."""
        return bool(self._turns) and not self._busy and self.standing.waits_on(self._turns.futures)

    async def _a_moment(self, main: asyncio.Task[Outcome], pause_s: float) -> None:
        """Until the code has ended or asked for something, or a while has passed."""
        self._stirred.clear()
        if main.done():
            return
        timer = self._loop.call_later(pause_s, self._stirred.set)
        try:
            await self._stirred.wait()
        finally:
            timer.cancel()

    async def _suspended(self, main: asyncio.Task[Outcome]) -> Outcome:
        """Subscribe, then end the invocation; or go on, where the code has moved meanwhile: what it waits for now is not subscribed to."""
        self._stirred.clear()
        log, open_ones = self._invocation.log, self._entries.open_ones()
        log.put(open_ones)
        due_at_ms = await on_thread_if(bool(event_leaves(open_ones)), log.before_suspension)
        if self._stirred.is_set() or not self._parked():
            return await self._supervise(main)
        keep(self, main)
        return SuspendedOnOperations(due_at_ms)
