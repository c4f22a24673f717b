"""Cancel one task of a run."""

from __future__ import annotations

from headrace.core.changes import Applied
from headrace.core.run.effects import GiveBack
from headrace.core.run.owed import owed_after
from headrace.core.run.record import RunRecord, TaskStatus
from headrace.core.run.transitions.cancel import cancel_task as cancelled
from headrace.core.run.transitions.cancel import was_cancelled
from headrace.core.table import run_key
from headrace.engine.catalog.plans import record_in
from headrace.engine.engine import Engine
from headrace.engine.owed.pay import pay
from headrace.errors import StoreUnavailable

MAX_TRIES = 20


def cancel_task(engine: Engine, run_id: str, task: str, *, reason: str) -> bool:
    """The task is CANCELLED from here on, and so is what hangs on it; the others go on. False: there is no such run or task, or it
    was settled. Calling again pays what a caller that died has left unpaid."""
    for _ in range(MAX_TRIES):
        item = engine.store.get(run_key(run_id))
        if item is None:
            return False
        record = record_in(engine, item)
        write = cancelled(record, task, reason=reason, now_ms=engine.clock.now_ms())
        if write is None:
            if was_cancelled(record, task):
                _pay(engine, record, task, ran=True)
            return False
        written = engine.store.write(write)
        if isinstance(written, Applied) and written.item is not None:
            row = record.tasks.get(task)
            ran = row is not None and row.status is TaskStatus.RUNNING
            _pay(engine, record_in(engine, written.item), task, ran=ran)
            return True
    raise StoreUnavailable(f"the record of run {run_id} kept changing: cancel task {task} again")


def _pay(engine: Engine, record: RunRecord, task: str, *, ran: bool) -> None:
    """What a running attempt holds it gives back itself, once its code has ended: until then its permits are in use."""
    owed = owed_after(record, task)
    pay(engine, record, [effect for effect in owed if not (ran and isinstance(effect, GiveBack))])
