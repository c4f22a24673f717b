"""Hand the place of a task that has ended over to the waiter that its record names. See `core.waits.heirs`."""

from __future__ import annotations

from headrace.core.changes import Applied
from headrace.core.run.record import RunRecord, TaskStatus
from headrace.core.table import gate_key, run_key
from headrace.core.waits.concurrency import drop, hand_over
from headrace.core.waits.heirs import Heir
from headrace.core.waits.holders import GateState, state_of
from headrace.core.waits.line import Waiter, decode_waiter, strike
from headrace.core.waits.passes import Pass
from headrace.engine.catalog.plans import record_in
from headrace.engine.engine import Engine
from headrace.engine.waits.dead import is_alive
from headrace.engine.waits.wake import send_handed


def hand_place_over(engine: Engine, of: Pass, number: int, waiter: Waiter) -> GateState | None:
    """Put the waiter in the place of the ticket that has ended, in item `number`, and send its message.

    The item as it is now; None: the place was not handed over, leave in the ordinary way."""
    if of.widest > 1:
        return _strike_first(engine, of, number, waiter)
    state = _handed(engine, of, number, waiter)
    if state is None:
        return None
    struck = _strike(engine, waiter)
    if struck is _WOKEN:
        return state
    if struck is _STRUCK:
        send_handed(engine, waiter, number)
        return state
    heir = Heir(ticket=waiter.ticket, run_id=waiter.run_id, task=waiter.task)
    record = record_of(engine, heir)
    if may_come(record, heir):
        send_handed(engine, waiter, number)
        return state
    return free(engine, of, number, state, heir, record)


def _strike_first(engine: Engine, of: Pass, number: int, waiter: Waiter) -> GateState | None:
    """At a limit of several items: two tasks could each put the waiter in an item of their own. One that is struck and not handed a place
    gets its message all the same, and looks at all items for a place."""
    struck = _strike(engine, waiter)
    if struck is _STRUCK:
        handed = _handed(engine, of, number, waiter)
        send_handed(engine, waiter, number)
        return handed
    heir = Heir(ticket=waiter.ticket, run_id=waiter.run_id, task=waiter.task)
    if struck is _GONE and may_come(record_of(engine, heir), heir):
        send_handed(engine, waiter, number)
    return None


def _handed(engine: Engine, of: Pass, number: int, waiter: Waiter) -> GateState | None:
    """The item with the waiter in the place of the ticket. None: the ticket has no place to give, or the waiter has one."""
    written = engine.store.write(hand_over(of, number, waiter, now_ms=engine.clock.now_ms()))
    state = state_of(written.item)
    held = state.holders.get(waiter.member)
    lost = held is not None and held.ticket == waiter.ticket and of.member not in state.holders
    return state if isinstance(written, Applied) or lost else None


_STRUCK, _WOKEN, _GONE = "struck", "woken", "gone"


def _strike(engine: Engine, waiter: Waiter) -> str:
    """Take it from the line. WOKEN: another process has noted it, and sends its message. GONE: its ticket stands there no more, by this
    delivery perhaps, whose response was lost."""
    struck = engine.store.write(strike(waiter))
    if isinstance(struck, Applied):
        return _STRUCK
    stands = struck.item is not None and decode_waiter(struck.item).ticket == waiter.ticket
    return _WOKEN if stands else _GONE


# ---------------------------------------------------------------- what became of the heir


def record_of(engine: Engine, heir: Heir) -> RunRecord | None:
    """The record of its run: one read."""
    item = engine.store.get(run_key(heir.run_id))
    return None if item is None else record_in(engine, item)


def may_come(record: RunRecord | None, heir: Heir) -> bool:
    """Whether its ticket is still to be used."""
    row = None if record is None or record.cancelled_at_ms is not None else record.tasks.get(heir.task)
    return row is not None and row.status is TaskStatus.PARKED and row.ticket == heir.ticket


def free(
    engine: Engine, of: Pass, number: int, state: GateState, heir: Heir, record: RunRecord | None
) -> GateState:
    """An heir that is over may have been handed a place all the same: the item without it. One that was suspended keeps its place."""
    held = state.holders.get(heir.member)
    if held is None or held.ticket > heir.ticket:
        return state
    if is_alive(record, held, of.gate, now_ms=engine.clock.now_ms()):
        return state
    return state_of(engine.store.write(drop(gate_key(of.gate, number), held)).item)
