"""Sync code on the thread that calls it, where another thread minds its deadline.

At the deadline TaskTimeout is raised in it, once, at its next bytecode. Code that has not ended a grace later (a call into C that does not
return) is left to run, and its attempt goes on elsewhere: whichever of the two comes first goes on with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING

from headrace.engine.attempts.ports import TaskTimeout
from headrace.runtime.deadline import Ending, TimedOut, raise_in
from headrace.runtime.pulse import PULSE

if TYPE_CHECKING:
    from headrace.engine.attempts.ports import Runnable, Work
    from headrace.runtime.control import LiveControl


class CalledHere:
    """One attempt's code. `left` is called from another thread where it outlasts its deadline, and may block."""

    def __init__(self, control: LiveControl, *, grace_s: float, left: Callable[[TimedOut], None]) -> None:
        self._control = control
        self._grace_s = grace_s
        self._left = left
        self._thread_id = threading.get_ident()
        # Taking the only element of a list is atomic, and so safe from an exception that is raised between any two bytecodes.
        self._may_interrupt, self._may_go_on = [True], [True]
        self._interrupted = threading.Event()
        self._alarm = PULSE.after(max(control.remaining_s(), 0), self._due)

    def run(self, runnable: Runnable, work: Work, context: Context) -> Ending | None:
        """How the code ended. None: the attempt went on elsewhere before it did."""
        self._control.running.begins()
        ending = self._called(runnable, work, context)
        PULSE.cancel(self._alarm)
        self._control.running.ends()
        return ending if _taken(self._may_go_on) else None

    def _called(self, runnable: Runnable, work: Work, context: Context) -> Ending:
        """In whichever way it is left, TaskTimeout is raised no more."""
        try:
            outcome = context.run(runnable.call, work)
            if _taken(self._may_interrupt):
                return outcome
            self._interrupted.wait()  # it comes now, or was swallowed
            raise_in(self._thread_id, None)
        except TaskTimeout:
            pass
        return TimedOut(self._control.limit_s)

    # ---- on the pulse's threads

    def _due(self) -> None:
        remaining_s = self._control.remaining_s()
        if remaining_s > 0:  # the deadline was moved
            self._alarm = PULSE.after(remaining_s, self._due)
        elif _taken(self._may_interrupt):
            raise_in(self._thread_id, TaskTimeout)
            self._interrupted.set()
            PULSE.after(self._grace_s, self._outlasted)

    def _outlasted(self) -> None:
        if _taken(self._may_go_on):
            self._left(TimedOut(self._control.limit_s))


def _taken(token: list[bool]) -> bool:
    """Whether it is this caller that takes it."""
    try:
        return token.pop()
    except IndexError:
        return False
