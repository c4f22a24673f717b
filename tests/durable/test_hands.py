"""Calls that may block, from code on an event loop: each in a copy of the context, in a fork too, and by a loop's own way where it has one."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from headrace.runtime.hands import HANDS, Hands

SAID = contextvars.ContextVar("SAID", default="nothing")


def test_a_call_has_the_context_and_gives_or_raises() -> None:
    def fails() -> None:
        raise KeyError("gone")

    async def both() -> str:
        SAID.set("hello")
        with pytest.raises(KeyError, match="gone"):
            await HANDS.call(fails)
        return await HANDS.call(lambda: f"{SAID.get()} from {threading.current_thread().name}")

    assert asyncio.run(both()).startswith("hello from headrace-call-")


def test_calls_beyond_the_threads_wait_for_one() -> None:
    hands, at_once, most, lock = Hands(most=2), 0, 0, threading.Lock()
    both_in = threading.Barrier(2)

    def work() -> None:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        both_in.wait(20)  # two at a time, or this fails
        with lock:
            at_once -= 1

    async def all_of_them() -> None:
        await asyncio.gather(*(hands.call(work) for _ in range(8)))

    asyncio.run(all_of_them())
    assert most == 2


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_makes_threads_of_its_own() -> None:
    asyncio.run(HANDS.call(lambda: None))
    child = os.fork()
    if child == 0:
        try:
            answer = asyncio.run(asyncio.wait_for(HANDS.call(lambda: 7), 20))
        except BaseException:  # noqa: BLE001  # its code tells
            answer = 1
        os._exit(answer)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7


def test_a_loop_that_has_its_own_way_is_asked() -> None:
    class Own(asyncio.SelectorEventLoop):
        def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
            future = self.create_future()
            future.set_result((func(*args), threading.current_thread()))
            return future

    loop = Own()
    try:
        found = loop.run_until_complete(HANDS.call(lambda: 3))
    finally:
        loop.close()
    assert found == (3, threading.main_thread())  # type: ignore[comparison-overlap]  # what this loop gives
