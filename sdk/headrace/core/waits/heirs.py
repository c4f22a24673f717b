"""A place that is handed over: the task that ends names the first waiter in its commit, and puts it in its own place by one write.

    commit, which names the heir ── hand over ── strike it from the line ── send its message
                                      │ another has done so, or the      │ another has woken it
                                      │ limit has changed                └── that one sends its message
                                      └── leave, and look

At a limit of several items it is struck first: two tasks could each put it in an item of their own. One that was struck and not handed
a place gets its message all the same.

The heir finds itself inside, by a read. Its message carries nothing: one that is not inside enters like any other. A delivery that dies
in between leaves a record that names the heir: the next one sees to it that the heir has its message.
"""

from __future__ import annotations

from collections.abc import Sequence

from headrace.core.run.plans.plan import GateStrategy
from headrace.core.values import dataclass
from headrace.core.waits.line import Waiter
from headrace.core.waits.passes import Pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Heir:
    """The ticket that a record names."""

    ticket: int
    run_id: str
    task: str

    @property
    def member(self) -> str:
        """What it is called among the holders of a gate."""
        return f"{self.run_id}/{self.task}"


def encode_heir(waiter: Waiter) -> str:
    return f"{waiter.ticket}/{waiter.run_id}/{waiter.task}"


def decode_heir(text: str) -> Heir:
    """Raises ValueError where it is none."""
    ticket, run_id, task = text.split("/", 2)
    return Heir(ticket=int(ticket), run_id=run_id, task=task)


def may_be_handed(of: Pass) -> bool:
    """Whether a ticket has one place there, by itself."""
    return of.strategy is GateStrategy.GROUP_ROUND_ROBIN and not of.of_run and of.cost == 1


def next_heir(waiters: Sequence[Waiter], now_ms: int) -> Waiter | None:
    """The first of a line that no wake-up is on its way to, if a single place will do for it."""
    first = next((each for each in waiters if not each.woken_at_ms), None)
    return first if first is not None and first.cost == 1 and first.start_by_ms >= now_ms else None
