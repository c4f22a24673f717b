"""Cancel runs."""

from __future__ import annotations

from dataclasses import replace

from headrace.core.changes import Applied
from headrace.core.graph import finished
from headrace.core.owed import owed_by_cancelling
from headrace.core.record import RunRecord, record_of, run_key
from headrace.core.transitions import cancel_run
from headrace.engine.engine import Engine
from headrace.engine.pay import pay


def cancel(engine: Engine, run_id: str, *, reason: str = "CANCELLED_BY_USER") -> bool:
    """Whatever of the run is not settled is CANCELLED from here on. False: there is no such run, or it was over."""
    now_ms = engine.clock.now_ms()
    written = engine.store.write(cancel_run(run_id, now_ms=now_ms, reason=reason))
    item = written.item
    ours = item is not None and (item.get("x"), item.get("xr")) == (now_ms, reason)
    if item is None or not (isinstance(written, Applied) or ours):  # ours, and refused: its response was lost
        return False
    record = record_of(item)
    pay(engine, record, owed_by_cancelling(record))
    return isinstance(written, Applied) and not finished(replace(record, cancelled_at_ms=None))


def pay_for_cancelling(engine: Engine, run_id: str) -> None:
    """Whoever cancelled the run may have died before it paid what that owes: pay it, once more or at last."""
    item = engine.store.get(run_key(run_id))
    if item is not None and "x" in item:
        record = record_of(item)
        pay(engine, record, owed_by_cancelling(record))


PARENT_CANCELLED = "PARENT_CANCELLED"


def parent_cancelled(engine: Engine, record: RunRecord) -> bool:
    """Whether the run that spawned this one was cancelled: its children go with it. A read for child runs only."""
    if record.parent is None:
        return False
    item = engine.store.get(run_key(record.parent.run_id), consistent=False)
    if item is None or "x" not in item:
        return False
    return not finished(replace(record_of(item), cancelled_at_ms=None))
