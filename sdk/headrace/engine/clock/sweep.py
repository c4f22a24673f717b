"""What the clock does for gates, once a minute: end waits that took too long, remove dead holders, wake the waiters that can enter.

Of these only the first has no other place: a waiter has no message, so nothing looks at its schedule timeout before. The rest repairs
what zombies left behind. It looks at limits that a task waits at, or has waited at lately: the index holds them. They are read by
pages, many in one call or in parallel, and nothing is written where nothing is late; where the time of one clock is over, the next one
goes on behind the last gate, so that none starves however many there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from headrace.core.changes import Item, Write
from headrace.core.points import (
    AdmissionPoint,
    AtConcurrency,
    AtRateLimit,
    AtSlots,
    limit_name,
    point_at,
)
from headrace.core.table import GATE_SHARDS, WAIT, gate_key, gates_listed, line_partition
from headrace.core.values import dataclass
from headrace.core.waits.holders import GateState, state_of
from headrace.core.waits.line import Waiter, clear, closing, decode_waiter, is_closing, unlisted
from headrace.core.waits.passes import items_of
from headrace.core.waits.rate_limit import close
from headrace.core.waits.wake_up import overdue
from headrace.engine.engine import Engine
from headrace.engine.owed.pay import pay_evictions
from headrace.engine.waits.able import Surroundings, able
from headrace.engine.waits.dead import dropped, old_holders, records_of
from headrace.engine.waits.evictions import evictions_at
from headrace.engine.waits.lines import Line, Lines
from headrace.engine.waits.wake import wake

PAGE = 100
"""How many gates are looked at together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep came to: how many waiters were sent a message; the lines that it saw, by name of gate; and the gate to go on behind,
    None where it has seen all."""

    woken: int
    lines: Mapping[str, Line]
    stopped_at: str | None


def sweep_gates(engine: Engine, *, behind: str | None = None, until_ms: int | None = None) -> Swept:
    """Look at every gate in the index once, beginning behind `behind` (a gate as `Swept` names it), until the clock passes `until_ms`."""
    woken, lines, around = 0, Lines(), Surroundings(engine)
    for shard, page in _pages(engine, behind):
        woken += _Page(engine, page, around).sweep(lines)
        if until_ms is not None and engine.clock.now_ms() >= until_ms:
            return Swept(woken=woken, lines=lines.by_name(), stopped_at=f"{shard}#{page[-1]}")
    return Swept(woken=woken, lines=lines.by_name(), stopped_at=None)


def _pages(engine: Engine, behind: str | None) -> Iterator[tuple[int, list[str]]]:
    """The gates of the index by shard and page, from behind one of them once around."""
    number, _, last = (behind or "0#").partition("#")
    first = int(number) % GATE_SHARDS if number.isdigit() else 0
    yield from _of_shard(engine, first, last, "~")
    for step in range(1, GATE_SHARDS):
        yield from _of_shard(engine, (first + step) % GATE_SHARDS, "", "~")
    if last:
        yield from _of_shard(engine, first, "", last)


def _of_shard(engine: Engine, shard: int, after: str, until: str) -> Iterator[tuple[int, list[str]]]:
    while True:
        items = engine.store.query_index(
            "listing", gates_listed(shard), low=after, high=until, limit=PAGE + 1, newest_first=False
        )
        page = [gate for item in items if (gate := str(item["lsk"])) != after][:PAGE]
        if not page:
            return
        yield shard, page
        if len(items) <= PAGE:
            return
        after = page[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A gate as it was before its line was read: the first item, and the places of all."""

    gate: str
    point: AdmissionPoint
    item: Item | None
    states: list[GateState]

    @property
    def first(self) -> GateState:
        return self.states[0]


@dataclass(frozen=True, slots=True)
class _Page:
    """Some gates, looked at together: remove dead holders, read the mark, then the line. A task that parks meanwhile
    marks after that, and looks for itself."""

    engine: Engine
    gates: Sequence[str]
    around: Surroundings

    def sweep(self, lines: Lines) -> int:
        seen = self._without_the_dead(self._read())
        waiting = self.engine.store.query_many([line_partition(gate) for gate in self.gates], prefix=WAIT)
        due: list[Waiter] = []
        idle: list[Write] = []
        for each, items in zip(seen, waiting, strict=True):
            waiters = [decode_waiter(item) for item in items]
            lines.add(each.gate, waiters)
            due += self._due(each, waiters)
            if not waiters:
                idle += _closed(each)
        wake(self.engine, due)
        if idle:
            self.engine.store.write_many(idle)
        return len(due)

    def _read(self) -> list[Seen]:
        points = [point_at(gate) for gate in self.gates]
        firsts = self.engine.store.get_many([gate_key(gate) for gate in self.gates])
        return [
            Seen(gate=gate, point=point, item=item, states=self._states(gate, point, item))
            for gate, point, item in zip(self.gates, points, firsts, strict=True)
        ]

    def _states(self, gate: str, point: AdmissionPoint, item: Item | None) -> list[GateState]:
        """All items of the gate: those of the limit that is deployed, and of the limit before."""
        first = state_of(item)
        if not isinstance(point, AtConcurrency | AtSlots):
            return [first]
        limit = self.around.limits.get(limit_name(point), first.limit)
        others = range(1, max(items_of(limit), items_of(first.limit)))
        keys = [gate_key(gate, number) for number in others]
        return [first, *(state_of(each) for each in (self.engine.store.get_many(keys) if keys else []))]

    def _without_the_dead(self, seen: list[Seen]) -> list[Seen]:
        """Holders whose run, or whose ticket, is over lose their places; one read for all of them."""
        old = {
            held.run_id for each in seen for state in each.states for held in old_holders(self.engine, state)
        }
        records = records_of(self.engine, sorted(old)) if old else {}
        out: list[Seen] = []
        for each in seen:
            states = [
                dropped(self.engine, each.gate, number, state, records)
                for number, state in enumerate(each.states)
            ]
            for state in states:
                if state.evicted:
                    pay_evictions(self.engine, evictions_at(each.gate, state))
            out.append(Seen(gate=each.gate, point=each.point, item=each.item, states=states))
        return out

    def _due(self, seen: Seen, waiters: Sequence[Waiter]) -> list[Waiter]:
        """The waiters that waited too long, and those that need not wait any more, but for those with a message on its way."""
        if not waiters:
            return []
        now_ms = self.engine.clock.now_ms()
        late = [each for each in waiters if each.start_by_ms < now_ms]
        waiting = [each for each in waiters if each.start_by_ms >= now_ms]
        free = able(self.around, seen.gate, seen.point, seen.item, seen.states, waiting) if waiting else []
        due = {each.name: each for each in (*late, *free) if not each.woken_at_ms or overdue(each, now_ms)}
        return list(due.values())


def _closed(seen: Seen) -> list[Write]:
    """No task waits: remove the mark that was seen before, in two steps, and the next time the entry in the index."""
    mark = seen.first.waiting
    if mark is not None and isinstance(seen.point, AtRateLimit):
        return [close(seen.gate, mark)]
    if mark is not None:
        return [clear(seen.gate, mark) if is_closing(mark) else closing(seen.gate, mark)]
    return [] if seen.first.evicted else [unlisted(seen.gate)]
