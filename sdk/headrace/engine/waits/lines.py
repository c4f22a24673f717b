"""How many wait at gates, by the names of the gates: what the clock's metrics say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import field

from headrace.core.values import dataclass
from headrace.core.waits.line import Waiter
from headrace.engine.waits.points import GateKind, address_of


@dataclass(frozen=True, slots=True)
class Line:
    """How many wait at the gates of one name, and since when the first of them (ms)."""

    waiting: int
    oldest_ms: int


@dataclass(slots=True)
class Lines:
    """Lines as they are seen: all keys of a name together; a rate limit's as `rate:<key>`."""

    _counts: Counter[str] = field(default_factory=Counter)
    _oldest: dict[str, int] = field(default_factory=dict)

    def add(self, gate: str, waiters: Sequence[Waiter]) -> None:
        if not waiters:
            return
        name, oldest_ms = _series(gate), min(each.queued_at_ms for each in waiters)
        self._counts[name] += len(waiters)
        self._oldest[name] = min(oldest_ms, self._oldest.get(name, oldest_ms))

    def by_name(self) -> Mapping[str, Line]:
        return {name: Line(count, self._oldest[name]) for name, count in sorted(self._counts.items())}


def _series(gate: str) -> str:
    of = address_of(gate)
    places = of.kind in (GateKind.CONCURRENCY, GateKind.SLOTS)
    return of.name if places else f"{of.kind.value}:{of.name}"
