"""What a task can wait for, as a closed union, and its one spelling: in a row, and as the name of its gate.

A new kind of wait is a new class here, an arm in `encode_point` and `decode_point`, and the arms that mypy then asks for.
"""

from __future__ import annotations

from typing import TypeAlias, assert_never

from headrace.core.table import BATCH, GATE, LABELS, PAUSE, RATE
from headrace.core.values import dataclass

WORKER_GATE = "worker:"
"""What the names of concurrency limits begin with that are the slots of a worker."""

WORKER_PAUSE = "worker/"
"""What the names of pauses begin with that are of a worker; no workflow's name holds a slash."""

_OPERATIONS = "durable"


@dataclass(frozen=True, slots=True)
class AtConcurrency:
    """A permit of a concurrency limit, for one of its keys (of a long key: its beginning and its hash)."""

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class AtSlots:
    """A slot of a worker's fleet."""

    worker: str


@dataclass(frozen=True, slots=True)
class AtRateLimit:
    """Units of a rate limit, by its key (of a long key: its beginning and its hash)."""

    key: str


@dataclass(frozen=True, slots=True)
class AtPause:
    """A paused workflow, or worker, to be unpaused."""

    name: str

    @property
    def worker(self) -> str | None:
        """The worker, where it is one that is paused."""
        return self.name.removeprefix(WORKER_PAUSE) if self.name.startswith(WORKER_PAUSE) else None


@dataclass(frozen=True, slots=True)
class AtLabels:
    """A process of the worker with the labels that the run requires."""

    worker: str


@dataclass(frozen=True, slots=True)
class AtBatch:
    """The batch of a batch task to fill up, or to be due: among those of one group key."""

    workflow: str
    task: str
    key: str


@dataclass(frozen=True, slots=True)
class AtOperations:
    """The durable operations that are open in the task's log: it has started, and is suspended until one of them is answered."""


AdmissionPoint: TypeAlias = AtConcurrency | AtSlots | AtRateLimit | AtPause | AtLabels | AtBatch
"""What a task waits for before it runs. Each has a line, in a partition of its own."""

WaitPoint: TypeAlias = AdmissionPoint | AtOperations


def encode_point(point: WaitPoint) -> str:
    """The point as text; for an admission point that is its gate: the partition of its item, which names its line's (`table.line_partition`)."""
    match point:
        case AtConcurrency(name, key):
            return f"{GATE}{name}#{key}"
        case AtSlots(worker):
            return f"{GATE}{WORKER_GATE}{worker}#"
        case AtRateLimit(key):
            return f"{RATE}{key}"
        case AtPause(name):
            return f"{PAUSE}{name}"
        case AtLabels(worker):
            return f"{LABELS}{worker}"
        case AtBatch(workflow, task, key):
            return f"{BATCH}{workflow}#{task}#{key}"
        case AtOperations():
            return _OPERATIONS
        case _:
            assert_never(point)


def limit_name(point: AtConcurrency | AtSlots) -> str:
    """The name of a point's limit among those that are deployed: of a worker's slots, `worker:<its name>`."""
    return point.name if isinstance(point, AtConcurrency) else WORKER_GATE + point.worker


def decode_point(text: str) -> WaitPoint:
    """The point that `encode_point` wrote. ValueError where the text is none."""
    return AtOperations() if text == _OPERATIONS else point_at(text)


def point_at(gate: str) -> AdmissionPoint:
    """What the tasks in the line of a gate wait for. ValueError where it is not a gate."""
    for prefix in (GATE, RATE, PAUSE, LABELS, BATCH):
        if gate.startswith(prefix):
            break
    else:
        raise ValueError(
            f"{gate!r} is not a gate: gates begin with {GATE}, {RATE}, {PAUSE}, {LABELS} or {BATCH}"
        )
    name = gate.removeprefix(prefix)
    if prefix == RATE:
        return AtRateLimit(name)
    if prefix == PAUSE:
        return AtPause(name)
    if prefix == LABELS:
        return AtLabels(name)
    if prefix == BATCH:
        workflow, task, key = name.split("#", 2)
        return AtBatch(workflow, task, key)
    limit, _, key = name.partition("#")
    return (
        AtSlots(limit.removeprefix(WORKER_GATE))
        if limit.startswith(WORKER_GATE)
        else AtConcurrency(limit, key)
    )
