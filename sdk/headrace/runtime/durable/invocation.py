"""What is of one invocation of a durable task: where its code goes on in memory, that of the next takes its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from headrace.engine.attempts.ports import DurableLog, Work


@dataclass(slots=True)
class Invocation:
    """`count`: its number, from 1. `held_s`: for how long it has held, answers that came meanwhile or not: each is a write, and a look at the
    others. `looked_at`: the operations that a look has made known to events. `warned`: of a timer that it cannot hold for."""

    log: DurableLog
    count: int
    time_left_s: Callable[[], float]
    held_s: float = 0.0
    looked_at: set[int] = field(default_factory=set)
    warned: bool = False

    def next(self, log: DurableLog, count: int, time_left_s: Callable[[], float]) -> None:
        """Be the invocation that the code goes on in."""
        self.log, self.count, self.time_left_s = log, count, time_left_s
        self.held_s, self.looked_at, self.warned = 0.0, set(), False


def invocation_of(work: Work) -> int:
    """The number of the invocation that runs an attempt, from 1."""
    return work.record.tasks[work.task].invocations + 1
