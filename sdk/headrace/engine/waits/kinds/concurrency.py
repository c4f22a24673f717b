"""The places of gates: enter, leave, and look whether somebody who waits can enter.

enter ── in                leave ── look
  │ full or not its turn              │ a mark, and room
  └── (admission parks it)            └── wake the head, or take the mark away where nobody waits
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from headrace.core.changes import Applied
from headrace.core.run.plan import GateStrategy
from headrace.core.table import gate_key
from headrace.core.waits.concurrency import (
    GateState,
    Pass,
    enter,
    enter_again,
    evict,
    items_of,
    leave,
    oldest,
    places_in,
    state_of,
)
from headrace.core.waits.line import Waiter, clear, woken
from headrace.engine.engine import Engine
from headrace.engine.runs.pay import PENDING_MS, Undecided
from headrace.engine.waits.wake import fitting, heads, wake

MAX_TRIES = 10
MOST_HEADS = 10
"""How many are woken at a look."""

MOST_PENDING = 10
"""How far down the line is looked beyond that: past those who were woken and are not in yet."""


@dataclass(frozen=True, slots=True)
class Inside:
    """The places are taken; the item as it was right after that."""

    state: GateState


@dataclass(frozen=True, slots=True)
class Full:
    """There is no room, or others wait for it."""


@dataclass(frozen=True, slots=True)
class Outrun:
    """A later ticket of the same task is in: this one is stale."""


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """The run is to be cancelled, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class PutOut:
    """A newer run has taken this one's place: it is to be cancelled."""


Entry: TypeAlias = Inside | Full | Outrun | TurnedAway | PutOut

REASONS = {
    GateStrategy.CANCEL_NEWEST: "CONCURRENCY: {limit} of its key were running (CANCEL_NEWEST)",
    GateStrategy.CANCEL_IN_PROGRESS: "CONCURRENCY: newer runs of its key are running (CANCEL_IN_PROGRESS)",
}


def take_places(engine: Engine, of: Pass, *, waited: bool, again: bool, expires_at_s: int) -> Entry:
    """Enter a gate. `waited`: it has lined up there since its last commit. `again`: an earlier delivery may have entered."""
    if of.widest > 1:
        return _enter_one_of(engine, of, waited=waited, again=again, expires_at_s=expires_at_s)
    return _enter_item(engine, of, 0, waited=waited, expires_at_s=expires_at_s)


def _enter_item(engine: Engine, of: Pass, number: int, *, waited: bool, expires_at_s: int) -> Entry:
    for _ in range(MAX_TRIES):
        now_ms = engine.clock.now_ms()
        write = enter(of, number, waited=waited, now_ms=now_ms, expires_at_s=expires_at_s)
        written = engine.store.write(write)
        state = state_of(written.item)
        if isinstance(written, Applied):
            return Inside(state)
        found = _refused(engine, of, number, state, expires_at_s=expires_at_s)
        if found is not None:
            return found
    return Full()


def _refused(engine: Engine, of: Pass, number: int, state: GateState, *, expires_at_s: int) -> Entry | None:
    """What a refusal means, from the item as it was. None: try again."""
    mine = state.holders.get(of.member)
    if mine is not None:
        if mine.ticket > of.ticket:
            return Outrun()
        if mine.ticket == of.ticket or of.of_run:
            return Inside(state)
        written = engine.store.write(enter_again(of, number, mine, now_ms=engine.clock.now_ms()))
        return Inside(state_of(written.item)) if isinstance(written, Applied) else None
    if of.run_id in state.evicted:
        return PutOut()
    room = of.places_in(number) - state.taken
    match of.strategy:
        case GateStrategy.CANCEL_NEWEST:
            if room >= of.cost or _some_were_dead(engine, of.gate, number, state):
                return None
            return TurnedAway(REASONS[of.strategy].format(limit=of.limit))
        case GateStrategy.CANCEL_IN_PROGRESS:
            return None if room >= of.cost else _replace(engine, of, number, state, expires_at_s=expires_at_s)
        case GateStrategy.GROUP_ROUND_ROBIN:
            if room < of.cost or state.waiting is None or not _nobody_waits(engine, of.gate, state.waiting):
                return Full()
            return None


def _some_were_dead(engine: Engine, gate: str, number: int, state: GateState) -> bool:
    """Put out holders that a zombie left behind: nobody waits where all who come are turned away, so the clock never looks there."""
    from headrace.engine.waits.sweep import without_dead  # it looks at gates, as this does

    return without_dead(engine, gate, number, state).taken < state.taken


def _nobody_waits(engine: Engine, gate: str, seen: str) -> bool:
    """Look who the mark is for, and take it away where that is nobody."""
    if heads(engine, gate, limit=1):
        return False
    engine.store.write(clear(gate, seen))
    return True


def _replace(engine: Engine, of: Pass, number: int, state: GateState, *, expires_at_s: int) -> Entry | None:
    """Take the place of the oldest run, unless this one is older."""
    victim = oldest(state)
    if victim is None:
        return Full()
    if (of.born_ms, of.run_id) < (victim.born_ms, victim.run_id):
        return TurnedAway(REASONS[of.strategy])
    now_ms = engine.clock.now_ms()
    written = engine.store.write(evict(of, number, victim, now_ms=now_ms, expires_at_s=expires_at_s))
    return Inside(state_of(written.item)) if isinstance(written, Applied) else None


# ---------------------------------------------------------------- a gate of several items


def states_of(engine: Engine, gate: str, items: int) -> list[GateState]:
    """All items of a gate: one read."""
    keys = [gate_key(gate, number) for number in range(items)]
    return [state_of(item) for item in engine.store.get_many(keys)]


def _enter_one_of(engine: Engine, of: Pass, *, waited: bool, again: bool, expires_at_s: int) -> Entry:
    """Try one item after the other, from one that the member's name says.

    The mark is on the first item. It is read before, not held to, so a newcomer may slip past one who parks at that moment.
    """
    if again or of.of_run:  # another root of the run may have entered
        for number, state in enumerate(states_of(engine, of.gate, of.widest)):
            if of.member in state.holders:
                return _enter_item(engine, of, number, waited=waited, expires_at_s=expires_at_s)
    if not waited and of.strategy is GateStrategy.GROUP_ROUND_ROBIN:
        first = state_of(engine.store.get(gate_key(of.gate)))
        if first.waiting is not None and not _nobody_waits(engine, of.gate, first.waiting):
            return Full()
    entry: Entry = Full()
    for step in range(of.items):
        number = (of.home + step) % of.items
        entry = _enter_item(engine, of, number, waited=True, expires_at_s=expires_at_s)
        if not isinstance(entry, Full | TurnedAway):
            return entry
        if of.strategy is GateStrategy.CANCEL_IN_PROGRESS:
            return entry
    return entry


# ---------------------------------------------------------------- out


def give_places_back(engine: Engine, of: Pass, *, stale: bool = False) -> GateState | None:
    """Leave, whichever item of the gate it is in; then wake who can enter. The item as it is now, where it is the only one."""
    if of.items == of.widest == 1:
        state = state_of(engine.store.write(leave(of, 0)).item)
        look(engine, of.gate, of.limit, [state], stale=stale)
        return state
    for number, state in enumerate(states_of(engine, of.gate, of.widest)):
        held = state.holders.get(of.member)
        if held is not None and held.ticket <= of.ticket:
            engine.store.write(leave(of, number))
    look(engine, of.gate, of.limit, stale=stale)
    return None


def look(
    engine: Engine,
    gate: str,
    limit: int,
    states: Sequence[GateState] = (),
    *,
    parked: bool = False,
    stale: bool = False,
    takeover: bool = False,
) -> None:
    """If there is room and somebody may wait, wake who can enter; or take the mark away. `states`: the items, as just seen.

    Who was woken stays in the line until it is in. Where a gate has several places it is noted as woken first, so that those who leave at
    the same time do not all wake the same one; and so does whoever has just `parked`, for at one place too many may do so while one is on
    its way. stale: this may stand for one who died between a note and its message. Undecided where there is a note that may be it: a note
    that is older than PENDING_MS counts for nothing, so whoever looks again by then knows. takeover: the same, of one who cannot look
    again: it wakes the first of those who are on their way once more.
    """
    states = states or states_of(engine, gate, items_of(limit))
    room = room_in(limit, states)
    seen = states[0].waiting
    if seen is None or room <= 0:
        return
    waiters = heads(engine, gate, limit=min(room, MOST_HEADS) + (MOST_PENDING if limit > 1 else 0))
    if not waiters:
        engine.store.write(clear(gate, seen))
        return
    able, pending = _able(waiters, states, room, engine.clock.now_ms())
    if limit == 1 and not parked and not stale:
        wake(engine, [*pending, *able][:1])
        return
    if takeover:
        wake(engine, pending[:1])
    told = [(each, noted(engine, each)) for each in able]
    wake(engine, [each for each, mine in told if mine])
    if any(mine is None for _, mine in told):
        look(engine, gate, limit, parked=parked, stale=stale)
    elif stale and pending:
        raise Undecided


def _able(
    waiters: Sequence[Waiter], states: Sequence[GateState], room: int, now_ms: int
) -> tuple[list[Waiter], list[Waiter]]:
    """Those who can enter, of the line's head, and those who were woken and are on their way; not who is inside already."""
    outside = [each for each in waiters if not any(each.member in state.holders for state in states)]
    pending = [each for each in outside if each.woken_at_ms > now_ms - PENDING_MS]
    free = room - sum(each.cost for each in pending)
    return fitting([each for each in outside if each not in pending], free)[:MOST_HEADS], pending


def noted(engine: Engine, waiter: Waiter) -> bool | None:
    """Whether it is this one that wakes the waiter, and not somebody else who looks at the same time. None: it has left the line
    meanwhile, cancelled perhaps, and nobody else may look for whoever is next."""
    now_ms = engine.clock.now_ms()
    written = engine.store.write(woken(waiter, now_ms=now_ms, pending_ms=PENDING_MS))
    if written.item is None:
        return None
    # a note of just now is this one's: the response was lost, and the client library has written once more
    return isinstance(written, Applied) or written.item.get("u") == now_ms


def room_in(limit: int, states: Sequence[GateState]) -> int:
    """How many places are free, over the items of a gate."""
    places = (places_in(limit, number, len(states)) for number in range(len(states)))
    return sum(max(0, most - state.taken) for most, state in zip(places, states, strict=True))
