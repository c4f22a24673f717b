"""Whether an invocation holds for what code waits for, or ends."""

from __future__ import annotations

import logging

from headrace.core.durable.log import Entry, Kind, SleepLeaf
from headrace.core.run.record import ErrorInfo
from headrace.runtime.durable.entries import Entries
from headrace.runtime.durable.invocation import Invocation
from headrace.runtime.durable.standing import Standing
from headrace.runtime.durable.turns import Turns

logger = logging.getLogger("headrace")

TIMER_MARGIN_S = 1.0
"""What has to be left of an invocation's time when a timer that holds it goes off."""


class Holding:
    """`always`: the task's `EvictionPolicy` is that it is never suspended."""

    def __init__(
        self, invocation: Invocation, entries: Entries, turns: Turns, standing: Standing, *, always: bool
    ) -> None:
        self._invocation = invocation
        self._entries = entries
        self._turns = turns
        self._standing = standing
        self._always = always

    def may_suspend(self) -> bool:
        """Whether to end the invocation: nothing of the code runs or has a timer, and what is worth holding for was held for."""
        entries = self._turns.waited_for
        given_up = [entry for entry in entries if entry.given_up]
        if (self._always and not given_up) or self._timer_holds():
            return False
        if given_up and not self._invocation.log.resumed:
            self._entries.reopen(given_up)
            return False
        if len(given_up) == len(entries):
            self._entries.fail(_waits_on(self._entries.where, entries[0]))
            return False
        if self._always:
            return False
        log = self._invocation.log
        soon_ms = log.now_ms() + int(log.hold_s * 1000)
        worth = any(
            entry.kind is Kind.RUN or any(due_ms < soon_ms for due_ms in _dues(entry)) for entry in entries
        )
        return not worth or self._invocation.held_s >= log.hold_s

    def _timer_holds(self) -> bool:
        """Whether code has set a timer that will go off in the time that is left to it.

        One that will not would be set again at the next invocation, and never go off: it holds nothing, and the code's author is told.
        """
        wait_s, left_s = self._standing.next_timer_s(), self._invocation.time_left_s()
        if wait_s is None:
            return False
        if wait_s < left_s - TIMER_MARGIN_S:
            return True
        if not self._invocation.warned:
            self._invocation.warned = True
            logger.warning(
                "%s waits on a timer of asyncio's of %.0f s with %.0f s left to this invocation: it begins again when the task goes on. Use "
                "ctx.aio_sleep_for, or or_(..., SleepCondition(...)) in ctx.aio_wait_for, which last",
                self._entries.where,
                wait_s,
                left_s,
            )
        return False

    def until_due_s(self, pause_s: float) -> float:
        """A pause that ends when the first sleep does."""
        dues = [due_ms for entry in self._turns.waited_for for due_ms in _dues(entry)]
        if not dues:
            return pause_s
        return max(0.0, min(pause_s, (min(dues) - self._invocation.log.now_ms()) / 1000))


def _waits_on(where: str, entry: Entry) -> ErrorInfo:
    return ErrorInfo(
        type="NonDeterminismError",
        message=f"Non-determinism in {where} at node {entry.node}: the log says that the code stopped waiting there, and now it waits on",
    )


def _dues(entry: Entry) -> list[int]:
    return [leaf.due_at_ms for group in entry.groups for leaf in group if isinstance(leaf, SleepLeaf)]
