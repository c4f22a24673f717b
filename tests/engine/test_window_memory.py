"""What a process remembers of rate limits does not grow with the keys that it has seen."""

from __future__ import annotations

from support.records import plan, task
from support.world import World

from headrace.core.waits.rate_limit import Take
from headrace.engine.waits.kinds import rate_limit
from headrace.engine.waits.kinds.rate_limit import Taken, take_units


def test_windows_of_keys_that_come_once_are_forgotten_and_still_counted() -> None:
    w = World(plans={"flow": plan(task("a"))}, code={})
    for number in range(rate_limit.MOST_WINDOWS + 500):
        of = Take(key=f"user-{number}", units=1, limit=2, window_ms=60_000)
        assert isinstance(take_units(w.engine, of, waited=False), Taken)
    assert len(w.engine.windows) <= rate_limit.MOST_WINDOWS
    first = Take(key="user-0", units=1, limit=2, window_ms=60_000)
    assert isinstance(take_units(w.engine, first, waited=False), Taken)
    assert not isinstance(take_units(w.engine, first, waited=False), Taken), "its window has two units"


class Noted:
    """Writes down the calls of the store."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def before(self, port: str, call: str) -> None:
        self.seen.append(call)

    def after(self, port: str, call: str) -> None: ...


def test_units_of_a_window_that_was_seen_take_one_write() -> None:
    calls = Noted()
    w = World(plans={"flow": plan(task("a"))}, code={}, faults=calls)
    of = Take(key="user-0", units=1, limit=9, window_ms=60_000)
    for _ in range(2):
        calls.seen.clear()
        assert isinstance(take_units(w.engine, of, waited=False), Taken)
    assert calls.seen == ["write"]
