"""The slots of a worker that has `async def` tasks: coroutines on the process's one event loop.

A slot costs no thread, so a process may have hundreds of them. Claims, commits and all else that is asked of the store and the queues
is done beside the loop, by a few threads that all slots share; a `def` task of such a worker runs on a thread that is made when it is needed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, TypeAlias

from headrace.engine.runs.attempt import Code, beating
from headrace.runtime.loop import process_loop
from headrace.runtime.slots.attended import Attended
from headrace.runtime.slots.outlasted import await_ends
from headrace.runtime.slots.sync_threads import SyncThreads, call_sync

if TYPE_CHECKING:
    from headrace.definitions.worker import Worker
    from headrace.engine.attempts.ports import Disposition, Running
    from headrace.engine.runs.attempt import Steps
    from headrace.ports import Received
    from headrace.runtime.deadline import Ending
    from headrace.runtime.heartbeat import Beats, Heartbeat
    from headrace.runtime.slots.intake import Intake

THREADS = 16
"""What is asked of the store and the queues at once: a run asks for some 10 ms, so they do well over 1,000 runs a second."""

Deliver: TypeAlias = "Callable[[Received, Callable[[Running], None]], Steps[Disposition]]"
"""The steps of a delivery; the second argument is told of code that outlasts its attempt."""
Settle: TypeAlias = "Callable[[Received, Callable[[], Disposition | None]], bool]"
"""Takes one step, does with the message as its result says, and tells whether the delivery is over. None: code runs now."""


def run_on_the_loop(worker: Worker) -> bool:
    """Whether the worker has async tasks, for which a slot needs no thread. A batch is run by a thread of its own."""
    tasks = [task for workflow in worker.workflows for task in workflow.tasks]
    return any(task.is_async_function for task in tasks) and all(task.options.batch is None for task in tasks)


class LoopSlots:
    """`slots` deliveries at once."""

    def __init__(self, intake: Intake, slots: int, deliver: Deliver, settle: Settle) -> None:
        self._intake = intake
        self._slots = slots
        self._deliver = deliver
        self._settle = settle
        self._free = threading.Semaphore(slots)
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._sync = SyncThreads()

    def work(self, is_draining: Callable[[], bool]) -> None:
        """Begin message after message until the intake is closed, and return once what was begun has ended.

        Code that outlasts its attempt is not waited for once `is_draining`: its outcome is written.
        """
        threads = [
            threading.Thread(target=self._do_jobs, name=f"headrace-io-{number}")
            for number in range(min(self._slots, THREADS))
        ]
        for thread in threads:
            thread.start()
        try:
            self._begin_all(is_draining)
        finally:
            for _ in threads:
                self._jobs.put(None)
            for thread in threads:
                thread.join()
            self._sync.close()

    def _begin_all(self, is_draining: Callable[[], bool]) -> None:
        begun = 0
        while True:
            self._free.acquire()
            received = self._intake.take()
            if received is None:
                self._free.release()
                break
            begun += 1
            slot = _Slot(self, received, is_draining)
            self._jobs.put(slot.begin)
        for _ in range(self._slots):  # each slot is free again
            self._free.acquire()

    def _do_jobs(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


class _Slot:
    """One delivery: its steps by turns on a thread of `LoopSlots`, and its code on the loop."""

    __slots__ = ("_all", "_began", "_is_draining", "_left", "_received", "_steps")

    def __init__(self, all: LoopSlots, received: Received, is_draining: Callable[[], bool]) -> None:
        self._all = all
        self._received = received
        self._is_draining = is_draining
        self._began = monotonic()
        self._left: list[Running] = []
        self._steps = all._deliver(received, self._left.append)

    def begin(self) -> None:
        self._go_on(lambda: next(self._steps))

    def _go_on(self, step: Callable[[], Code]) -> None:
        def disposition() -> Disposition | None:
            try:
                code = step()
            except StopIteration as end:
                found: Disposition = end.value
                return found
            self._run(code)
            return None

        if self._all._settle(self._received, disposition):
            self._is_over()

    def _run(self, code: Code) -> None:
        beats = beating(code.engine, code.claimed, code.control)

        def ended(ending: Ending) -> None:
            self._later(partial(self._resume, beats, ending))

        def raised(error: BaseException) -> None:
            self._later(partial(self._throw, beats, error))

        beats.__enter__()
        try:
            if code.runnable.is_async:
                self._attended(code, ended).begin(process_loop())
            else:
                self._all._sync.run(lambda: call_sync(code, ended=ended, raised=raised))
        except BaseException:
            beats.__exit__()
            raise

    def _attended(self, code: Code, ended: Callable[[Ending], None]) -> Attended:
        return Attended(
            code.runnable,
            code.work,
            code.control,
            grace_s=code.engine.limits.grace_s,
            context=code.host.context(),
            ended=ended,
        )

    def _later(self, step: Callable[[], Code]) -> None:
        self._all._jobs.put(partial(self._go_on, step))

    def _resume(self, beats: Heartbeat | Beats, ending: Ending) -> Code:
        beats.__exit__()
        return self._steps.send(ending)

    def _throw(self, beats: Heartbeat | Beats, error: BaseException) -> Code:
        beats.__exit__()
        return self._steps.throw(error)

    def _is_over(self) -> None:
        """The slot is free once all of its code has ended, or a drain waits for it."""
        self._all._intake.done(monotonic() - self._began)
        lives = [code for code in self._left if code.lives]
        if not lives or self._is_draining():
            self._all._free.release()
            return
        threading.Thread(target=self._await_ends, args=(lives,), daemon=True).start()

    def _await_ends(self, lives: list[Running]) -> None:
        await_ends(lives, self._is_draining)
        self._all._free.release()
