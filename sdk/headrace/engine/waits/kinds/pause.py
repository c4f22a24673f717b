"""Pause a workflow, or a worker, and let it go on; which are paused, as a process knows it.

All are entries of one item, which a process reads again when what it knows is old: so a pause takes hold within REFRESH_S, at the price of
one small read a process in that time, and a run costs no read of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from headrace.core.changes import ITEM_EXISTS, Update
from headrace.core.points import AtPause, encode_point
from headrace.core.table import PAUSED
from headrace.core.values import dataclass
from headrace.engine.engine import Engine
from headrace.engine.waits.wake import heads, wake

REFRESH_S = 10
"""How long a process goes by what it last read of paused workflows, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """How a workflow is paused: how long a run may wait, and whether crons and schedules start runs that wait.

    `queue_ttl_ms`: None for a worker, whose tasks wait for as long as their schedule timeouts say.
    """

    queue_ttl_ms: int | None
    crons: str = "QUEUE"
    schedules: str = "QUEUE"


def pauses(engine: Engine, *, consistent: bool = True) -> Mapping[str, Pause]:
    """What is paused, as it is now: workflows by name, workers by WORKER_PAUSE and theirs. One read."""
    item = engine.store.get(PAUSED, consistent=consistent) or {}
    return {name[2:]: _decode(str(value)) for name, value in item.items() if name.startswith("p:")}


def _decode(text: str) -> Pause:
    ttl_ms, crons, schedules = json.loads(text)
    return Pause(queue_ttl_ms=ttl_ms, crons=crons, schedules=schedules)


def encode_pause(how: Pause) -> str:
    return json.dumps([how.queue_ttl_ms, how.crons, how.schedules])


def pause_of(engine: Engine, name: str) -> Pause | None:
    """How the workflow (or worker) of this name among `pauses` is paused, as this process knows it; None: it is not."""
    found = engine.paused.known(engine.clock.now_ms())
    if found is None:
        found = refresh(engine)
    how = found.get(name)
    return how if isinstance(how, Pause) else None


def refresh(engine: Engine, *, consistent: bool = False) -> Mapping[str, Pause]:
    """Read which workflows are paused, and go by it for a while."""
    found = pauses(engine, consistent=consistent)
    engine.paused.learn(found, engine.clock.now_ms() + REFRESH_S * 1000)
    return found


def pause(engine: Engine, name: str, how: Pause) -> None:
    """Hold new runs of the workflow, or new tasks of the worker, back; what has started is not. Pausing again changes how."""
    engine.store.write(Update(key=PAUSED, sets={(f"p:{name}",): encode_pause(how)}))
    engine.paused.forget()


def unpause(engine: Engine, name: str) -> int:
    """Let runs start, those that wait too. Returns how many were woken."""
    engine.store.write(Update(key=PAUSED, require=ITEM_EXISTS, removes=((f"p:{name}",),)))
    engine.paused.forget()
    return wake_all(engine, encode_point(AtPause(name)))


def wake_all(engine: Engine, gate: str) -> int:
    """Wake all waiters of a line. Where the process dies half-way, the clock wakes the rest."""
    waiters = heads(engine, gate)
    wake(engine, waiters)
    return len(waiters)
