"""Threads for calls that may block, from code on an event loop: `asyncio.to_thread` at half of its CPU, which a durable step would mostly be."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
Call: TypeAlias = "tuple[contextvars.Context, Callable[[], Any], asyncio.Future[Any]]"

MOST_THREADS = 32
"""As many as asyncio's own at most; further calls wait for one."""


class Hands:
    """Threads that are made when all others are busy, and stay. They are daemons: a process that ends does not wait for a call."""

    def __init__(self, most: int = MOST_THREADS) -> None:
        self._most = most
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        """Without threads: a fork has none of its parent's."""
        self._calls: SimpleQueue[Call] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = self._free = 0

    async def call(self, work: Callable[[], T]) -> T:
        """Call it on a thread, in a copy of the context. Where the await is cancelled the call goes on, and what it gives is dropped.

        A loop that has a way of its own to call what blocks, as one of virtual time has, is asked to.
        """
        loop = asyncio.get_running_loop()
        if getattr(type(loop), "run_in_executor", None) is not asyncio.BaseEventLoop.run_in_executor:
            return await asyncio.to_thread(work)
        future: asyncio.Future[T] = loop.create_future()
        self._make_room()
        self._calls.put((contextvars.copy_context(), work, future))
        return await future

    def _make_room(self) -> None:
        with self._lock:
            if self._free > 0:
                self._free -= 1
                return
            if self._threads >= self._most:
                return
            self._threads += 1
            name = f"headrace-call-{self._threads}"
        threading.Thread(target=self._serve, name=name, daemon=True).start()

    def _serve(self) -> None:
        while True:
            context, work, future = self._calls.get()
            result: Any = None
            error: BaseException | None = None
            try:
                result = context.run(work)
            except BaseException as raised:  # noqa: BLE001  # raised where it is awaited
                error = raised
            with self._lock:
                self._free += 1
            with suppress(RuntimeError):  # the loop is closed: its process ends
                future.get_loop().call_soon_threadsafe(_give, future, result, error)
            del context, work, future, result, error


def _give(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return  # cancelled meanwhile
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


HANDS = Hands()
