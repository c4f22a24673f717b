"""What a worker sets up once a process, and tears down after it has drained."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future, wait
from typing import Any, TypeAlias

from headrace.errors import LifespanSetupError
from headrace.runtime.loop import ProcessLoop, process_loop
from headrace.values.failures import info_of

LifespanFn: TypeAlias = Callable[[], AsyncGenerator[Any, None]]


class Lifespan:
    """Runs an async generator on the process's event loop: to its first yield at the start, to its end at the stop.

    One task of the loop runs all of it, so what it sets in a ContextVar can be reset at its end, and `context` has it for tasks.
    """

    def __init__(self, fn: LifespanFn | None) -> None:
        self._fn = fn
        self._lock = threading.Lock()
        self._live: _Live | None = None

    def start(self) -> Any:
        """What the generator yields; started once. LifespanSetupError where it fails before: the next start tries again."""
        with self._lock:
            if self._live is None and self._fn is not None:
                live = _Live(self._fn(), process_loop())
                live.ended = live.loop.submit(live.run())
                try:
                    live.started.result()
                except BaseException as error:
                    found = info_of(error)
                    raise LifespanSetupError(
                        f"the worker's lifespan failed: {found.type}: {found.message}"
                    ) from error
                self._live = live
            return self._live.value if self._live is not None else None

    def context(self) -> contextvars.Context:
        """A context for a task's code: the caller's, with what the lifespan set."""
        found = contextvars.copy_context()
        if self._live is not None:
            for variable, value in self._live.set_by_it.items():
                found.run(variable.set, value)
        return found

    def stop(self) -> None:
        """Run the generator to its end. On a loop that code has blocked for good there is no end: it is left after a second."""
        with self._lock:
            live, self._live = self._live, None
        if live is None or live.ended is None:
            return
        live.loop.loop.call_soon_threadsafe(live.stopping.set)
        if live.loop is process_loop():
            live.ended.result()
        else:
            wait([live.ended], timeout=1)


class _Live:
    """One start of a lifespan."""

    def __init__(self, generator: AsyncGenerator[Any, None], loop: ProcessLoop) -> None:
        import asyncio

        self._generator = generator
        self.loop = loop
        self.started: Future[None] = Future()
        self.stopping = asyncio.Event()
        self.ended: Future[None] | None = None
        self.value: Any = None
        self.set_by_it: dict[contextvars.ContextVar[Any], Any] = {}

    async def run(self) -> None:
        before = contextvars.copy_context()
        try:
            self.value = await anext(self._generator)
        except BaseException as error:  # noqa: BLE001  # user code: told to `start`
            self.started.set_exception(error)
            return
        for variable, value in contextvars.copy_context().items():
            if variable not in before or before[variable] is not value:
                self.set_by_it[variable] = value
        self.started.set_result(None)
        await self.stopping.wait()
        async for _ in self._generator:
            pass
