"""Which workflows are paused, as a process knows it.

All are entries of one item, which a process reads again when what it knows is old: so a pause takes hold within REFRESH_S, at the price of
one small read a process in that time, and a run costs no read of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from headrace.core.changes import Key
from headrace.engine.engine import Engine

PAUSED = Key("paused", "paused")
REFRESH_S = 10
"""How long a process goes by what it last read of paused workflows, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """How a workflow is paused: how long a run may wait, and whether crons and schedules start runs that wait."""

    queue_ttl_ms: int
    crons: str = "QUEUE"
    schedules: str = "QUEUE"


def pauses(engine: Engine, *, consistent: bool = True) -> Mapping[str, Pause]:
    """The paused workflows by name, as they are now: one read."""
    item = engine.store.get(PAUSED, consistent=consistent) or {}
    return {name[2:]: _decode(str(value)) for name, value in item.items() if name.startswith("p:")}


def _decode(text: str) -> Pause:
    ttl_ms, crons, schedules = json.loads(text)
    return Pause(queue_ttl_ms=ttl_ms, crons=crons, schedules=schedules)


def encode_pause(how: Pause) -> str:
    return json.dumps([how.queue_ttl_ms, how.crons, how.schedules])


def pause_of(engine: Engine, workflow: str) -> Pause | None:
    """How the workflow is paused, as this process knows it; None: it is not."""
    found = engine.paused.known(engine.clock.now_ms())
    if found is None:
        found = refresh(engine)
    how = found.get(workflow)
    return how if isinstance(how, Pause) else None


def refresh(engine: Engine, *, consistent: bool = False) -> Mapping[str, Pause]:
    """Read which workflows are paused, and go by it for a while."""
    found = pauses(engine, consistent=consistent)
    engine.paused.learn(found, engine.clock.now_ms() + REFRESH_S * 1000)
    return found
