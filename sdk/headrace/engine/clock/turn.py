"""Whose turn it is to tick: one process of a stack at a time, or none where its clock is deployed and ticks.

Ticking twice does no harm: the turn saves reading every line of the stack in each process, each minute. So it is a lease, and not a lock.
"""

from __future__ import annotations

from headrace.core.changes import Applied, AtMost, Equal, Missing, Update, either
from headrace.core.table import CURSOR
from headrace.engine.engine import Engine

TURN_MS = 150_000
"""After two missed ticks another one takes the turn."""

DEPLOYED = "clock"
"""The name under which the stack's own clock takes the turn: it ticks in any case."""


def takes_turn(engine: Engine, name: str) -> bool:
    """Whether process `name` is to tick, and then has the turn for TURN_MS from now: it had it already, or it was free or has lapsed."""
    now_ms = engine.clock.now_ms()
    free = either(Missing(("by",)), Equal(("by",), name), AtMost(("by_until",), now_ms))
    write = Update(key=CURSOR, require=free, sets={("by",): name, ("by_until",): now_ms + TURN_MS})
    written = engine.store.write(write)
    return isinstance(written, Applied) or (written.item is not None and written.item.get("by") == name)


def has_ticked(engine: Engine) -> None:
    """The stack's own clock is at work: no process need tick."""
    until_ms = engine.clock.now_ms() + TURN_MS
    engine.store.write(Update(key=CURSOR, sets={("by",): DEPLOYED, ("by_until",): until_ms}))


def leaves_turn(engine: Engine, name: str) -> None:
    """Process `name` ends: another one may tick at its next look."""
    mine = Equal(("by",), name)
    engine.store.write(Update(key=CURSOR, require=mine, removes=(("by",), ("by_until",))))
