"""Processes of a simulated world, their clocks, and how likely they are to come to harm."""

from __future__ import annotations

from dataclasses import dataclass

from greenlet import getcurrent, greenlet

from headrace.memory.clock import VirtualClock
from headrace.memory.queues import MemoryQueues


class Killed(BaseException):
    """The process ends here, whatever it was doing."""


@dataclass(slots=True)
class SkewedClock:
    """A process's own idea of the time."""

    base: VirtualClock
    skew_ms: int

    def now_ms(self) -> int:
        return self.base.now_ms() + self.skew_ms

    def sleep(self, seconds: float) -> None:
        pause(int(seconds * 1000))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How likely each fault is, at each port call or delivery."""

    kill: float = 0.01
    freeze: float = 0.003
    throttle: float = 0.01
    lost: float = 0.01
    retried: float = 0.01
    duplicate: float = 0.03
    old_receipt: float = (
        0.5  # of the deletes by the receipt of an earlier delivery: they remove the message all the same
    )


@dataclass(slots=True)
class Process:
    """A client, an invocation or the clock: a greenlet and when it may go on."""

    name: str
    body: greenlet
    at_ms: int


def running_name() -> str:
    """The running process, for the trace."""
    return str(getattr(getcurrent(), "name", "the world"))


def has_ms(milliseconds: int, clock: VirtualClock) -> None:
    """The running process is ended after so much time: what a function's limit is."""
    getcurrent().ends_ms = clock.now_ms() + milliseconds  # type: ignore[attr-defined]  # a greenlet has a dictionary


def is_late(clock: VirtualClock) -> bool:
    """Whether the running process has outlived its limit, so that it does nothing more."""
    return clock.now_ms() >= getattr(getcurrent(), "ends_ms", clock.now_ms() + 1)


def pause(milliseconds: int) -> None:
    """Give way; go on after so much virtual time."""
    parent = getcurrent().parent
    assert parent is not None
    parent.switch(milliseconds)


class CountedQueues(MemoryQueues):
    """The queues, and whether any message is there that was received."""

    def received(self) -> bool:
        return any(m.receive_count for q in self._queues.values() for m in q.messages.values())
