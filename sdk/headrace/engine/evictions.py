"""Cancel in progress: whoever sees that a run was put out of its place cancels it, and then takes it off the list."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.core.gates import eviction_paid, gate_key
from headrace.engine.cancel import cancel
from headrace.engine.engine import Engine

REASON = "CONCURRENCY: a newer run of its key took its place (CANCEL_IN_PROGRESS)"


def cancel_victims(engine: Engine, gate: str, run_ids: Iterable[str]) -> None:
    """A run that is over keeps its outcome."""
    for run_id in run_ids:
        cancel(engine, run_id, reason=REASON)
        engine.store.write(eviction_paid(gate_key(gate), run_id))
