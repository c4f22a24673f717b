"""CANCEL_IN_PROGRESS: a process that sees an evicted run cancels it, then removes it from the list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from headrace.core.run.owed import EndRun, GiveBack, owed_by_cancelling
from headrace.core.run.record import RunRecord
from headrace.core.table import gate_key, run_key
from headrace.core.waits.concurrency import Pass, eviction_paid, run_passes
from headrace.engine.catalog.plans import record_in
from headrace.engine.engine import Engine
from headrace.engine.runs.cancel import cancel_once
from headrace.engine.runs.pay import pay
from headrace.engine.waits.kinds.concurrency import give_places_back
from headrace.engine.waits.park import known_passes

REASON = "CONCURRENCY: a newer run of its key took its place (CANCEL_IN_PROGRESS)"


def cancel_victims(engine: Engine, gate: str, run_ids: Iterable[str]) -> None:
    """A run that is over keeps its outcome."""
    for run_id in run_ids:
        if not cancel_once(engine, run_id, reason=REASON):
            _pay_again(engine, run_id)
        engine.store.write(eviction_paid(gate_key(gate), run_id))


def _pay_again(engine: Engine, run_id: str) -> None:
    """The process that cancelled the run may have died before it paid what that owes, and no message of the run may be left to repair it.

    Places are given back without looking for further victims: that would lead back here.
    """
    item = engine.store.get(run_key(run_id))
    if item is None or "x" not in item:
        return
    record = record_in(engine, item)
    owed = owed_by_cancelling(record)
    pay(engine, record, [each for each in owed if not isinstance(each, GiveBack | EndRun)])
    for of in _held(engine, record):
        give_places_back(engine, of)


def _held(engine: Engine, record: RunRecord) -> Iterator[Pass]:
    """What the run may still hold: as a whole, and through tasks that wait for their children."""
    for each in owed_by_cancelling(record):
        if isinstance(each, GiveBack):
            yield from (of for of in known_passes(engine, record, each.task, each.ticket) if not of.of_run)
        elif isinstance(each, EndRun):
            yield from run_passes(record, limits=engine.gate_limits())
