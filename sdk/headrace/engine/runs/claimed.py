"""An attempt that holds its task, and what came of running it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import TYPE_CHECKING

from headrace.core.run.attempts.notes import Note
from headrace.core.run.plans.plan import TaskPlan
from headrace.core.run.record import Payload, RunRecord, TaskRow
from headrace.core.run.transitions.commit import (
    Evaluated,
)
from headrace.core.run.transitions.fence import Attempt
from headrace.core.values import dataclass
from headrace.ports import Received
from headrace.runtime.control import LiveControl
from headrace.runtime.deadline import Ending, TimedOut

if TYPE_CHECKING:
    from headrace.engine.durable.log import Log
    from headrace.runtime.overstaying import Overstaying


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """An attempt that holds its task: the record after the claim, and the input where the message carried it."""

    record: RunRecord
    attempt: Attempt
    received: Received
    input: str | None = None
    taken_over: bool = (
        False  # it, or what it follows in the chain: others may be lost that rode on the message
    )
    outputs: dict[str, str | None] = field(
        default_factory=dict
    )  # of this chain, so that nothing is read twice
    keep_lease: Callable[[LiveControl], bool] | None = None  # of a batch: in place of the record's own
    on_timeout: Callable[[TimedOut], object] | None = None  # of a batch: commits its members
    log: Log | None = None  # of a resumed durable task: its log, as this claim has written it
    suspended: TaskRow | None = None  # of a resumed durable task: its row before this claim

    @property
    def plan(self) -> TaskPlan:
        return self.record.plan.task(self.attempt.task)

    @property
    def row(self) -> TaskRow:
        return self.record.tasks[self.attempt.task]


@dataclass(frozen=True, slots=True)
class Ran:
    """How an attempt ended and, where it returned, what is to be stored of it."""

    ending: Ending
    output: Payload
    evaluated: Evaluated
    span: str | None = None
    outlasted: bool = False  # the code has not ended
    overstaying: Overstaying | None = None  # nor has it, and the task has places
    log: str | None = None  # of a durable task, where it has grown since it was written
    heir: str | None = None  # the waiter that its place goes to (`core.waits.heirs`)
    notes: tuple[Note, ...] = ()  # what the code asked
