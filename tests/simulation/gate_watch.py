"""Every write to a gate or a rate limit, held against what was there before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from headrace.core.changes import Item, Key, Update, Write
from headrace.core.points import point_at
from headrace.core.run.derived.progress import finished
from headrace.core.run.plans.plan import GateStrategy
from headrace.core.run.record import RunRecord, TaskStatus
from headrace.core.table import gate_of_line
from headrace.core.waits.holders import GateState, Holder, state_of
from headrace.core.waits.rate_limit import window_of
from simulation.gates_workload import strategy_of

NO_ITEM = state_of(None)


class Violation(AssertionError):
    """An invariant does not hold, and which."""


def place(key: Key) -> tuple[str, int]:
    """Of a gate's item: the gate, and which of its items."""
    if not key.pk.startswith("places#"):
        return key.pk, 0
    _, number, gate = key.pk.split("#", 2)
    return gate, int(number)


def name_of(gate: str) -> str:
    return gate.split("#")[1]


def alive(record: RunRecord | None, held: Holder, gate: str) -> bool:
    """Whether a holder is in for good reason."""
    if record is None or record.cancelled_at_ms is not None:
        return False
    if held.task is None:
        return not finished(record)
    row = record.tasks.get(held.task)
    if row is None:
        return False
    if row.status in (TaskStatus.RUNNING, TaskStatus.PARKED):  # of one that is parked: it was handed over
        return row.ticket == held.ticket
    waits = row.status is TaskStatus.SUSPENDED
    return waits and row.ticket == held.ticket + 1 and not name_of(gate).startswith("worker:")


@dataclass(slots=True, kw_only=True)
class GateWatch:
    """`listed`: the gates that the clock looks at. `taken`: units of each window of a limit."""

    records: Mapping[str, RunRecord]
    met: Counter[str]
    places_an_item: int
    listed: set[Key] = field(default_factory=set)
    taken: Counter[tuple[str, int]] = field(default_factory=Counter)
    most: dict[tuple[str, int], int] = field(default_factory=dict)
    states: dict[str, dict[int, GateState]] = field(default_factory=dict)
    """Of each gate: its items, by number."""

    def compare(self, write: Write, before: Item | None, after: Item | None) -> str | None:
        """What the write broke; None: nothing."""
        key = write.key
        if key.sk.startswith("wait#"):
            kind = gate_of_line(key.pk).partition("#")[0]
            if before is None and after is not None:
                self.met[f"parked at a {kind}"] += 1
            return None
        if key.sk != "gate":
            return None
        (self.listed.add if after is not None and "lpk" in after else self.listed.discard)(key)
        if key.pk.startswith("rate#"):
            return self._window(write, before, after)
        if not key.pk.startswith(("gate#", "places#")):
            return None
        gate, number = place(key)
        items = self.states.setdefault(gate, {})
        was, now = items.get(number, NO_ITEM), NO_ITEM if after is None else state_of(after)
        if after is None:
            items.pop(number, None)
        else:
            items[number] = now
        return self._gate(gate, number, was, now)

    def states_of(self, gate: str) -> list[GateState]:
        """The items of a gate, however many it has had."""
        found = self.states.get(gate) or {}
        return [found.get(number, NO_ITEM) for number in range(max(found, default=0) + 1)]

    # ---- gates

    def _gate(self, gate: str, number: int, was: GateState, now: GateState) -> str | None:
        costs = sum(held.cost for held in now.holders.values())
        if now.taken != costs:
            return f"{gate}: {now.taken} places are counted, its holders have {costs}"
        entered = [held for member, held in now.holders.items() if member not in was.holders]
        if all(held.until_ms is not None for held in entered):
            entered = []  # code that outlasts its attempt takes the place over that it is in, or stays in that of its run
        if entered and now.taken > was.taken and now.taken > self._places(gate, now.limit, number):
            return f"{gate}: {now.taken} places of {now.limit} are taken in item {number}"
        for member, held in was.holders.items():
            if member not in now.holders:
                found = self._left(gate, held, was, now)
                if found:
                    return found
        for held in entered:
            found = self._entered(gate, number, held, was, now)
            if found:
                return found
        return None

    def _places(self, gate: str, limit: int, number: int) -> int:
        """How many of the limit's places are in that item: written apart from `core.waits.concurrency`, on purpose."""
        if strategy_of(name_of(gate)) is GateStrategy.CANCEL_IN_PROGRESS:
            return limit
        items = -(-limit // self.places_an_item)
        if items > 1:
            self.met["entry to a split gate"] += 1
        return len(range(number, limit, items)) if number < items else 0

    def _left(self, gate: str, held: Holder, was: GateState, now: GateState) -> str | None:
        if held.run_id in now.evicted and held.run_id not in was.evicted:
            self.met["eviction"] += 1
            instead = [each for member, each in now.holders.items() if member not in was.holders]
            older = [each for each in instead if (each.born_ms, each.run_id) < (held.born_ms, held.run_id)]
            return f"{gate}: an older run put {held.member} out" if older else None
        if alive(self.records.get(held.run_id), held, gate):
            return f"{gate}: {held.member} runs with ticket {held.ticket}, and its places are given away"
        return None

    def _entered(self, gate: str, number: int, held: Holder, was: GateState, now: GateState) -> str | None:
        if held.run_id in was.evicted:
            return f"{gate}: {held.member} was put out, and has come back"
        strategy = strategy_of(name_of(gate))
        split = -(-now.limit // self.places_an_item) > 1
        if was.waiting is None or strategy is not GateStrategy.GROUP_ROUND_ROBIN or split:
            return None
        record = self.records.get(held.run_id)
        rows = (
            [] if record is None else [row for name, row in record.tasks.items() if held.task in (None, name)]
        )
        running = [row for row in rows if row.status is TaskStatus.RUNNING]
        if held.task is not None:
            running = [row for row in running if row.ticket == held.ticket]
        if running and not any(point_at(gate) in row.lined_up for row in rows):
            return f"{gate}: {held.member} has never waited, and has passed those who do"
        return None

    # ---- rate limits

    def _window(self, write: Write, before: Item | None, after: Item | None) -> str | None:
        was, now = window_of(before), window_of(after)
        if not isinstance(write, Update) or now.start_ms is None:
            return None
        gate, units = write.key.pk, 0
        if isinstance(amount := write.adds.get(("left",)), int):
            units = -amount
        elif ("n",) in write.sets:
            fresh = was.start_ms != now.start_ms or was.window_ms != now.window_ms
            limit = now.limit or 0
            units = (limit if fresh else min(was.left, limit)) - now.left
            self.met["window"] += fresh
        at = (gate, now.start_ms)
        self.taken[at] += units
        self.most[at] = max(self.most.get(at, 0), was.limit or 0, now.limit or 0)
        if was.start_ms is not None and now.start_ms < was.start_ms:
            return f"{gate}: an earlier window has come back"
        if now.left < 0 or self.taken[at] > self.most[at]:
            return f"{gate}: {self.taken[at]} units of {self.most[at]} are taken of a window, {now.left} left"
        return None
