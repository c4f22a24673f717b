"""Which concurrency limits, and slots, a task has to pass: of its plan and its keys, and over how many items each is spread."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from headrace.core.points import WORKER_GATE, AtConcurrency, AtSlots, encode_point, limit_name
from headrace.core.run.plans.plan import GatePlan, GateStrategy, TaskKind
from headrace.core.run.routing import NotEvaluated
from headrace.core.table import short_key
from headrace.core.values import dataclass

if TYPE_CHECKING:
    from headrace.core.run.record import RunRecord

PLACES_AN_ITEM = 20
"""A gate of more places is split over several items. One takes 1,000 write units a second: with so many holders of 42 bytes each it is
below a kilobyte, which is one unit a write."""


class KeyFailed(Exception):
    """A key's expression could not be evaluated: the expression and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """The places that a task (or its run) needs at a gate."""

    point: AtConcurrency | AtSlots
    member: str
    ticket: int
    limit: int
    cost: int = 1
    strategy: GateStrategy = GateStrategy.GROUP_ROUND_ROBIN
    of_run: bool = False  # held until the run ends
    born_ms: int = 0
    planned: int = 0  # what the run's plan says of the limit

    @property
    def gate(self) -> str:
        """The partition of its first item; its line's is named by it."""
        return encode_point(self.point)

    @property
    def name(self) -> str:
        """The name of its limit among those that are deployed."""
        return limit_name(self.point)

    @property
    def run_id(self) -> str:
        return self.member.split("/", 1)[0]

    @property
    def widest(self) -> int:
        """Over how many items the holders that entered under another limit may be spread."""
        return max(self.items, items_of(self.planned)) if self._splits else 1

    @property
    def items(self) -> int:
        """How many items the gate is split over. To find the oldest of all, they have to be in one."""
        return items_of(self.limit) if self._splits else 1

    @property
    def _splits(self) -> bool:
        return self.strategy is not GateStrategy.CANCEL_IN_PROGRESS

    def places_in(self, number: int) -> int:
        """How many of the places are in item `number`."""
        return places_in(self.limit, number, self.items)

    @property
    def home(self) -> int:
        """The item to try first."""
        return sum(self.member.encode()) % self.items


def items_of(limit: int) -> int:
    """How many items a gate of so many places is split over."""
    return max(1, -(-limit // PLACES_AN_ITEM))


def places_in(limit: int, number: int, items: int) -> int:
    """How many of `limit` places are in item `number` of so many."""
    return limit // items + (number < limit % items) if number < items else 0


def literal_key(expression: str) -> str | None:
    """The key of an expression that is a plain string, such as the int shorthand's 'constant'. None: it has to be evaluated."""
    inner = expression[1:-1]
    quoted = len(expression) >= 2 and expression[0] == expression[-1] and expression[0] in "'\""
    return inner if quoted and not set(inner) & set("'\"\\") else None


def keyed_gates(record: RunRecord) -> Iterator[GatePlan]:
    """The gates of a plan whose keys have to be evaluated, in the order in which its routing holds them."""
    for gate in (*record.plan.gates, *(gate for task in record.plan.tasks for gate in task.gates)):
        if literal_key(gate.expression) is None:
            yield gate


def keys_of(record: RunRecord) -> dict[str, str]:
    """Gate name -> key, for those that were evaluated. KeyFailed where the expression of any gave none."""
    out: dict[str, str] = {}
    for gate, value in zip(keyed_gates(record), record.routing.keys, strict=False):
        if isinstance(value, NotEvaluated):
            raise KeyFailed(value.reason)
        out[gate.name] = value
    return out


def group_of(record: RunRecord, task: str) -> str | None:
    """The fair-queue group of a task's messages: its first key that comes from an expression."""
    for gate in (*record.plan.task(task).gates, *record.plan.gates):
        if literal_key(gate.expression) is None:
            try:
                return hashlib.sha256(keys_of(record)[gate.name].encode()).hexdigest()[:32]
            except (KeyFailed, KeyError):
                return None
    return None


def passes(
    record: RunRecord, task: str, ticket: int, *, worker: str, limits: Mapping[str, int]
) -> tuple[Pass, ...]:
    """What `ticket` of `task` has to pass before it runs, in order. KeyFailed where a key could not be evaluated.

    limits: by name of gate, what is deployed, which counts above what the run's plan says; `worker:<name>` for slots. The gates of
    a workflow stand before its roots and belong to the run; a standalone task's are its own.
    """
    plan = record.plan.task(task)
    slots = limits.get(WORKER_GATE + worker)
    if not plan.gates and not record.plan.gates and slots is None:
        return ()
    keys = keys_of(record)
    again = record.generation is not None  # the first task of a replay may be any
    root = (again or not plan.parents) and plan.kind is TaskKind.NORMAL
    out = list(run_passes(record, limits=limits)) if root else []
    own = (*record.plan.gates, *plan.gates) if record.plan.standalone else plan.gates
    out.extend(_pass(record, gate, keys, limits, task, ticket) for gate in own)
    if slots is not None:
        out.append(
            Pass(
                point=AtSlots(worker),
                member=f"{record.run_id}/{task}",
                ticket=ticket,
                limit=slots,
                cost=plan.slot_cost,
            )
        )
    return tuple(out)


def run_passes(record: RunRecord, *, limits: Mapping[str, int]) -> tuple[Pass, ...]:
    """What the run as a whole holds until it ends; nothing where a key could not be evaluated."""
    if record.plan.standalone or not record.plan.gates:
        return ()
    try:
        keys = keys_of(record)
    except KeyFailed:
        return ()
    return tuple(
        _pass(record, gate, keys, limits, None, 1 + record.generation_number) for gate in record.plan.gates
    )


def _pass(
    record: RunRecord,
    gate: GatePlan,
    keys: Mapping[str, str],
    limits: Mapping[str, int],
    task: str | None,
    ticket: int,
) -> Pass:
    key = literal_key(gate.expression)
    return Pass(
        point=AtConcurrency(gate.name, short_key(keys[gate.name] if key is None else key)),
        member=record.run_id if task is None else f"{record.run_id}/{task}",
        ticket=ticket,
        limit=limits.get(gate.name, gate.max_runs),
        strategy=gate.strategy,
        of_run=task is None,
        born_ms=record.created_at_ms if record.generation is None else record.generation.at_ms,
        planned=gate.max_runs,
    )
