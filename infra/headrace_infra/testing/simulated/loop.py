"""An event loop whose time is virtual and whose every turn can be a process's last."""

from __future__ import annotations

import asyncio
import asyncio.events
import math
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import Context
from typing import Any, TypeVar

from headrace.context.lifespan import Lifespan, _Live
from headrace.errors import LifespanSetupError
from headrace.memory.clock import VirtualClock
from headrace.runtime import loop as runtime_loop
from headrace.runtime.loop import ProcessLoop
from headrace.values.failures import info_of

T = TypeVar("T")
LONGEST_TURN_S = 1.0
"""How long a loop on which nothing is due waits before it looks again."""

Turn = Callable[[int], None]
"""Called between two turns with the milliseconds until something is due: where the process gives way."""


class _Selector:
    """In place of `select`: no file is ever ready, and waiting is a switch to other processes."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self.until_s: Callable[[], float] = lambda: LONGEST_TURN_S

    def select(self, timeout: float | None = None) -> list[Any]:
        wait_s = LONGEST_TURN_S if timeout is None else timeout
        self._turn(math.ceil(max(0.0, min(wait_s, self.until_s())) * 1000))
        return []

    def close(self) -> None:
        pass


class VirtualLoop(asyncio.BaseEventLoop):
    """asyncio's own loop on a virtual clock. `to_thread` runs its function at once, on the same process: it holds up the others of
    that process for as long as it takes. There are no sockets."""

    def __init__(self, clock: VirtualClock, turn: Turn) -> None:
        super().__init__()
        self._clock = clock
        self._clock_resolution = 0.001
        self._selector = _Selector(turn)
        self.set_task_factory(runtime_loop._made)
        self.set_exception_handler(lambda loop, context: None)

    def time(self) -> float:
        return self._clock.now_ms() / 1000

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]  # asyncio gives a future that threads set
        done: asyncio.Future[T] = self.create_future()
        outer = asyncio.events._get_running_loop()
        asyncio.events._set_running_loop(None)
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  # belongs to the code that awaits it
            done.set_exception(error)
        finally:
            asyncio.events._set_running_loop(outer)
        return done

    def is_at_rest(self) -> bool:
        """Whether no callback is ready to run."""
        return not self._ready  # type: ignore[attr-defined]  # asyncio's own

    def drive(self, over: Callable[[], bool], until_s: Callable[[], float] = lambda: LONGEST_TURN_S) -> None:
        """Turn until `over`, or until `until_s` says that no time is left."""
        outer, hooks = asyncio.events._get_running_loop(), sys.get_asyncgen_hooks()
        before, self._selector.until_s = self._selector.until_s, until_s
        asyncio.events._set_running_loop(self)
        try:
            while not over() and until_s() > 0:
                self._run_once()  # type: ignore[attr-defined]  # asyncio's own turn
        finally:
            asyncio.events._set_running_loop(outer)
            sys.set_asyncgen_hooks(*hooks)
            self._selector.until_s = before


class SimulatedProcessLoop(ProcessLoop):
    """The event loop of a simulated process: driven by the code that waits for it, in place of a thread."""

    def __init__(self, clock: VirtualClock, turn: Turn) -> None:
        self.loop: VirtualLoop = VirtualLoop(clock, turn)

    def submit(
        self,
        work: Coroutine[Any, Any, T],
        *,
        context: Context | None = None,
        ended: Callable[[], None] = lambda: None,
        name: str = "",
    ) -> Future[T]:
        done: Future[T] = Future()
        task = self.loop.create_task(work, context=context)
        self.called(task, name)
        task.add_done_callback(lambda _: ended())
        task.add_done_callback(lambda finished: runtime_loop._hand_over(finished, done))
        done.add_done_callback(lambda future: task.cancel() if future.cancelled() else None)
        return done

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        done = self.submit(work)
        self.loop.drive(done.done)
        return done.result()

    def stop(self) -> None:
        """It ends with its process."""


class SimulatedLifespan(Lifespan):
    """A worker's lifespan in one simulated process. It is never torn down: Lambda does not say when it ends a process."""

    def __init__(self, fn: Any, loop: SimulatedProcessLoop) -> None:
        super().__init__(fn)
        self._process_loop = loop

    def start(self) -> Any:
        if self._live is None and self._fn is not None:
            live = _Live(self._fn(), self._process_loop)
            live.ended = self._process_loop.submit(live.run())
            self._process_loop.loop.drive(live.started.done)
            try:
                live.started.result()
            except BaseException as error:
                found = info_of(error)
                raise LifespanSetupError(
                    f"the worker's lifespan failed: {found.type}: {found.message}"
                ) from error
            self._live = live
        return self._live.value if self._live is not None else None

    def stop(self) -> None:
        self._live = None
