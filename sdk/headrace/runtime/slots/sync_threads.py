"""The threads that run `def` tasks of a worker whose slots are coroutines: as many as were ever needed at once.

A thread that is free is used before a new one is made, the last one first, so that what code keeps by thread (a connection, a session) is
there for the next task.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING

from headrace.runtime.slots.called_here import CalledHere

if TYPE_CHECKING:
    from headrace.engine.runs.attempt import Code
    from headrace.runtime.deadline import Ending

Job = Callable[[], Callable[[], None]]
"""What it returns is done once its thread is free again, and must not block."""


class SyncThreads:
    """Threads that are made when they are needed. Thread-safe."""

    def __init__(self) -> None:
        self._free: list[SimpleQueue[Job | None]] = []
        self._made = 0
        self._lock = threading.Lock()

    def run(self, job: Job) -> None:
        """Run it on a thread that is free, or on a new one."""
        with self._lock:
            jobs = self._free.pop() if self._free else None
            self._made += jobs is None
            name = f"headrace-slot-{self._made - 1}"
        if jobs is None:
            jobs = SimpleQueue()
            threading.Thread(target=self._work, args=(jobs,), name=name, daemon=True).start()
        jobs.put(job)

    def close(self) -> None:
        """End the threads that are free. One whose code outlasts its attempt ends with the process."""
        with self._lock:
            for jobs in self._free:
                jobs.put(None)
            self._free.clear()

    def _work(self, jobs: SimpleQueue[Job | None]) -> None:
        while (job := jobs.get()) is not None:
            then = job()
            with self._lock:
                self._free.append(jobs)
            then()


def call_sync(
    code: Code, *, ended: Callable[[Ending], None], raised: Callable[[BaseException], None]
) -> Callable[[], None]:
    """Run the code here. What is to be done then: `ended` with how it did, unless it had outlasted its deadline and `ended` was called while
    it still ran."""
    called = CalledHere(code.control, grace_s=code.engine.limits.grace_s, left=ended)
    try:
        ending = called.run(code.runnable, code.work, code.host.context())
    except BaseException as error:  # noqa: BLE001  # as if it was raised where the code was asked for
        return partial(raised, error)
    return _nothing if ending is None else partial(ended, ending)


def _nothing() -> None: ...
