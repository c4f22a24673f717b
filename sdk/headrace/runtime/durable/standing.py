"""What the code of a durable task waits on: operations and its own tasks alone, or something that goes on in this process."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Collection
from types import CoroutineType
from typing import Any, Protocol

from headrace.runtime import loop


class Invocation(Protocol):
    """One invocation of a durable task: a DurableRun."""

    @property
    def standing(self) -> Standing: ...


running: contextvars.ContextVar[Invocation | None] = contextvars.ContextVar("headrace_durable", default=None)
"""The invocation whose code runs in this context."""


class Standing:
    """The asyncio tasks of one invocation's code. It looks at what the loop has ready and scheduled."""

    def __init__(self, run: Invocation, of_loop: asyncio.AbstractEventLoop) -> None:
        self._run = run
        self._loop = of_loop
        self._tasks: set[asyncio.Task[Any]] = set()

    def watch(self, task: asyncio.Task[Any]) -> None:
        """A task that the code has made: it waits, or works, for all of it."""
        self._tasks.add(task)

    def is_alone(self) -> bool:
        """Whether nothing of the code but what runs now could go on: it has one task, and nothing ready."""
        return not self._has_ready() and all(task is asyncio.current_task() for task in self._going())

    def waits_on(self, futures: Collection[asyncio.Future[Any]]) -> bool:
        """Whether all of the code waits on these, on its own tasks, or on a timer, and on nothing else."""
        return not self._has_ready() and all(self._waits_within(task, futures) for task in self._going())

    def _going(self) -> set[asyncio.Task[Any]]:
        """Those that are not done; the others are forgotten here."""
        if any(task.done() for task in self._tasks):
            self._tasks = {task for task in self._tasks if not task.done()}
        return self._tasks

    def next_timer_s(self) -> float | None:
        """How long until the first timer goes off that the code has set (`asyncio.sleep`, `wait_for`, `timeout`); None: it has none."""
        scheduled = getattr(self._loop, "_scheduled", ())
        timers = [each for each in list(scheduled) if not each.cancelled() and _is_of(each, self._run)]
        return min(timer.when() for timer in timers) - self._loop.time() if timers else None

    def hush(self) -> None:
        """Have asyncio say nothing of tasks that go while they wait: a suspended task's are made again when it goes on."""
        for task in list(self._tasks):
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio has no public name for it

    def _has_ready(self) -> bool:
        return any(_is_of(handle, self._run) for handle in list(getattr(self._loop, "_ready", ())))

    def _waits_within(self, task: asyncio.Task[Any], futures: Collection[asyncio.Future[Any]]) -> bool:
        waited: Any = getattr(task, "_fut_waiter", None)
        if waited is None:
            return False
        if isinstance(waited, asyncio.Task):
            return waited in self._tasks
        if type(waited).__name__ == "_GatheringFuture" or waited in futures:
            return True
        return _innermost_is_asyncio(task)


def _is_of(handle: Any, run: Invocation) -> bool:
    context = getattr(handle, "_context", None)
    return context is not None and context.get(running) is run


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


def _watch(task: asyncio.Task[Any], context: contextvars.Context | None) -> None:
    """A durable task's code is known by the tasks that it makes."""
    run = context.get(running) if context is not None else running.get()
    if run is not None:
        run.standing.watch(task)


loop.made_tasks = _watch
