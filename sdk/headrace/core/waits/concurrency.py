"""Concurrency limits: the holders, which task may enter, which one is evicted. Each change is one conditional write on the limit's item.

A holder is an attribute of the item and the places taken are counted in the same write, so that both are always right together. An item
is billed by the kilobyte at each write, so holders are named in as few bytes as tell them apart: see `held_as`.
`w` is the mark, which says that a task may wait: a nonce, set by each task that parks. While it is there, newcomers park behind. See `line`.
"""

from __future__ import annotations

import hashlib
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING
from uuid import UUID

from headrace.core.changes import (
    ITEM_EXISTS,
    AtMost,
    Condition,
    Equal,
    Item,
    Key,
    Missing,
    Path,
    Update,
    Value,
    either,
    every,
)
from headrace.core.points import WORKER_GATE, AtConcurrency, AtSlots, encode_point, limit_name
from headrace.core.run.plans.plan import GatePlan, GateStrategy, TaskKind
from headrace.core.run.routing import NotEvaluated
from headrace.core.table import gate_key, gate_shard, gates_listed, short_key
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
        """The partition of its line, and of its first item."""
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


@dataclass(frozen=True, slots=True)
class Holder:
    """A holder: since when it is in, with which ticket, with how many places. `born_ms`: when its run was created.

    `until_ms`: its attempt is over and its code still runs, in a process that moves this time on for as long as that lasts."""

    member: str
    ticket: int
    since_ms: int
    born_ms: int
    cost: int = 1
    until_ms: int | None = None

    @property
    def run_id(self) -> str:
        return self.member.split("/", 1)[0]

    @property
    def task(self) -> str | None:
        """None: the whole run holds it."""
        if "/" not in self.member:
            return None
        task = self.member.split("/", 1)[1]
        return task if self.until_ms is None else task.rpartition("#")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateState:
    """A gate's item, decoded. `limit` is that of the last holder that entered; `waiting` the mark that a task may wait."""

    holders: Mapping[str, Holder]
    taken: int
    limit: int
    waiting: str | None
    evicted: tuple[str, ...] = ()


def items_of(limit: int) -> int:
    """How many items a gate of so many places is split over."""
    return max(1, -(-limit // PLACES_AN_ITEM))


def places_in(limit: int, number: int, items: int) -> int:
    """How many of `limit` places are in item `number` of so many."""
    return limit // items + (number < limit % items) if number < items else 0


def state_of(item: Item | None) -> GateState:
    found = item or {}
    task = _task_of(str(found.get("pk", "")))
    holders = {
        (member := _member(name[2:], task)): Holder(
            member=member,
            ticket=_int(value, "t"),
            since_ms=_int(value, "a"),
            born_ms=_int(value, "b"),
            cost=_int(value, "k", 1),
            until_ms=_int(value, "u") if "u" in value else None,
        )
        for name, value in found.items()
        if name.startswith("h:") and isinstance(value, dict)
    }
    waiting = found.get("w")
    return GateState(
        holders=holders,
        taken=_int(found, "c"),
        limit=_int(found, "n"),
        waiting=waiting if isinstance(waiting, str) else None,
        evicted=tuple(name[3:] for name in found if name.startswith("ev:")),
    )


def held_as(gate: str, member: str) -> str:
    """The attribute of a holder: its run's id in 22 characters, and its task's name where that is not the gate's own."""
    run_id, slash, task = member.partition("/")
    return f"h:{_short_id(run_id)}{slash}{'' if task == _task_of(gate) else task}"


def _member(name: str, task: str) -> str:
    """The member that `held_as` made a name of. `task`: the gate's own."""
    short, slash, own = name.partition("/")
    return f"{_long_id(short)}{slash}{own or task}" if slash else _long_id(short)


def _task_of(gate: str) -> str:
    """The task that a gate is of; "" where it is none's, such as that of a worker's slots."""
    name = gate[gate.find("gate#") + 5 :].partition("#")[0]
    owner, slash, _ = name.rpartition("/")
    return owner.rpartition(":")[2] if slash and ":" in owner and not name.startswith(WORKER_GATE) else ""


def _short_id(run_id: str) -> str:
    try:
        known = UUID(run_id) if len(run_id) == 36 else None
    except ValueError:
        known = None
    if known is None or str(known) != run_id:
        return f"={run_id}"
    return b2a_base64(known.bytes, newline=False).decode()[:22].replace("/", "_")


def _long_id(short: str) -> str:
    if short.startswith("=") or len(short) != 22:
        return short.removeprefix("=")
    return str(UUID(bytes=a2b_base64(short.replace("_", "/") + "==")))


def _int(found: Mapping[str, Value], name: str, default: int = 0) -> int:
    value = found.get(name)
    return value if isinstance(value, int) else default


# ---------------------------------------------------------------- which gates


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


# ---------------------------------------------------------------- in and out


def _me(gate: str, member: str, *more: str) -> Path:
    return (held_as(gate, member), *more)


def me(of: Pass) -> Path:
    """The attribute that says that a task is in."""
    return _me(of.gate, of.member)


def _entry(of: Pass, now_ms: int) -> Value:
    entry: dict[str, Value] = {"t": of.ticket, "a": now_ms}
    if of.strategy is GateStrategy.CANCEL_IN_PROGRESS:
        entry["b"] = of.born_ms
    return {**entry, "k": of.cost} if of.cost > 1 else entry


def enter(of: Pass, number: int, *, waited: bool, now_ms: int, expires_at_s: int) -> Update:
    """Take the permits, if there are so many, and no task waits for them but this one.

    A run that was evicted but not yet cancelled may not re-enter.
    """
    room = AtMost(("c",), of.places_in(number) - of.cost)
    fits = of.cost <= of.places_in(number)
    more: list[Condition] = [either(Missing(("c",)), room) if fits else room]
    if of.strategy is GateStrategy.CANCEL_IN_PROGRESS:
        more.append(Missing((f"ev:{of.run_id}",)))
    elif of.strategy is GateStrategy.GROUP_ROUND_ROBIN and not waited:
        more.append(Missing(("w",)))
    return Update(
        key=gate_key(of.gate, number),
        require=every(Missing(_me(of.gate, of.member)), *more),
        sets={_me(of.gate, of.member): _entry(of, now_ms), ("n",): of.limit, ("expires_at",): expires_at_s},
        adds={("c",): of.cost},
    )


def enter_again(of: Pass, number: int, held: Holder, *, now_ms: int) -> Update:
    """An earlier ticket of the same task has not left: its places are taken over."""
    return Update(
        key=gate_key(of.gate, number),
        require=Equal(_me(of.gate, of.member, "t"), held.ticket),
        sets={_me(of.gate, of.member): _entry(of, now_ms)},
    )


def leave(of: Pass, number: int) -> Update:
    """Give the places back that this ticket took, or an earlier one: a task that was woken may have ended before it took them over.
    What a later ticket took stays."""
    return Update(
        key=gate_key(of.gate, number),
        require=AtMost(_me(of.gate, of.member, "t"), of.ticket),
        removes=(_me(of.gate, of.member),),
        adds={("c",): -of.cost},
    )


def drop(key: Key, holder: Holder) -> Update:
    """Take out a holder that is dead."""
    return Update(
        key=key,
        require=Equal(_me(key.pk, holder.member, "t"), holder.ticket),
        removes=(_me(key.pk, holder.member),),
        adds={("c",): -holder.cost},
    )


# ---------------------------------------------------------------- code that outlasts its attempt


def overstayer(record_id: str, task: str, ticket: int) -> str:
    """What code is called among the holders whose attempt is over. Another attempt of its task is another member."""
    return f"{record_id}/{task}#{ticket}"


def overstay(of: Pass, number: int, name: str, *, now_ms: int, until_ms: int) -> Update:
    """The attempt ends and its code goes on: its places are the code's from here on, under a name and a lease of their own.

    A place that belongs to the run stays the run's, and one more is taken, beyond the limit where need be."""
    entry: dict[str, Value] = {"t": of.ticket, "a": now_ms, "u": until_ms}
    if of.cost > 1:
        entry["k"] = of.cost
    if of.of_run:
        return Update(
            key=gate_key(of.gate, number),
            require=every(AtMost(_me(of.gate, of.member, "t"), of.ticket), Missing(_me(of.gate, name))),
            sets={_me(of.gate, name): entry},
            adds={("c",): of.cost},
        )
    return Update(
        key=gate_key(of.gate, number),
        require=every(AtMost(_me(of.gate, of.member, "t"), of.ticket), Missing(_me(of.gate, name))),
        sets={_me(of.gate, name): entry},
        removes=(_me(of.gate, of.member),),
    )


def stay_until(of: Pass, number: int, *, until_ms: int) -> Update:
    """The run is cancelled, and its code may go on until then: its place is free once that is over, or its processes have noticed."""
    return Update(
        key=gate_key(of.gate, number),
        require=AtMost(_me(of.gate, of.member, "t"), of.ticket),
        sets={_me(of.gate, of.member, "u"): until_ms},
    )


def stay_on(of: Pass, number: int, name: str, *, until_ms: int) -> Update:
    """The code still runs."""
    return Update(
        key=gate_key(of.gate, number),
        require=Equal(_me(of.gate, name, "t"), of.ticket),
        sets={_me(of.gate, name, "u"): until_ms},
    )


# ---------------------------------------------------------------- cancel in progress


def oldest(state: GateState) -> Holder | None:
    """The holder whose run was created first. Code whose attempt is over cannot be evicted."""
    running = (held for held in state.holders.values() if held.until_ms is None)
    return min(running, key=lambda held: (held.born_ms, held.run_id), default=None)


def evict(of: Pass, number: int, victim: Holder, *, now_ms: int, expires_at_s: int) -> Update:
    """Take the place of `victim`. Its run's cancellation is owed from here on: `ev:` says so until it was paid."""
    return Update(
        key=gate_key(of.gate, number),
        require=every(
            Missing(_me(of.gate, of.member)),
            Missing((f"ev:{of.run_id}",)),
            Equal(_me(of.gate, victim.member, "t"), victim.ticket),
        ),
        sets={
            _me(of.gate, of.member): _entry(of, now_ms),
            (f"ev:{victim.run_id}",): now_ms,
            ("lpk",): gates_listed(gate_shard(of.gate)),
            ("lsk",): of.gate,
            ("n",): of.limit,
            ("expires_at",): expires_at_s,
        },
        removes=(_me(of.gate, victim.member),),
    )


def eviction_paid(key: Key, run_id: str) -> Update:
    return Update(key=key, require=ITEM_EXISTS, removes=((f"ev:{run_id}",),))
