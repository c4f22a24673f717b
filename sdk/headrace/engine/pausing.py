"""Pause a workflow, and let it go on."""

from __future__ import annotations

from headrace.core.changes import ITEM_EXISTS, Update
from headrace.core.gates import PAUSE
from headrace.engine.engine import Engine
from headrace.engine.paused import PAUSED, Pause, encode_pause
from headrace.engine.wakes import heads, wake


def pause(engine: Engine, workflow: str, how: Pause) -> None:
    """Hold new runs of the workflow back; one that has started is not. Pausing again changes how."""
    engine.store.write(Update(key=PAUSED, sets={(f"p:{workflow}",): encode_pause(how)}))
    engine.paused.forget()


def unpause(engine: Engine, workflow: str) -> int:
    """Let runs start, those that wait too. Returns how many were woken."""
    engine.store.write(Update(key=PAUSED, require=ITEM_EXISTS, removes=((f"p:{workflow}",),)))
    engine.paused.forget()
    return wake_all(engine, PAUSE + workflow)


def wake_all(engine: Engine, gate: str) -> int:
    """Wake everybody in a line; dying half-way leaves the rest to the clock."""
    waiters = heads(engine, gate)
    wake(engine, waiters)
    return len(waiters)
