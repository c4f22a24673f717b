"""What the partition of a gate says: what kind it is, its name and its key."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from headrace.core.run.graph import TaskState
from headrace.core.run.record import TaskStatus
from headrace.core.waits.concurrency import GATE, LABELS, PAUSE, RATE, WORKER_GATE


class GateKind(StrEnum):
    """What tasks wait for."""

    CONCURRENCY = "concurrency"  # a place among those of a key
    SLOTS = "slots"  # a slot of a worker
    RATE = "rate"  # units of a rate limit
    PAUSE = "pause"  # a paused workflow
    LABELS = "labels"  # a process of the worker with the right labels


@dataclass(frozen=True, slots=True)
class Address:
    """What the partition of a gate says: its kind, its name and its key (of a long key, its beginning and its hash)."""

    kind: GateKind
    name: str
    key: str = ""

    def matches(self, text: str) -> bool:
        """Whether `text` is its name or its key, or that of its workflow, task or worker."""
        names = {self.name, self.key, self.name.removeprefix(WORKER_GATE)}
        if self.kind is GateKind.CONCURRENCY:
            owner = self.name.rpartition("/")[0]
            names |= {owner, *owner.split(":")}
        return text in names - {""}


def is_gate(text: str) -> bool:
    """Whether it is the whole name of a gate: the partition of its item and its line."""
    return text.startswith((GATE, RATE, PAUSE, LABELS))


def address_of(gate: str) -> Address:
    """The parts of a gate's partition. ValueError where it is none."""
    if gate.startswith(GATE):
        name, _, key = gate.removeprefix(GATE).partition("#")
        kind = GateKind.SLOTS if name.startswith(WORKER_GATE) else GateKind.CONCURRENCY
        return Address(kind, name, key)
    if gate.startswith(RATE):
        return Address(GateKind.RATE, gate.removeprefix(RATE))
    if gate.startswith(PAUSE):
        return Address(GateKind.PAUSE, gate.removeprefix(PAUSE))
    if gate.startswith(LABELS):
        return Address(GateKind.LABELS, gate.removeprefix(LABELS))
    raise ValueError(f"{gate!r} is no gate: they begin with {GATE}, {RATE}, {PAUSE} or {LABELS}")


def waited_for(state: TaskState) -> str | None:
    """What a parked task waits for, in words; None: it is not parked."""
    parked = state.status is TaskStatus.PARKED and state.row is not None and state.row.gate
    return described(parked) if parked else None


def described(gate: str) -> str:
    """What a task waits for at a gate (or at a join), for a person."""
    try:
        found = address_of(gate)
    except ValueError:
        return "its children"
    match found.kind:
        case GateKind.CONCURRENCY:
            return f"a place of {found.name}, key {found.key!r}"
        case GateKind.SLOTS:
            return f"a slot of worker {found.name.removeprefix(WORKER_GATE)}"
        case GateKind.RATE:
            return f"units of rate limit {found.name!r}"
        case GateKind.PAUSE:
            return f"workflow {found.name} to be unpaused"
        case GateKind.LABELS:
            return f"a process of worker {found.name} with the right labels"
