"""What a worker sets up once a process, and tears down after it has drained."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeAlias

from headrace.errors import LifespanSetupError
from headrace.runtime.loop import process_loop

LifespanFn: TypeAlias = Callable[[], AsyncGenerator[Any, None]]


class Lifespan:
    """Runs an async generator on the process's event loop: to its first yield at the start, to its end at the stop."""

    def __init__(self, fn: LifespanFn | None) -> None:
        self._fn = fn
        self._generator: AsyncGenerator[Any, None] | None = None
        self._lock = threading.Lock()
        self._started = False
        self._value: Any = None

    def start(self) -> Any:
        """What the generator yields; started once. LifespanSetupError where it fails before."""
        with self._lock:
            if not self._started and self._fn is not None:
                generator = self._fn()
                try:
                    self._value = process_loop().run(_first(generator))
                except Exception as error:
                    raise LifespanSetupError(
                        f"the worker's lifespan failed: {type(error).__name__}: {error}"
                    ) from error
                self._generator = generator
            self._started = True
            return self._value

    def stop(self) -> None:
        """Run the generator to its end."""
        with self._lock:
            generator, self._generator, self._started = self._generator, None, False
        if generator is not None:
            process_loop().run(_rest(generator))


async def _first(generator: AsyncGenerator[Any, None]) -> Any:
    return await anext(generator)


async def _rest(generator: AsyncGenerator[Any, None]) -> None:
    async for _ in generator:
        pass
