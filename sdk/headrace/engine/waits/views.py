"""The holders and the waiters of gates, as people and metrics are shown them. Read only; as consistent as the reads it says.

A limit that a task waits at, or has waited at lately, is in the index. One with holders and no line is in none: its name has to be
known.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from headrace.core.points import encode_point
from headrace.core.run.record import RunRecord, TaskStatus
from headrace.core.table import GATE_SHARDS, WAIT, gate_key, gates_listed
from headrace.core.values import dataclass
from headrace.core.waits.holders import GateState, Holder, state_of
from headrace.core.waits.line import RETRY_RANK, Waiter, place_of
from headrace.core.waits.passes import items_of
from headrace.core.waits.rate_limit import window_of
from headrace.engine.engine import Engine
from headrace.engine.waits.kinds.concurrency import states_of
from headrace.engine.waits.kinds.pause import pauses
from headrace.engine.waits.points import Address, GateKind, address_of
from headrace.engine.waits.wake import heads

MOST_BEFORE = 1_000
"""A place in a line is looked for among so many waiters at its head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderView:
    """A holder of places. `task` None: the whole run holds it until it ends. `cost`: how many places."""

    run_id: str
    task: str | None
    since_ms: int
    cost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WaiterView:
    """A waiter. `place` counts from 1; `priority` is 1 (low) to 3 (high), 4 for a task that is tried again; `cost` the places or
    units that it needs; `start_by_ms` when its schedule timeout ends the wait; `required_labels` the labels that it requires, as JSON."""

    place: int
    run_id: str
    task: str
    priority: int
    worker: str
    since_ms: int
    start_by_ms: int
    cost: int
    required_labels: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitView:
    """A rate limit: what is `left` of `limit` units in this window of `window_ms`, and when the next one begins.

    `limit` None: it is not set."""

    limit: int | None
    left: int
    window_ms: int | None
    refills_at_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateView:
    """A gate as it stands. `limit` is that of the deployed code where it is at hand, else the one that the last task entered under; None where
    there are no places. `window` is there for rate limits only; `paused` says of a workflow's line that it still is."""

    gate: str
    kind: GateKind
    name: str
    key: str
    limit: int | None = None
    taken: int = 0
    holders: tuple[HolderView, ...] = ()
    waiters: tuple[WaiterView, ...] = ()
    window: LimitView | None = None
    paused: bool = False

    @property
    def busy(self) -> bool:
        """Whether anybody is in or waits, units of the window are taken, or it is paused."""
        spent = self.window is not None and self.window.left < (self.window.limit or 0)
        return bool(self.holders or self.waiters or spent or self.paused)


# ---------------------------------------------------------------- many gates


def waited_at(engine: Engine) -> list[str]:
    """The limits that a task waits at, or has waited at within the last minutes: a query a shard of the index, eventually consistent."""
    found = {
        str(item["lsk"])
        for shard in range(GATE_SHARDS)
        for item in engine.store.query_index("listing", gates_listed(shard), newest_first=False)
    }
    return sorted(found)


# ---------------------------------------------------------------- one gate


def gate_view(engine: Engine, gate: str, *, limits: Mapping[str, int] = MappingProxyType({})) -> GateView:
    """A gate with its holders and its waiters: a read of its item (or items) and a query of its line. ValueError where `gate` is none.

    `limits`: by name of gate, what is known of it, where the engine knows of no limit that is deployed.
    """
    address = address_of(gate)
    waiters = tuple(_waiter(number, each) for number, each in enumerate(heads(engine, gate), start=1))
    if address.kind is GateKind.RATE:
        return _limit_view(engine, gate, address, waiters)
    if address.kind in (GateKind.PAUSE, GateKind.LABELS):
        paused = address.kind is GateKind.PAUSE and address.name in pauses(engine)
        return GateView(
            gate=gate, kind=address.kind, name=address.name, key="", waiters=waiters, paused=paused
        )
    limit, states = _states(engine, gate, {**limits, **engine.gate_limits()}.get(address.name))
    held = sorted(
        (each for state in states for each in state.holders.values()),
        key=lambda each: (each.since_ms, each.member),
    )
    return GateView(
        gate=gate,
        kind=address.kind,
        name=address.name,
        key=address.key,
        limit=limit or None,
        taken=sum(state.taken for state in states),
        holders=tuple(_holder(each) for each in held),
        waiters=waiters,
    )


def _states(engine: Engine, gate: str, known: int | None) -> tuple[int, list[GateState]]:
    """The limit in force, and all items of the gate: those of the limit before, too."""
    first = state_of(engine.store.get(gate_key(gate)))
    limit = known if known is not None else first.limit
    items = max(items_of(limit), items_of(first.limit))
    return limit, [first] if items == 1 else states_of(engine, gate, items)


def _holder(of: Holder) -> HolderView:
    return HolderView(run_id=of.run_id, task=of.task, since_ms=of.since_ms, cost=of.cost)


def _waiter(place: int, of: Waiter) -> WaiterView:
    rank = int(of.sk.removeprefix(WAIT).partition("#")[0])
    return WaiterView(
        place=place,
        run_id=of.run_id,
        task=of.task,
        priority=RETRY_RANK - rank,
        worker=of.worker,
        since_ms=of.queued_at_ms,
        start_by_ms=of.start_by_ms,
        cost=of.cost,
        required_labels=of.required_labels,
    )


def _limit_view(engine: Engine, gate: str, address: Address, waiters: tuple[WaiterView, ...]) -> GateView:
    window, now_ms = window_of(engine.store.get(gate_key(gate))), engine.clock.now_ms()
    known = window.limit is not None and window.window_ms is not None
    return GateView(
        gate=gate,
        kind=address.kind,
        name=address.name,
        key=address.name,
        waiters=waiters,
        window=LimitView(
            limit=window.limit,
            left=window.room(now_ms),
            window_ms=window.window_ms,
            refills_at_ms=window.next_start_ms(now_ms) if known else None,
        ),
    )


# ---------------------------------------------------------------- one run


def places_in_line(engine: Engine, record: RunRecord) -> Mapping[str, int]:
    """The places, from 1, of the run's tasks that are parked at gates: a query of each one's line.

    Left out: a task that is not in the line (about to be woken, or to line up), or further back than MOST_BEFORE."""
    out: dict[str, int] = {}
    if record.cancelled_at_ms is not None:
        return out
    for task, row in record.tasks.items():
        if row.status is not TaskStatus.PARKED or row.waits_at is None:
            continue
        sk = place_of(record, task, row)
        line = [each.sk for each in heads(engine, encode_point(row.waits_at), limit=MOST_BEFORE)]
        if sk in line:
            out[task] = line.index(sk) + 1
    return out
