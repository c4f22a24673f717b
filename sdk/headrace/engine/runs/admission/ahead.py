"""A look before the first claim: a run that comes to a full limit is parked by one write, without having been claimed.

Only where this process has seen the limit full of late: a free one costs no read. What is read may be a moment old. A run that is
parked looks once more when it is in line, so a needless park costs a wake-up and nothing else.
"""

from __future__ import annotations

from headrace.core.changes import Applied
from headrace.core.run.message import TaskMessage
from headrace.core.run.plans.plan import GateStrategy
from headrace.core.run.record import RunRecord
from headrace.core.run.transitions.settle import park_unclaimed
from headrace.core.table import gate_key
from headrace.core.waits.holders import GateState, state_of
from headrace.core.waits.line import is_closing
from headrace.core.waits.passes import KeyFailed, Pass
from headrace.engine.attempts.ports import Done, Host
from headrace.engine.catalog.plans import record_in
from headrace.engine.engine import Engine
from headrace.engine.waits.park import line_up, passes_of
from headrace.telemetry.events import TaskParked

BELIEVED_MS = 60_000
"""For how long a process looks before it claims, after it has seen a limit full."""


def remember_full(engine: Engine, of: Pass) -> None:
    """Runs that come to this limit had better look first."""
    engine.full.learn(of.gate, True, engine.clock.now_ms() + BELIEVED_MS)


def park_ahead(engine: Engine, host: Host, message: TaskMessage, record: RunRecord) -> Done | None:
    """Line up at the first limit of a task that nothing has claimed, if that is full. None: go on to the claim."""
    of = _first(engine, record, message)
    if of is None or engine.full.known(of.gate, engine.clock.now_ms()) is None:
        return None
    seen = state_of(engine.store.get(gate_key(of.gate), consistent=False))
    if not _is_full(of, seen):
        engine.full.learn(of.gate, None, 0)
        return None
    written = engine.store.write(
        park_unclaimed(message.run_id, message.number, point=of.point, queued_at_ms=message.queued_at_ms)
    )
    if not isinstance(written, Applied) or written.item is None:
        return None  # claimed, cancelled, or not there yet: the claim will tell
    parked = record_in(engine, written.item)
    remember_full(engine, of)
    host.tell(TaskParked(workflow=parked.plan.workflow, task=message.task, point=of.point))
    line_up(engine, parked, message.task, seen=seen)
    return Done()


def _first(engine: Engine, record: RunRecord, message: TaskMessage) -> Pass | None:
    """The first limit that the task comes to, if it is one where tasks wait."""
    try:
        wanted = passes_of(engine, record, message.task, message.ticket)
    except KeyFailed:
        return None
    first = wanted[0] if wanted else None
    return first if first is not None and first.strategy is GateStrategy.GROUP_ROUND_ROBIN else None


def _is_full(of: Pass, first: GateState) -> bool:
    """Whether a newcomer has to line up, by the first item of the limit: others wait, or it is the only item and has no room."""
    others_wait = first.waiting is not None and not is_closing(first.waiting)
    return others_wait or (of.widest == 1 and first.taken + of.cost > of.places_in(0))
