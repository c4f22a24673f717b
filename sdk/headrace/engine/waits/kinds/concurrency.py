"""Permits of concurrency limits: take, release, and wake a waiter where there is room.

enter ── in                leave ── wake_next
  │ full or not its turn              │ a mark, and room
  └── (admission parks it)            └── wake the head, or remove the mark where none waits
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from headrace.core.changes import Applied
from headrace.core.run.plans.plan import GateStrategy
from headrace.core.table import gate_key
from headrace.core.values import dataclass
from headrace.core.waits.concurrency import enter, enter_again, evict, leave, oldest
from headrace.core.waits.holders import GateState, state_of
from headrace.core.waits.line import clear
from headrace.core.waits.passes import Pass, items_of, places_in
from headrace.core.waits.wake_up import who_to_wake
from headrace.engine.engine import Engine
from headrace.engine.waits.wake import heads, wake

MAX_TRIES = 10
MOST_HEADS = 10
"""How many are woken at a look."""

LEAST_PENDING, MOST_PENDING = 10, 90
"""How far down the line is looked beyond that, by the room: past waiters that were woken and have not entered yet."""


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
        if mine.ticket == of.ticket:
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
            if room < of.cost or state.waiting is None or not _line_is_empty(engine, of.gate, state.waiting):
                return Full()
            return None


def _some_were_dead(engine: Engine, gate: str, number: int, state: GateState) -> bool:
    """Remove holders that a zombie left behind. No task waits at a limit that turns newcomers away, so the clock never looks there."""
    from headrace.engine.waits.dead import without_dead

    return without_dead(engine, gate, number, state).taken < state.taken


def _line_is_empty(engine: Engine, gate: str, seen: str) -> bool:
    """Look which waiters the mark is for, and remove it where there is none."""
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

    The mark is on the first item. It is read before, not held to, so a newcomer may slip past a task that parks at that moment.
    """
    if again or of.of_run:  # another root of the run may have entered
        for number, state in enumerate(states_of(engine, of.gate, of.widest)):
            if of.member in state.holders:
                return _enter_item(engine, of, number, waited=waited, expires_at_s=expires_at_s)
    if not waited and of.strategy is GateStrategy.GROUP_ROUND_ROBIN:
        first = state_of(engine.store.get(gate_key(of.gate)))
        if first.waiting is not None and not _line_is_empty(engine, of.gate, first.waiting):
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


def give_places_back(engine: Engine, of: Pass) -> GateState | None:
    """Leave, whichever item of the gate it is in; then wake the waiters that can enter. The item as it is now, where it is the only one."""
    if of.items == of.widest == 1:
        state = state_of(engine.store.write(leave(of, 0)).item)
        wake_next(engine, of.gate, of.limit, [state])
        return state
    for number, state in enumerate(states_of(engine, of.gate, of.widest)):
        held = state.holders.get(of.member)
        if held is not None and held.ticket <= of.ticket:
            engine.store.write(leave(of, number))
    wake_next(engine, of.gate, of.limit)
    return None


def wake_next(engine: Engine, gate: str, limit: int, states: Sequence[GateState] = ()) -> None:
    """If there is room and the mark is set, wake the waiters that can enter, or remove the mark. `states`: the items, as just seen.

    A waiter that was woken stays in the line until it is in: its note says so, and a look passes over it. See `wake_up`.
    A redelivered message looks although there is no room: a note that it wrote before is answered for by no other message.
    """
    for _ in range(MAX_TRIES):
        states = states or states_of(engine, gate, items_of(limit))
        room = room_in(limit, states)
        seen = states[0].waiting
        if seen is None or (room <= 0 and not engine.account.redelivered):
            return
        pending = max(LEAST_PENDING, min(room, MOST_PENDING)) if limit > 1 else 1
        waiters = heads(engine, gate, limit=min(max(room, 0), MOST_HEADS) + pending)
        if not waiters:
            engine.store.write(clear(gate, seen))
            return
        inside = {member for state in states for member in state.holders}
        able = who_to_wake(waiters, inside=inside, room=room, account=engine.account, most=MOST_HEADS)
        if not able or not wake(engine, able):
            return
        states = ()


def room_in(limit: int, states: Sequence[GateState]) -> int:
    """How many places are free, over the items of a gate."""
    places = (places_in(limit, number, len(states)) for number in range(len(states)))
    return sum(max(0, most - state.taken) for most, state in zip(places, states, strict=True))
