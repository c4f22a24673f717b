"""Runs a durable task's code: its operations wait on the log, and its suspension is invisible to it.

Nothing is raised into the code. An operation that has no answer yet is a future that is not resolved; when all of the code waits on
such futures the attempt is ended from outside, and the coroutines stay where they stand. Recorded answers are released one at a
time, in their order, the next one only when all of the code waits again: so `gather`, `wait`, `as_completed` and `TaskGroup` go the
way they went.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any

from headrace.core.durable.answers import event_leaves
from headrace.engine.attempts.ports import DurableLog, Outcome, SuspendedOnOperations, Work
from headrace.runtime.durable.asked import Asked
from headrace.runtime.durable.invocation import invocation_of
from headrace.runtime.durable.kept import keep
from headrace.runtime.durable.looks import on_thread_if
from headrace.runtime.durable.standing import running

SHORTEST_PAUSE_S, LONGEST_PAUSE_S, GROWTH = 0.005, 0.25, 1.4
"""The pauses between two looks at what may be answered, and how they grow."""


class DurableRun(Asked):
    """The code of a durable task from its first line: of one invocation, or of several where it goes on in memory."""

    # ---- suspended

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
