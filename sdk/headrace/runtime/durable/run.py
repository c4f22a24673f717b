"""Runs a durable task's code: its operations wait on the log, and its suspension is invisible to it.

Nothing is raised into the code. An operation that has no answer yet is a future that is not resolved; when all of the code waits on
such futures the attempt is ended from outside, and the coroutines stay where they stand. Recorded answers are released one at a
time, in their order, the next one only when all of the code waits again: so `gather`, `wait`, `as_completed` and `TaskGroup` go the
way they went.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from headrace.core.durable.answers import event_leaves
from headrace.core.durable.log import ChildRun, Entry, Groups, Kind, SleepLeaf
from headrace.core.run.plans.plan import Json
from headrace.core.run.record import ErrorInfo
from headrace.engine.attempts.ports import DurableLog, Outcome, Raised, SuspendedOnOperations
from headrace.errors import StoreUnavailable
from headrace.runtime.durable.entries import Entries
from headrace.runtime.durable.kept import keep
from headrace.runtime.durable.spans import Spans
from headrace.runtime.durable.standing import Standing, running

T = TypeVar("T")

logger = logging.getLogger("headrace")

SHORTEST_PAUSE_S, LONGEST_PAUSE_S, GROWTH = 0.005, 0.25, 1.4
"""The pauses between two looks at what may be answered, and how they grow."""

TIMER_MARGIN_S = 1.0
"""What has to be left of an invocation's time when a timer that holds it goes off."""


class DurableRun:
    """One invocation of a durable task. All methods belong to its event loop."""

    def __init__(
        self,
        where: str,
        log: DurableLog,
        task_external_id: str,
        invocation_count: int,
        *,
        time_left_s: Callable[[], float],
        holds: bool = False,
    ) -> None:
        self.where = where
        self.invocation_count = invocation_count
        self._log = log
        self._loop = asyncio.get_running_loop()
        self.standing = Standing(self, self._loop)
        self._spans = Spans(task_external_id)
        self._entries = Entries(where, task_external_id, invocation_count, log, self._fail, self._spans.begin)
        self._waiting: dict[int, asyncio.Future[Entry]] = {}
        self._ready: list[tuple[int, int]] = []  # a heap of (order, node): answers that are waited for
        self._ending: Raised | None = None
        self._closed = ""
        self._left = False
        self._held_s = 0.0  # of this invocation, answers that came meanwhile or not: each is a write, and a look at the others
        self._armed: set[int] = set()
        self._busy = 0
        self._stirred = asyncio.Event()
        self._holds = holds
        self._time_left_s = time_left_s
        self._warned = False
        self._saving = asyncio.Lock()

    # ---- what operations ask

    @property
    def wait_index(self) -> int:
        """How many operations were asked for so far."""
        return self._entries.asked

    def branches_of_next(self, count: int) -> list[int]:
        """The branches of the log that the next operations are of."""
        return self._entries.branches_of_next(count)

    def now_ms(self) -> int:
        return self._log.now_ms()

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
        return None if self._left else self._entries.open(kind, asked, says, groups, label)

    def started(self, entry: Entry, child: ChildRun) -> None:
        """The child of a RUN exists: from here on the log may say so."""
        if not self._left:
            self._entries.start(entry, child)

    def node_of(self, run_id: str) -> int | None:
        """The operation that started a child; None where none did."""
        return self._entries.node_of(run_id)

    async def memo(self, entry: Entry, value: Json) -> None:
        """Write a MEMO before its value is used. Does not return where the attempt is fenced."""
        if self._left:
            await self.never()
        self._entries.answer(entry, value)
        await self.aside(self._saved())

    async def answers(self, nodes: Sequence[int]) -> list[Entry]:
        """Wait until the operations are answered, each until it is its turn."""
        self._check()
        if self._left:
            await self.never()
        asked = {node: self._entries.again(node) for node in nodes}
        if len(nodes) == 1 and self._is_next(asked[nodes[0]]):
            return [self._entries[asked[nodes[0]]]]
        futures = {node: self._future_of(node) for node in asked.values()}
        self._stirred.set()
        try:
            await asyncio.gather(*futures.values())
        except asyncio.CancelledError:
            for node, future in futures.items():
                if future.cancelled():
                    self._give_up(node)
            raise
        finally:
            for node, future in futures.items():
                if self._waiting.get(node) is future and future.done():
                    del self._waiting[node]
        return [futures[asked[node]].result() for node in nodes]

    def _is_next(self, node: int) -> bool:
        """Whether it is the turn of a recorded answer whatever else the code may do: no other one is waited for."""
        entry = self._entries[node]
        if entry.open or entry.given_up or self._waiting or self._busy:
            return False
        return self._ending is None and self.standing.is_alone()

    def _future_of(self, node: int) -> asyncio.Future[Entry]:
        found = self._waiting.get(node)
        if found is None or found.done():
            found = self._waiting[node] = self._loop.create_future()
            self._is_answered(node)
        return found

    def _is_answered(self, node: int) -> None:
        """Have the answer of an operation that is waited for handed out when it is its turn, if it has one."""
        entry = self._entries[node]
        if not entry.open:
            heapq.heappush(self._ready, (entry.order, node))

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
        if not self._closed and not self._left:
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

    def close(self, why: str) -> None:
        """The coroutines go: from here on operations are refused."""
        self._closed = why

    def leave(self) -> None:
        """The attempt has ended and its code stays: it makes no operation more, whatever timer of its own wakes it, and its log can go."""
        self._left = True
        self._entries.forget()

    # ---- running

    async def run(self, code: Callable[[], Coroutine[Any, Any, Outcome]]) -> Outcome:
        """Run the code to its end, or to its suspension."""
        await self._on_thread_if(self._log.reads, self._entries.load)
        context = contextvars.copy_context()
        context.run(running.set, self)
        main = self._loop.create_task(code(), context=context)
        main.add_done_callback(lambda _: self._stirred.set())
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
            if self._release():
                pause_s = 0.0
                await asyncio.sleep(0)
                continue
            held_from = self._loop.time()
            if not await self._find_answers():
                if not self._parked():
                    continue  # a timer of the code's went off meanwhile
                if self._may_suspend():
                    return await self._suspended(main)
                pause_s = min(max(pause_s * GROWTH, SHORTEST_PAUSE_S), LONGEST_PAUSE_S)
                await self._a_moment(main, self._until_due(pause_s))
            self._held_s += self._loop.time() - held_from
        return main.result()

    def _parked(self) -> bool:
        """Whether all of the code waits on operations, on its own tasks, or on a timer, and on nothing else."""
        return bool(self._waiting) and not self._busy and self.standing.waits_on(self._waiting.values())

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

    async def _on_thread_if(self, blocks: bool, work: Callable[[], T]) -> T:
        """A thread only for what may block: the way there and back takes as long as a step."""
        return await asyncio.to_thread(work) if blocks else work()

    def _release(self) -> bool:
        """Hand out the answer whose turn it is, of those that the code waits for."""
        while self._ready:
            order, node = heapq.heappop(self._ready)
            entry = self._entries[node]
            if node not in self._waiting or entry.order != order or entry.given_up:
                continue
            future = self._waiting.pop(node)
            self._spans.end(node)
            if not future.done():
                future.set_result(entry)
            return True
        return False

    async def _find_answers(self) -> bool:
        """Look what is answered by now, and write it down in order before any of it is handed out."""
        asked = [self._entries[node] for node in self._waiting if self._entries[node].open]
        if not asked or self._are_all_new(asked):
            return False
        try:
            found = await asyncio.to_thread(self._look, asked)
        except StoreUnavailable:
            return False
        if not found:
            return False
        answered = self._entries.answer_all(found)
        await self._saved()
        for entry in answered:
            self._is_answered(entry.node)
        if event_leaves(answered):  # not before the answers are written: they would be lost
            await asyncio.to_thread(self._log.disarm, answered)
        return True

    def _are_all_new(self, asked: Sequence[Entry]) -> bool:
        """Whether all begin now and no event has to find them: there is nothing to look at, and nothing to write."""
        if any(entry.node in self._armed or not _begins_now(entry, self.now_ms()) for entry in asked):
            return False
        if event_leaves(asked):
            return False
        self._armed |= {entry.node for entry in asked}
        return True

    def _look(self, asked: Sequence[Entry]) -> list[Entry]:
        new = [entry for entry in asked if entry.node not in self._armed]
        self._log.arm(new)
        self._armed |= {entry.node for entry in new}
        if len(new) == len(asked) and all(_begins_now(entry, self.now_ms()) for entry in asked):
            return []  # what comes meanwhile is seen by the next look, or by that after the suspension
        return self._log.look(asked)

    async def _saved(self) -> None:
        async with self._saving:  # one after the other; an earlier one may have taken what was put along
            saved = not self._log.changed or await asyncio.to_thread(self._log.save)
        if not saved:
            await self.never()  # fenced or cancelled: the heartbeat, or the deadline, ends this attempt

    # ---- suspension

    def _may_suspend(self) -> bool:
        """Whether to end the invocation: nothing of the code runs or has a timer, and what is worth holding for was held for."""
        entries = [self._entries[node] for node in self._waiting]
        given_up = [entry for entry in entries if entry.given_up]
        if (self._holds and not given_up) or self._timer_holds():
            return False
        if given_up and not self._log.resumed:
            self._entries.reopen(given_up)
            return False
        if len(given_up) == len(entries):
            self._fail(
                ErrorInfo(
                    type="NonDeterminismError",
                    message=f"Non-determinism in {self.where} at node {entries[0].node}: the log says that the code stopped waiting "
                    f"there, and now it waits on",
                )
            )
            return False
        if self._holds:
            return False
        soon_ms = self.now_ms() + int(self._log.hold_s * 1000)
        worth = any(
            entry.kind is Kind.RUN or any(due_ms < soon_ms for due_ms in _dues(entry)) for entry in entries
        )
        return not worth or self._held_s >= self._log.hold_s

    def _timer_holds(self) -> bool:
        """Whether code has set a timer that will go off in the time that is left to it.

        One that will not would be set again at the next invocation, and never go off: it holds nothing, and the code's author is told.
        """
        wait_s, left_s = self.standing.next_timer_s(), self._time_left_s()
        if wait_s is None:
            return False
        if wait_s < left_s - TIMER_MARGIN_S:
            return True
        if not self._warned:
            self._warned = True
            logger.warning(
                "%s waits on a timer of asyncio's of %.0f s with %.0f s left to this invocation: it begins again when the task goes on. Use "
                "ctx.aio_sleep_for, or or_(..., SleepCondition(...)) in ctx.aio_wait_for, which last",
                self.where,
                wait_s,
                left_s,
            )
        return False

    def _until_due(self, pause_s: float) -> float:
        dues = [due_ms for node in self._waiting for due_ms in _dues(self._entries[node])]
        if not dues:
            return pause_s
        return max(0.0, min(pause_s, (min(dues) - self.now_ms()) / 1000))

    async def _suspended(self, main: asyncio.Task[Outcome]) -> Outcome:
        """Subscribe, then end the invocation; or go on, where the code has moved meanwhile: what it waits for now is not subscribed to."""
        self._stirred.clear()
        open_ones = self._entries.open_ones()
        self._log.put(open_ones)
        due_at_ms = await self._on_thread_if(bool(event_leaves(open_ones)), self._log.before_suspension)
        if self._stirred.is_set() or not self._parked():
            return await self._supervise(main)
        keep(self, main)
        return SuspendedOnOperations(due_at_ms)


def _begins_now(entry: Entry, now_ms: int) -> bool:
    """Whether it waits for events that come from now on, and for time that is not over: nothing can have answered it."""
    leaves = [leaf for group in entry.groups for leaf in group]
    return bool(leaves) and all(
        leaf.due_at_ms > now_ms if isinstance(leaf, SleepLeaf) else leaf.since_ms is None for leaf in leaves
    )


def _dues(entry: Entry) -> list[int]:
    return [leaf.due_at_ms for group in entry.groups for leaf in group if isinstance(leaf, SleepLeaf)]
