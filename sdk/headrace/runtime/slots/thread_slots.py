"""A slot of a worker that has sync tasks: a thread that takes message after message and runs their code itself.

So what code keeps by thread (a connection, a session) is there for the next task of the slot. Code that outlasts its deadline keeps its
thread, and with it the slot, while the rest of its delivery is done by another.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from headrace.engine.runs.attempt import Code, beating, run_live
from headrace.runtime.slots.called_here import CalledHere
from headrace.runtime.slots.loop_slots import Deliver, Settle
from headrace.runtime.slots.outlasted import OUTLASTED, await_ends

if TYPE_CHECKING:
    from headrace.engine.attempts.ports import Disposition, Running
    from headrace.engine.runs.attempt import Steps
    from headrace.ports import Received
    from headrace.runtime.deadline import Ending, TimedOut
    from headrace.runtime.heartbeat import Beats, Heartbeat
    from headrace.runtime.slots.intake import Intake

logger = logging.getLogger("headrace.worker")


class ThreadSlot:
    """One slot."""

    def __init__(
        self,
        number: int,
        intake: Intake,
        deliver: Deliver,
        settle: Settle,
        is_draining: Callable[[], bool],
    ) -> None:
        self._intake = intake
        self._deliver = deliver
        self._settle = settle
        self._is_draining = is_draining
        self._outlasted = False
        self._done_elsewhere = threading.Event()
        self._settled_at = 0.0
        self._thread = threading.Thread(target=self._work, name=f"headrace-slot-{number}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        """Wait until the slot has ended, or all that keeps it is code whose outcome is written: that ends with the process."""
        while self._thread.is_alive() and not self._outlasted:
            self._thread.join(0.1)

    def _work(self) -> None:
        while (received := self._intake.take()) is not None:
            began = monotonic()
            try:
                self._turn(received)
            finally:
                self._outlasted = False
                self._done_elsewhere.clear()
                self._intake.done(max(0.0, self._settled_at - began))

    def _turn(self, received: Received) -> None:
        left: list[Running] = []
        steps = self._deliver(received, left.append)
        step: Callable[[], Code] = partial(next, steps)
        while (code := self._step(received, step)) is not None:
            try:
                ending = self._run(code, received, steps)
            except BaseException as error:  # noqa: BLE001  # as if it was raised where the code was asked for
                step = partial(steps.throw, error)
                continue
            if ending is None:
                self._done_elsewhere.wait()  # its outcome may be written only now: the slot begins nothing before it is
                return
            step = partial(steps.send, ending)
        await_ends([each for each in left if each.lives], self._is_draining)

    def _step(self, received: Received, step: Callable[[], Code]) -> Code | None:
        """The code that is to be run now. None: the delivery is over."""
        found: Code | None = None

        def disposition() -> Disposition | None:
            nonlocal found
            try:
                found = step()
            except StopIteration as end:
                over: Disposition = end.value
                return over
            return None

        if not self._settle(received, disposition):
            return found
        self._settled_at = monotonic()
        return None

    def _run(self, code: Code, received: Received, steps: Steps[Disposition]) -> Ending | None:
        """How the code ended. None: it outlasted its deadline, and its delivery was done elsewhere."""
        if code.runnable.is_async:
            return _run_live(code)
        beats = beating(code.engine, code.claimed, code.control)
        called = CalledHere(
            code.control,
            grace_s=code.engine.limits.grace_s,
            left=lambda timed_out: self._go_on_without(beats, received, steps, timed_out),
        )
        with beats:
            return called.run(code.runnable, code.work, code.host.context())

    def _go_on_without(
        self, beats: Heartbeat | Beats, received: Received, steps: Steps[Disposition], timed_out: TimedOut
    ) -> None:
        """Do the rest of a delivery, on a thread of the pulse, while its code still runs on the slot's."""
        logger.warning(OUTLASTED)
        try:
            beats.__exit__()
            step: Callable[[], Code] = partial(steps.send, timed_out)
            while (code := self._step(received, step)) is not None:
                try:
                    step = partial(steps.send, _run_live(code))
                except BaseException as error:  # noqa: BLE001  # as above
                    step = partial(steps.throw, error)
        finally:
            self._outlasted = True
            self._done_elsewhere.set()


def _run_live(code: Code) -> Ending:
    return run_live(code.engine, code.host, code.claimed, code.control, code.runnable, code.work)
