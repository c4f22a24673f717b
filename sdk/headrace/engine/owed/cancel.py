"""Cancel runs."""

from __future__ import annotations

from dataclasses import replace

from headrace.core.changes import Applied
from headrace.core.run.derived.progress import finished
from headrace.core.run.owed import owed_by_cancelling
from headrace.core.run.record import RunRecord
from headrace.core.run.transitions.settle import cancel_run
from headrace.core.table import run_key
from headrace.engine.catalog.plans import record_in
from headrace.engine.engine import Engine
from headrace.engine.owed.pay import pay


def cancel(engine: Engine, run_id: str, *, reason: str = "CANCELLED_BY_USER") -> bool:
    """Whatever of the run is not settled is CANCELLED from here on. False: there is no such run, or it was over."""
    now_ms = engine.clock.now_ms()
    written = engine.store.write(cancel_run(run_id, now_ms=now_ms, reason=reason))
    item = written.item
    if item is None:
        return False
    applied = isinstance(written, Applied)
    if applied or (item.get("x"), item.get("xr")) == (now_ms, reason):  # ours: the response was lost
        record = record_in(engine, item)
        pay(engine, record, owed_by_cancelling(record))
        return applied and not finished(replace(record, cancelled_at_ms=None))
    return False


def pay_for_cancelling(engine: Engine, run_id: str) -> None:
    """The process that cancelled the run may have died before it paid what that owes: pay it, possibly a second time."""
    item = engine.store.get(run_key(run_id))
    if item is not None and "x" in item:
        record = record_in(engine, item)
        pay(engine, record, owed_by_cancelling(record))


PARENT_CANCELLED = "PARENT_CANCELLED"


def parent_cancelled(engine: Engine, record: RunRecord) -> bool:
    """Whether the run that spawned this one was cancelled: its children go with it. A read for child runs only.

    One that was replayed after that goes on.
    """
    if record.parent is None:
        return False
    item = engine.store.get(run_key(record.parent.run_id), consistent=False)
    marked_ms = item.get("x") if item is not None else None
    if item is None or not isinstance(marked_ms, int):
        return False
    if record.generation is not None and marked_ms <= record.generation.at_ms:
        return False
    return not finished(replace(record_in(engine, item), cancelled_at_ms=None))
