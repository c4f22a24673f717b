"""The one event loop of a process: every `async def` task and every lifespan runs on it, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import asyncio
    from types import FrameType

T = TypeVar("T")


class ProcessLoop:
    """A running event loop in a daemon thread."""

    def __init__(self) -> None:
        import asyncio

        self.loop: asyncio.AbstractEventLoop = (
            asyncio.SelectorEventLoop()
        )  # durable tasks look at what it has scheduled
        self.loop.set_task_factory(_made)
        self._thread = threading.Thread(target=self._run, name="headrace-loop", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        import asyncio

        asyncio.set_event_loop(self.loop)
        while True:
            try:
                self.loop.run_forever()
                return
            except (SystemExit, KeyboardInterrupt):
                continue  # a task of the user's raised it: asyncio lets it through, and others run on this loop

    def submit(
        self,
        work: Coroutine[Any, Any, T],
        *,
        context: Context | None = None,
        ended: Callable[[], None] = lambda: None,
        name: str = "",
    ) -> Future[T]:
        """Run `work` as a task of the loop; cancelling the future cancels the task, which may go on all the same: `ended` is called
        when it has ended."""
        done: Future[T] = Future()

        def begin() -> None:
            task = self.loop.create_task(work, context=context)
            self.called(task, name)
            task.add_done_callback(lambda _: ended())
            task.add_done_callback(lambda finished: _hand_over(finished, done))
            done.add_done_callback(lambda future: self._cancel(task) if future.cancelled() else None)

        self.loop.call_soon_threadsafe(begin)
        return done

    def called(self, task: asyncio.Task[Any], name: str) -> None:
        """What `running` says while `task` runs, or a task that it makes."""
        if name:
            _names[task] = name

    def running(self) -> tuple[str, FrameType | None]:
        """Whose code the loop runs at the moment (empty where none of a task's), and where that stands."""
        import asyncio
        import sys

        task = asyncio.current_task(self.loop)
        frame = sys._current_frames().get(self._thread.ident or -1)
        return _names.get(task, "") if task is not None else "", frame

    def _cancel(self, task: asyncio.Task[T]) -> None:
        self.loop.call_soon_threadsafe(task.cancel)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` and wait for it. Not from the loop's own thread."""
        return self.submit(work).result()

    def stop(self) -> None:
        """End the loop and its thread, cancelling what still runs on it."""
        if not self.loop.is_running():
            return
        with suppress(TimeoutError):  # code that ignores being cancelled ends with the process
            self.submit(_cancel_all()).result(timeout=5)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=5)
        if not self._thread.is_alive():
            self.loop.close()


_names: WeakKeyDictionary[asyncio.Task[Any], str] = WeakKeyDictionary()
"""Whose code each task of a loop is."""

made_tasks: Callable[[asyncio.Task[Any], Context | None], None] | None = None
"""Told of every task that is made on a process's loop: set by `runtime.durable`, once a durable task has run."""


def _made(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
    import asyncio

    task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **options)
    maker = asyncio.current_task(loop)
    if maker is not None and (name := _names.get(maker)):
        _names[task] = name
    if made_tasks is not None:
        made_tasks(task, options.get("context"))
    return task


async def _cancel_all() -> None:
    import asyncio

    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _hand_over(task: asyncio.Task[T], done: Future[T]) -> None:
    if done.cancelled():
        if not task.cancelled():
            task.exception()  # retrieved here: no one awaits it
        return
    if task.cancelled():
        done.cancel()
    elif (error := task.exception()) is not None:
        done.set_exception(error)
    else:
        done.set_result(task.result())


_current: ProcessLoop | None = None
_lock = threading.Lock()


def process_loop() -> ProcessLoop:
    """The loop of this process, started when first asked for."""
    global _current
    with _lock:
        if _current is None:
            _current = ProcessLoop()
        return _current


def abandon_process_loop(stuck: ProcessLoop) -> None:
    """Give up a loop that code has blocked for good: later tasks get a new one."""
    global _current
    with _lock:
        if _current is stuck:
            _current = None


def stop_process_loop() -> None:
    """End the process's loop, where there is one."""
    global _current
    with _lock:
        stopping, _current = _current, None
    if stopping is not None:
        stopping.stop()
