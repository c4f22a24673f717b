"""The effects that a record may owe, as values."""

from __future__ import annotations

from typing import TypeAlias

from headrace.core.run.message import Conditions
from headrace.core.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SendTask:
    """A message for a ticket, due at `due_at_ms` (None: now)."""

    task: str
    ticket: int
    worker: str
    queued_at_ms: int
    start_by_ms: int
    due_at_ms: int | None = None
    conditions: Conditions | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitEvents:
    """A task waits for events from now on: they must find it."""

    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TellParent:
    """The run is over and its parent waits: take it out of the join."""

    join: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseKey:
    """The run is over and held an idempotency key until then."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAtOperations:
    """A task is suspended on durable operations: wake it if one was answered just before."""

    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndOperations:
    """A durable task is over: the subscriptions of its open operations go."""

    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveBack:
    """`ticket` of a task has ended: the permits that it took are free, and tasks that wait for them are to be woken.

    `suspended`: the task has started and waits. It keeps the places of its keys and gives up those of its worker."""

    task: str
    ticket: int
    suspended: bool = False
    stale: bool = False  # paid again: the delivery that owed it may have died on the way


@dataclass(frozen=True, slots=True, kw_only=True)
class SeeToHeir:
    """A task has ended and named the waiter that its place goes to: that one must have its message. Paid by a later delivery only: the
    one that ended the task hands the place over where it gives it back."""

    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LineUp:
    """A task is parked at a limit: its waiter must be there, and the mark."""

    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOut:
    """A task was settled while it waited at a gate: its waiter goes."""

    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndRun:
    """The run is over: what it held as a whole is free, unless code of a cancelled attempt may still run. `ended`: the tasks whose
    attempts have ended, or hold places of their own for their code."""

    ended: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepDeadLetter:
    """A task was given up for what became of its workers or its message: that is kept, to be seen and redriven."""

    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SendReply:
    """The run is over and the process that receives from `queue` waits for its result."""

    queue: str


PaidAlone: TypeAlias = (
    AwaitEvents | TellParent | ReleaseKey | LookAtOperations | EndOperations | KeepDeadLetter | SendReply
)
PaidAtLimits: TypeAlias = GiveBack | SeeToHeir | LineUp | StepOut | EndRun
Effect: TypeAlias = SendTask | PaidAlone | PaidAtLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelEvicted:
    """A newer run took the place of `run_id` at a concurrency limit: that run is cancelled, and what its end owes is paid."""

    gate: str
    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetEviction:
    """An evicted run was cancelled and all of that was paid: the limit need not remember it any more."""

    gate: str
    run_id: str


LimitEffect: TypeAlias = CancelEvicted | ForgetEviction
"""What a concurrency limit owes. It remembers the runs that were evicted from it until they are cancelled."""
