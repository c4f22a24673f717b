"""Wait for runs to finish: one poll for all that an event loop waits for, however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headrace.core.run.graph import finished
from headrace.core.run.record import RunRecord
from headrace.engine.runs import read as results
from headrace.engine.runs.read import UNKNOWN_PAUSE_S, UNKNOWN_TRIES
from headrace.triggers.children import current

if TYPE_CHECKING:
    import asyncio

    from headrace.engine.engine import Engine
    from headrace.triggers.outcomes import Connected

GROWTH = 1.3
"""What a pause is multiplied by after each look that found the run still open."""


def wait(app: Connected, run_ids: Sequence[str]) -> list[RunRecord | None]:
    """Block until every run is finished. None: no such run after 10 tries."""
    settings = app.settings
    return results.wait(app.engine, run_ids, poll_s=settings.poll_s, longest_poll_s=settings.longest_poll_s)


async def aio_wait(app: Connected, run_ids: Sequence[str]) -> list[RunRecord | None]:
    """As `wait`, without a thread a waiter. All waits of one event loop share their reads (100 runs a request).

    Inside a durable task, children that are not done soon end the invocation: it goes on when one of them is over.
    """
    import asyncio

    spawner = current.get()
    operations = spawner.operations if spawner is not None else None
    if operations is not None and all(operations.node_of(run_id) is not None for run_id in run_ids):
        from headrace.triggers.durable import wait_for_children

        return await wait_for_children(operations, app.engine, run_ids)
    poller = _poller(app)
    futures = [poller.watch(run_id) for run_id in run_ids]
    try:
        return list(await asyncio.gather(*futures))
    finally:
        for future in futures:
            future.cancel()


@dataclass(slots=True)
class _Watch:
    """One run that somebody waits for: when to look next, how long to pause after that."""

    look_at: float
    pause_s: float
    misses: int = 0
    futures: list[asyncio.Future[RunRecord | None]] = field(default_factory=list)

    @property
    def wanted(self) -> bool:
        return any(not future.done() for future in self.futures)


class _Poller:
    """Reads the runs that an event loop waits for, in batches, each at its own slowing pace. Ends when none is left."""

    def __init__(self, engine: Engine, poll_s: float, longest_poll_s: float) -> None:
        import asyncio

        self._loop = asyncio.get_running_loop()
        self._engine = engine
        self._poll_s = poll_s
        self._longest_poll_s = longest_poll_s
        self._watches: dict[str, _Watch] = {}
        self._more = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def watch(self, run_id: str) -> asyncio.Future[RunRecord | None]:
        future: asyncio.Future[RunRecord | None] = self._loop.create_future()
        watch = self._watches.get(run_id)
        if watch is None:
            watch = self._watches[run_id] = _Watch(self._loop.time(), self._poll_s)
        watch.futures.append(future)
        self._more.set()
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._poll(), name="headrace-wait")
        return future

    async def _poll(self) -> None:
        try:
            while self._watches:
                self._more.clear()
                await self._look()
                await self._pause()
        except Exception as error:  # noqa: BLE001  # whatever a read raised belongs to those who wait
            self._fail(error)
        finally:
            _pollers.pop((id(self._loop), id(self._engine)), None)

    async def _look(self) -> None:
        import asyncio

        now = self._loop.time()
        for run_id in [run_id for run_id, watch in self._watches.items() if not watch.wanted]:
            del self._watches[run_id]
        due = [run_id for run_id, watch in self._watches.items() if watch.look_at <= now + watch.pause_s / 4]
        if not due:
            return
        records = await asyncio.to_thread(results.read_many, self._engine, due)
        for run_id, record in zip(due, records, strict=True):
            self._judge(run_id, record)

    def _judge(self, run_id: str, record: RunRecord | None) -> None:
        watch = self._watches[run_id]
        if record is None:
            watch.misses += 1
            watch.pause_s = max(watch.pause_s, UNKNOWN_PAUSE_S)
        if (record is not None and finished(record)) or watch.misses >= UNKNOWN_TRIES:
            del self._watches[run_id]
            for future in watch.futures:
                if not future.done():
                    future.set_result(record)
            return
        watch.look_at = self._loop.time() + watch.pause_s
        watch.pause_s = min(watch.pause_s * GROWTH, self._longest_poll_s)

    async def _pause(self) -> None:
        import asyncio

        if not self._watches:
            return
        next_at = min(watch.look_at for watch in self._watches.values())
        pause_s = next_at - self._loop.time()
        if pause_s > 0:
            try:
                await asyncio.wait_for(self._more.wait(), pause_s)
            except TimeoutError:
                return

    def _fail(self, error: Exception) -> None:
        watches, self._watches = self._watches, {}
        for watch in watches.values():
            for future in watch.futures:
                if not future.done():
                    future.set_exception(error)


_pollers: dict[tuple[int, int], _Poller] = {}
"""The pollers at work, by the ids of their loop and engine (which they keep alive)."""


def _poller(app: Connected) -> _Poller:
    """The poller of the running event loop for this app's engine."""
    import asyncio

    engine, settings = app.engine, app.settings
    key = (id(asyncio.get_running_loop()), id(engine))
    poller = _pollers.get(key)
    if poller is None:
        poller = _pollers[key] = _Poller(engine, settings.poll_s, settings.longest_poll_s)
    return poller
