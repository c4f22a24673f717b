"""CANCEL_IN_PROGRESS: a process that sees an evicted run cancels it, then removes it from the list.

The process that evicted the run may have died before it cancelled it, or before it had paid what that owes, and no message of the run may
be left to repair it. So every step is taken again until the limit has forgotten the run.
"""

from __future__ import annotations

from headrace.core.run.effects import CancelEvicted
from headrace.core.run.record import RunRecord
from headrace.core.run.transitions.settle import cancel_run
from headrace.core.table import gate_key
from headrace.core.waits.concurrency import eviction_paid
from headrace.core.waits.holders import GateState
from headrace.engine.catalog.plans import record_in
from headrace.engine.engine import Engine

REASON = "CONCURRENCY: a newer run of its key took its place (CANCEL_IN_PROGRESS)"


def evictions_at(gate: str, state: GateState | None) -> tuple[CancelEvicted, ...]:
    """The runs that were evicted from a limit and may not be cancelled yet. `state`: its item, where that was seen."""
    return (
        tuple(CancelEvicted(gate=gate, run_id=run_id) for run_id in state.evicted)
        if state is not None
        else ()
    )


def cancel_evicted(engine: Engine, run_id: str) -> RunRecord | None:
    """Mark the run as cancelled. None: there is no such run any more. A run that was over keeps its outcome, and owes what its end owes."""
    written = engine.store.write(cancel_run(run_id, now_ms=engine.clock.now_ms(), reason=REASON))
    return record_in(engine, written.item)


def forget(engine: Engine, gate: str, run_id: str) -> None:
    engine.store.write(eviction_paid(gate_key(gate), run_id))
