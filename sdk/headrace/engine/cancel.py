"""Cancel runs."""

from __future__ import annotations

from headrace.core.changes import Applied
from headrace.core.graph import finished
from headrace.core.record import record_of
from headrace.core.transitions import cancel_run
from headrace.engine.engine import Engine


def cancel(engine: Engine, run_id: str, *, reason: str = "CANCELLED_BY_USER") -> bool:
    """Whatever of the run is not settled is CANCELLED from here on. False: there is no such run, or it was over."""
    written = engine.store.write(cancel_run(run_id, now_ms=engine.clock.now_ms(), reason=reason))
    if not isinstance(written, Applied) or written.item is None:
        return False
    record = record_of(written.item)
    return (
        not all(row.settled for row in record.tasks.values())
        or len(record.tasks) < len(record.plan.tasks)
        or not finished(record)
    )
