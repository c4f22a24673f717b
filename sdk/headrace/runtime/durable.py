"""Runs a durable task's code: its operations wait on the log, and its suspension is invisible to it.

Nothing is raised into the code. An operation that has no answer yet is a future that is not resolved; when all of the code waits on
such futures the attempt is ended from outside, and the coroutines stay where they stand. Recorded answers are released one at a
time, in their order, the next one only when all of the code waits again: so `gather`, `wait`, `as_completed` and `TaskGroup` go the
way they went.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import weakref
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from types import CoroutineType
from typing import Any

from headrace.core.durable.log import LONGEST_LABEL, MOST_ENTRIES, ChildRun, Entry, Groups, Kind, SleepLeaf
from headrace.core.run.plan import Json
from headrace.core.run.record import ErrorInfo
from headrace.engine.runs.ports import DurableLog, Outcome, Raised, SuspendedOnOperations
from headrace.errors import NonDeterminismError, StoreUnavailable
from headrace.runtime import loop
from headrace.telemetry import tracing

logger = logging.getLogger("headrace")

SHORTEST_PAUSE_S, LONGEST_PAUSE_S, GROWTH = 0.005, 0.25, 1.4
"""The pauses between two looks at what may be answered, and how they grow."""

TIMER_MARGIN_S = 1.0
"""What has to be left of an invocation's time when a timer that holds it goes off."""

MOST_KEPT = 1_000
"""How many suspended tasks' coroutines a process keeps where they stand. The oldest are closed: only then their `finally` runs, and any
durable operation in it is refused."""

_running: contextvars.ContextVar[DurableRun | None] = contextvars.ContextVar("headrace_durable", default=None)


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
        self._task_external_id = task_external_id
        self._loop = asyncio.get_running_loop()
        self._entries: list[Entry] = []
        self._next = 0
        self._waiting: dict[int, asyncio.Future[Entry]] = {}
        self._tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        self._ending: Raised | None = None
        self._closed = ""
        self._held_s = 0.0  # of this invocation, answers that came meanwhile or not: each is a write, and a look at the others
        self._armed: set[int] = set()
        self._given_up: set[int] = set()  # in this invocation
        self._busy = 0
        self._stirred = asyncio.Event()
        self._holds = holds
        self._time_left_s = time_left_s
        self._warned = False
        self._saving = asyncio.Lock()
        self._spans: dict[int, Callable[[], None]] = {}

    # ---- what operations ask

    @property
    def wait_index(self) -> int:
        """How many operations were asked for so far."""
        return self._next

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

        `label`: what people are shown it by; at a replay it may be another one.

        None: the log has another operation there, and the attempt has failed; the caller then never goes on.
        """
        self._check()
        node, self._next = self._next, self._next + 1
        if node < len(self._entries):
            return self._recorded(node, kind, asked, says)
        if node >= MOST_ENTRIES:
            self._fail(
                ErrorInfo(
                    type="DurableLogTooLong",
                    message=f"{self.where} made {MOST_ENTRIES:,} durable operations: start a child run for the rest",
                )
            )
            return None
        try:
            wanted = groups() if groups is not None else ()
        except ValueError as error:  # not raised into the code: another time it may be no error, and the code would go another way
            self._fail(ErrorInfo(type="ValueError", message=str(error)))
            return None
        entry = Entry(node=node, kind=kind, asked=asked, groups=wanted, label=label[:LONGEST_LABEL])
        self._entries.append(entry)
        self._log.put([entry])  # before a later one is written: a log with a hole would be read as another
        if kind is Kind.WAIT and tracing.installed is not None:
            self._spans[node] = tracing.installed.waiting(says)
        return entry

    def _recorded(self, node: int, kind: Kind, asked: str, says: str) -> Entry | None:
        entry = self._entries[node]
        if entry.kind is kind and entry.asked == asked:
            return entry
        words = {Kind.RUN: "a child run", Kind.WAIT: "a sleep or a wait", Kind.MEMO: "a memo"}
        logged = words[entry.kind] + (" of other arguments" if entry.kind is kind else "")
        error = NonDeterminismError(
            self._task_external_id,
            self.invocation_count,
            f"Non-determinism in {self.where} at node {node}: the log has {logged}, the code asked for {says}. "
            f"A durable task must ask for the same operations in the same order each time it runs",
            node,
        )
        self._fail(ErrorInfo(type="NonDeterminismError", message=str(error)))
        return None

    def started(self, entry: Entry, child: ChildRun) -> None:
        """The child of a RUN exists: from here on the log may say so."""
        self._put(replace(entry, child=child))

    async def memo(self, entry: Entry, value: Json) -> None:
        """Write a MEMO before its value is used. Does not return where the attempt is fenced."""
        order = 1 + max((each.order for each in self._entries), default=0)
        self._put(replace(entry, order=order, result=value))
        await self._aside(self._saved())

    async def answers(self, nodes: Sequence[int]) -> list[Entry]:
        """Wait until the operations are answered, each until it is its turn."""
        self._check()
        asked = {node: self._again(node) for node in nodes}
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

    def _future_of(self, node: int) -> asyncio.Future[Entry]:
        found = self._waiting.get(node)
        if found is None or found.done():
            found = self._waiting[node] = self._loop.create_future()
        return found

    def _again(self, node: int) -> int:
        """The operation to wait for: where code waits again for one that it gave up, another with the same child."""
        entry = self._entries[node]
        if node not in self._given_up:
            return node
        again = self.open(
            entry.kind, entry.asked, "the same again", groups=lambda: entry.groups, label=entry.label
        )
        if again is None:
            return node
        if entry.child is not None and again.child is None:
            self._put(replace(again, child=entry.child))
        return again.node

    async def never(self) -> Any:
        """For code whose attempt has ended: it stays here."""
        await self._loop.create_future()

    def node_of(self, run_id: str) -> int | None:
        """The operation that started a child; None where none did."""
        return next(
            (each.node for each in self._entries if each.child is not None and each.child.run_id == run_id),
            None,
        )

    async def aside(self, work: Awaitable[Any]) -> Any:
        """Await something of the library's own within an operation: it holds the invocation, as code's own calls do."""
        return await self._aside(work)

    async def _aside(self, work: Awaitable[Any]) -> Any:
        self._busy += 1
        try:
            return await work
        finally:
            self._busy -= 1

    def _give_up(self, node: int) -> None:
        """The code has stopped waiting (its own timeout came first): written down, so that a replay does the same."""
        entry = self._entries[node]
        self._given_up.add(node)
        self._stirred.set()
        if entry.open and not self._closed:
            order = 1 + max((each.order for each in self._entries), default=0)
            self._put(replace(entry, order=order, given_up=True))

    def _put(self, entry: Entry) -> None:
        self._entries[entry.node] = entry
        self._log.put([entry])

    def _check(self) -> None:
        if self._closed or _running.get() is not self:
            why = self._closed or "it was used outside of the task's code"
            raise RuntimeError(f"{self.where}: a durable operation is refused: {why}")
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError(
                f"{self.where}: a durable operation was used on another event loop than the task's"
            )

    def _fail(self, error: ErrorInfo) -> None:
        self._ending = Raised(error, retryable=False)
        self._stirred.set()

    # ---- running

    def watch(self, task: asyncio.Task[Any]) -> None:
        """A task that the code has made: it waits, or works, for all of it."""
        self._tasks.add(task)

    async def run(self, code: Callable[[], Coroutine[Any, Any, Outcome]]) -> Outcome:
        """Run the code to its end, or to its suspension."""
        self._entries = await asyncio.to_thread(self._log.load)
        context = contextvars.copy_context()
        context.run(_running.set, self)
        main = self._loop.create_task(code(), context=context)
        try:
            outcome = await self._supervise(main)
            self._end_spans(*self._spans)
            if main.done():
                self.close("the task has ended")
            return outcome
        except asyncio.CancelledError:
            self._end_spans(*self._spans)
            self.close("the attempt has ended")
            main.cancel()
            await asyncio.gather(main, return_exceptions=True)
            raise

    async def _supervise(self, main: asyncio.Task[Outcome]) -> Outcome:
        pause_s = 0.0
        while not main.done():
            if self._ending is not None:
                _keep(self, main)
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

    async def _a_moment(self, main: asyncio.Task[Outcome], pause_s: float) -> None:
        """Until the code has ended or asked for something, or a while has passed."""
        self._stirred.clear()
        stirred = self._loop.create_task(self._stirred.wait())
        await asyncio.wait({main, stirred}, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
        stirred.cancel()

    def _release(self) -> bool:
        """Hand out the answer whose turn it is, of those that the code waits for."""
        waited = [self._entries[node] for node in self._waiting]
        ready = [entry for entry in waited if not entry.open and not entry.given_up]
        if not ready:
            return False
        entry = min(ready, key=lambda each: each.order)
        future = self._waiting.pop(entry.node)
        self._end_spans(entry.node)
        if not future.done():
            future.set_result(entry)
        return True

    async def _find_answers(self) -> bool:
        """Look what is answered by now, and write it down in order before any of it is handed out."""
        asked = [self._entries[node] for node in self._waiting if self._entries[node].open]
        if not asked:
            return False
        try:
            found = await asyncio.to_thread(self._look, asked)
        except StoreUnavailable:
            return False
        if not found:
            return False
        answered = [self._entries[entry.node] for entry in found]
        first = 1 + max((each.order for each in self._entries), default=0)
        for place, entry in enumerate(found):
            if self._entries[entry.node].open:
                self._put(replace(entry, order=first + place))
        await self._saved()
        await asyncio.to_thread(
            self._log.disarm, answered
        )  # not before the answers are written: they would be lost
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

    def _end_spans(self, *nodes: int) -> None:
        """A wait has a span in the invocation that first asks for it, until it is answered or the task suspended."""
        for node in nodes:
            end = self._spans.pop(node, None)
            if end is not None:
                end()

    # ---- suspension

    def _may_suspend(self) -> bool:
        """Whether to end the invocation: nothing of the code runs or has a timer, and what is worth holding for was held for."""
        if self._holds or self._timers():
            return False
        entries = [self._entries[node] for node in self._waiting]
        if all(entry.given_up for entry in entries):
            self._fail(
                ErrorInfo(
                    type="NonDeterminismError",
                    message=f"Non-determinism in {self.where} at node {entries[0].node}: the log says that the code stopped waiting "
                    f"there, and now it waits on",
                )
            )
            return False
        soon_ms = self.now_ms() + int(self._log.hold_s * 1000)
        worth = any(
            entry.kind is Kind.RUN or any(due_ms < soon_ms for due_ms in _dues(entry)) for entry in entries
        )
        return not worth or self._held_s >= self._log.hold_s

    def _until_due(self, pause_s: float) -> float:
        dues = [due_ms for node in self._waiting for due_ms in _dues(self._entries[node])]
        if not dues:
            return pause_s
        return max(0.0, min(pause_s, (min(dues) - self.now_ms()) / 1000))

    async def _suspended(self, main: asyncio.Task[Outcome]) -> Outcome:
        """Subscribe, then end the invocation; or go on, where the code has moved meanwhile: what it waits for now is not subscribed to."""
        self._stirred.clear()
        self._log.put(entry for entry in self._entries if entry.open)
        due_at_ms = await asyncio.to_thread(self._log.before_suspension)
        if self._stirred.is_set() or not self._parked():
            return await self._supervise(main)
        _keep(self, main)
        return SuspendedOnOperations(due_at_ms)

    def close(self, why: str) -> None:
        """The coroutines go: from here on operations are refused."""
        self._closed = why

    # ---- what the code waits on

    def _parked(self) -> bool:
        """Whether all of the code waits on operations, on its own tasks, or on a timer, and on nothing else."""
        if not self._waiting or self._busy:
            return False
        ready = getattr(self._loop, "_ready", ())
        if any(_is_ours(handle, self) for handle in list(ready)):
            return False
        return all(self._waits_within(task) for task in list(self._tasks) if not task.done())

    def _timers(self) -> bool:
        """Whether code has set a timer (`asyncio.sleep`, `wait_for`, `timeout`) that will go off in the time that is left to it.

        One that will not would be set again at the next invocation, and never go off: it holds nothing, and the code's author is told.
        """
        scheduled = getattr(self._loop, "_scheduled", ())
        timers = [each for each in list(scheduled) if not each.cancelled() and _is_ours(each, self)]
        if not timers:
            return False
        wait_s, left_s = min(timer.when() for timer in timers) - self._loop.time(), self._time_left_s()
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

    def _waits_within(self, task: asyncio.Task[Any]) -> bool:
        waited: Any = getattr(task, "_fut_waiter", None)
        if waited is None:
            return False
        if isinstance(waited, asyncio.Task):
            return waited in self._tasks
        if any(waited is future for future in self._waiting.values()):
            return True
        if type(waited).__name__ == "_GatheringFuture":
            return True
        return _innermost_is_asyncio(task)


def _begins_now(entry: Entry, now_ms: int) -> bool:
    """Whether it waits for events that come from now on, and for time that is not over: nothing can have answered it."""
    leaves = [leaf for group in entry.groups for leaf in group]
    return bool(leaves) and all(
        leaf.due_at_ms > now_ms if isinstance(leaf, SleepLeaf) else leaf.since_ms is None for leaf in leaves
    )


def _dues(entry: Entry) -> list[int]:
    return [leaf.due_at_ms for group in entry.groups for leaf in group if isinstance(leaf, SleepLeaf)]


def _is_ours(handle: Any, run: DurableRun) -> bool:
    context = getattr(handle, "_context", None)
    return context is not None and context.get(_running) is run


_ASYNCIO = asyncio.__file__.rsplit("/", 1)[0]
_WAITING_MODULES = ("tasks.py", "locks.py", "queues.py", "taskgroups.py", "timeouts.py")


def _innermost_is_asyncio(task: asyncio.Task[Any]) -> bool:
    """Whether the code stands in asyncio's own waiting (`wait`, a lock, a queue, a task group): others of its tasks end that."""
    inner: Any = task.get_coro()
    while isinstance(inner, CoroutineType) and isinstance(inner.cr_await, CoroutineType):
        inner = inner.cr_await
    frame = getattr(inner, "cr_frame", None)
    if frame is None:
        return False
    folder, _, name = frame.f_code.co_filename.rpartition("/")
    return folder == _ASYNCIO and name in _WAITING_MODULES


# ---------------------------------------------------------------- suspended coroutines

_kept: OrderedDict[int, tuple[DurableRun, asyncio.Task[Any]]] = OrderedDict()


def _keep(run: DurableRun, main: asyncio.Task[Any]) -> None:
    """Leave the code where it stands. The oldest of too many is closed."""
    _kept[id(main)] = (run, main)
    while len(_kept) > MOST_KEPT:
        _, (oldest, stopped) = _kept.popitem(last=False)
        oldest.close("the invocation has ended")
        stopped.cancel()


def _watch(task: asyncio.Task[Any], context: contextvars.Context | None) -> None:
    """A durable task's code is known by the tasks that it makes."""
    run = context.get(_running) if context is not None else _running.get()
    if run is not None:
        run.watch(task)


loop.made_tasks = _watch
