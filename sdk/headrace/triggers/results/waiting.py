"""Wait for runs to finish: one look for all that a thread or an event loop waits for, however many there are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import field
from typing import TYPE_CHECKING

from headrace.core.run.record import RunRecord
from headrace.core.values import dataclass
from headrace.triggers.children import current
from headrace.triggers.results.looking import POLLED_S, Looker, Watch
from headrace.triggers.results.mailbox import mailbox_of

if TYPE_CHECKING:
    import asyncio

    from headrace.triggers.results.outcomes import Connected


def reply_queue(app: Connected) -> str | None:
    """The queue that a run names which is started now to be waited for; None where this process has none yet, or polls.

    A child names none: it may have been started by an earlier attempt."""
    if current.get() is not None or app.settings.longest_poll_s <= POLLED_S:
        return None
    return mailbox_of(app.engine).address


def wait(app: Connected, run_ids: Sequence[str]) -> list[RunRecord | None]:
    """Block until every run is finished. None: no such run after 10 tries."""
    waiting = _Waiting(app)
    try:
        for run_id in dict.fromkeys(run_ids):
            waiting.add(run_id)
        while waiting.look():
            waiting.pause()
    finally:
        waiting.stop()
    return [waiting.found[run_id] for run_id in run_ids]


class _Waiting:
    """The runs that one thread waits for. Time is the engine's clock where no mailbox is told of ends: it may be a virtual one."""

    def __init__(self, app: Connected) -> None:
        self._engine = app.engine
        self._looker = Looker(app.engine, app.settings, mailbox_of(app.engine))
        self._signals = _Signals()
        self.found: dict[str, RunRecord | None] = {}

    def _now(self) -> float:
        return time.monotonic() if self._engine.replies is not None else self._engine.clock.now_ms() / 1000

    def add(self, run_id: str) -> None:
        wake = self._signals.wake_of(run_id)
        self._looker.watches[run_id] = self._looker.watch(run_id, self._now(), wake)

    def look(self) -> bool:
        """Look at what is due; whether anything is still open."""
        now, looker = self._now(), self._looker
        for run_id in self._signals.taken():
            if run_id in looker.watches:
                looker.watches[run_id].hear(now)
        looker.look([each for each in looker.watches.values() if each.is_due(now)], now)
        for run_id in [run_id for run_id, watch in looker.watches.items() if watch.over]:
            self.found[run_id] = looker.watches.pop(run_id).found
        return bool(looker.watches)

    def pause(self) -> None:
        pause_s = min(each.look_at for each in self._looker.watches.values()) - self._now()
        if self._engine.replies is None:
            self._engine.clock.sleep(max(0.0, pause_s))
        else:
            self._signals.event.wait(max(0.0, pause_s))

    def stop(self) -> None:
        for run_id, wake in self._signals.wakes.items():
            self._looker.mailbox.unwatch(run_id, wake)


class _Signals:
    """What the mailbox has said, for a thread to take. `more` is called with each word."""

    def __init__(self, more: Callable[[], None] | None = None) -> None:
        self.event = threading.Event()
        self.wakes: dict[str, Callable[[], None]] = {}
        self._told: set[str] = set()
        self._lock = threading.Lock()
        self._more = more or self.event.set

    def wake_of(self, run_id: str) -> Callable[[], None]:
        def wake() -> None:
            with self._lock:
                self._told.add(run_id)
            self._more()

        self.wakes[run_id] = wake
        return wake

    def taken(self) -> set[str]:
        with self._lock:
            self.event.clear()
            told, self._told = self._told, set()
        return told


# ---------------------------------------------------------------- on an event loop


async def aio_wait(app: Connected, run_ids: Sequence[str]) -> list[RunRecord | None]:
    """As `wait`, without a thread a waiter. All waits of one event loop share their reads (100 runs a request).

    Inside a durable task, children that are not done soon end the invocation: it goes on when one of them is over.
    """
    import asyncio

    spawner = current.get()
    operations = spawner.operations if spawner is not None else None
    if (
        spawner is not None
        and operations is not None
        and all(operations.node_of(run_id) is not None for run_id in run_ids)
    ):
        from headrace.engine.finished import round_of
        from headrace.triggers.durable import wait_for_children

        return await wait_for_children(
            operations, app.engine, round_of(spawner.record, spawner.task), run_ids
        )
    poller = _poller(app)
    futures = [poller.watch(run_id) for run_id in run_ids]
    try:
        return list(await asyncio.gather(*futures))
    finally:
        for future in futures:
            future.cancel()


@dataclass(slots=True)
class _Awaited:
    """One run that coroutines wait for."""

    watch: Watch
    futures: list[asyncio.Future[RunRecord | None]] = field(default_factory=list)

    @property
    def wanted(self) -> bool:
        return any(not future.done() for future in self.futures)


class _Poller:
    """Looks at the runs that an event loop waits for, in batches, each at its own pace. Ends when none is left."""

    def __init__(self, app: Connected) -> None:
        import asyncio

        self._loop = asyncio.get_running_loop()
        self._engine = app.engine
        self._looker = Looker(app.engine, app.settings, mailbox_of(app.engine))
        self._awaited: dict[str, _Awaited] = {}
        self._more = asyncio.Event()
        self._signals = _Signals(self._woken)
        self._task: asyncio.Task[None] | None = None

    def _woken(self) -> None:
        """From the mailbox's thread. A loop that is closed has no waiter."""
        import contextlib

        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._more.set)

    def watch(self, run_id: str) -> asyncio.Future[RunRecord | None]:
        future: asyncio.Future[RunRecord | None] = self._loop.create_future()
        awaited = self._awaited.get(run_id)
        if awaited is None:
            wake = self._signals.wake_of(run_id)
            awaited = self._awaited[run_id] = _Awaited(self._looker.watch(run_id, self._loop.time(), wake))
        awaited.futures.append(future)
        self._more.set()
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._poll(), name="headrace-wait")
        return future

    async def _poll(self) -> None:
        try:
            while self._awaited:
                self._more.clear()
                await self._look()
                await self._pause()
        except Exception as error:  # noqa: BLE001  # whatever a read raised belongs to the waiting callers
            self._fail(error)
        finally:
            for run_id in list(self._awaited):
                self._drop(run_id)
            _pollers.pop((id(self._loop), id(self._engine)), None)

    async def _look(self) -> None:
        import asyncio

        now = self._loop.time()
        for run_id in self._signals.taken():
            if run_id in self._awaited:
                self._awaited[run_id].watch.hear(now)
        for run_id in [run_id for run_id, awaited in self._awaited.items() if not awaited.wanted]:
            self._drop(run_id)
        due = [each.watch for each in self._awaited.values() if each.watch.is_due(now)]
        if not due:
            return
        await asyncio.to_thread(self._looker.look, due, now)
        for watch in due:
            if watch.over:
                for future in self._drop(watch.run_id).futures:
                    if not future.done():
                        future.set_result(watch.found)

    def _drop(self, run_id: str) -> _Awaited:
        self._looker.mailbox.unwatch(run_id, self._signals.wakes.pop(run_id))
        return self._awaited.pop(run_id)

    async def _pause(self) -> None:
        import asyncio

        if not self._awaited:
            return
        pause_s = min(each.watch.look_at for each in self._awaited.values()) - self._loop.time()
        if pause_s > 0:
            try:
                await asyncio.wait_for(self._more.wait(), pause_s)
            except TimeoutError:
                return

    def _fail(self, error: Exception) -> None:
        for awaited in self._awaited.values():
            for future in awaited.futures:
                if not future.done():
                    future.set_exception(error)


_pollers: dict[tuple[int, int], _Poller] = {}
"""The pollers at work, by the ids of their loop and engine (which they keep alive)."""


def _poller(app: Connected) -> _Poller:
    """The poller of the running event loop for this app's engine."""
    import asyncio

    key = (id(asyncio.get_running_loop()), id(app.engine))
    poller = _pollers.get(key)
    if poller is None:
        poller = _pollers[key] = _Poller(app)
    return poller
