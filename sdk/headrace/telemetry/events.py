"""What happens to tasks, as values. Listeners make metrics of them: CloudWatch's, Prometheus', the counters of the local stack.

A new event is a new class here, an arm in `name_of`, and the arms that mypy then asks for.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol, TypeAlias, assert_never

from headrace.core.points import AdmissionPoint, WaitPoint
from headrace.core.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted:
    """A worker has begun an attempt. `queue_ms`: how long its ticket was queued. `lined_up`: the points it had to wait at."""

    workflow: str
    task: str
    queue_ms: int
    lined_up: tuple[WaitPoint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptTakenOver:
    """A worker goes on with an attempt whose worker was lost."""

    workflow: str
    task: str


class Outcome(StrEnum):
    """How an attempt ended: RETRIED where it failed and there will be another one."""

    COMPLETED = "completed"
    FAILED = "failed"
    RETRIED = "retried"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnded:
    """An attempt has ended, and that is committed. `run_ms`: how long it ran; None where its code did not run."""

    workflow: str
    task: str
    outcome: Outcome
    run_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptTimedOut:
    """An attempt has reached its execution timeout. It also ends, FAILED or RETRIED."""

    workflow: str
    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFenced:
    """An attempt had lost its lease, so its result counts for nothing."""

    workflow: str
    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCancelled:
    """A task was cancelled while a worker had it."""

    workflow: str
    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskParked:
    """A task was not admitted, and waits in the line of `point`."""

    workflow: str
    task: str
    point: AdmissionPoint


TaskEvent: TypeAlias = (
    AttemptStarted
    | AttemptTakenOver
    | AttemptEnded
    | AttemptTimedOut
    | AttemptFenced
    | TaskCancelled
    | TaskParked
)


def name_of(event: TaskEvent) -> str:
    """The name that an event is counted under."""
    match event:
        case AttemptStarted():
            return "started"
        case AttemptTakenOver():
            return "taken_over"
        case AttemptEnded(outcome=outcome):
            return outcome.value
        case AttemptTimedOut():
            return "timed_out"
        case AttemptFenced():
            return "fenced"
        case TaskCancelled():
            return "cancelled"
        case TaskParked():
            return "parked"
        case _:
            assert_never(event)


class Listener(Protocol):
    """Is told of events, on the thread on which they happen: any of a worker's. Must not raise, and must not block."""

    def heard(self, event: TaskEvent) -> None: ...
