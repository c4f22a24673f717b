"""A worker process whose event loop is blocked says so."""

from __future__ import annotations

import threading
import time

from headrace.runtime.health import LoopWatch
from headrace.runtime.loop import ProcessLoop


def test_a_loop_that_code_blocks_is_found_and_is_well_again_afterwards() -> None:
    loop, release = ProcessLoop(), threading.Event()
    watch = LoopWatch(lambda: loop, limit_s=0.1)
    try:
        assert not watch.is_blocked()

        async def block() -> None:
            release.wait(30)

        done = loop.submit(block())
        assert not watch.is_blocked()  # it is asked now, or was by the look before on a busy machine
        deadline = time.monotonic() + 10
        while not watch.is_blocked():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        release.set()
        done.result(timeout=10)
        deadline = time.monotonic() + 10
        while watch.is_blocked():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        release.set()
        loop.stop()
