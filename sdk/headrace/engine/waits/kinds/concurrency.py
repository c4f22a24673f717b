"""Permits of concurrency limits: take, release, and wake a waiter where there is room.

enter ── in                leave ── wake_next
  │ full or not its turn              │ a mark, and room
  └── (admission parks it)            └── wake the head, or remove the mark where none waits
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from headrace.core.changes import Applied, Item
from headrace.core.run.plans.plan import GateStrategy
from headrace.core.table import gate_key
from headrace.core.values import dataclass
from headrace.core.waits.concurrency import enter, enter_again, evict, leave, oldest
from headrace.core.waits.heirs import may_be_handed
from headrace.core.waits.holders import GateState, state_of
from headrace.core.waits.line import Waiter, clear, closing, is_closing
from headrace.core.waits.passes import Pass, items_of, places_in
from headrace.core.waits.wake_up import room_for_more, who_to_wake
from headrace.engine.engine import Engine
from headrace.engine.waits.wake import heads, wake

MAX_TRIES = 10
MOST_HEADS = 10
"""How many are woken at a look."""

LEAST_PENDING, MOST_PENDING = 10, 90
"""How far down the line is looked beyond that, by the room: past waiters that were woken and have not entered yet."""


@dataclass(frozen=True, slots=True)
class Inside:
    """The places are taken, in item `number`; the item as it was right after that."""

    state: GateState
    number: int


@dataclass(frozen=True, slots=True)
class Full:
    """There is no room, or others wait for it. `first`: the first item, where it was seen."""

    first: GateState | None = None


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


def find_handed(engine: Engine, of: Pass, seat: int) -> Inside | None:
    """Whether a place was handed over to this ticket: one read."""
    state = state_of(engine.store.get(gate_key(of.gate, seat)))
    held = state.holders.get(of.member)
    return Inside(state, seat) if held is not None and held.ticket == of.ticket else None


def was_put_in(engine: Engine, of: Pass, first: GateState | None = None) -> bool:
    """Whether a place was handed over to a ticket that was refused there, or has not come there. At a limit of several items only one that
    was struck gets one, and its message says so. `first`: the first item, if it was read."""
    if of.widest > 1 or not may_be_handed(of):
        return False
    held = (first or state_of(engine.store.get(gate_key(of.gate)))).holders.get(of.member)
    return held is not None and held.ticket <= of.ticket


def _enter_item(engine: Engine, of: Pass, number: int, *, waited: bool, expires_at_s: int) -> Entry:
    for _ in range(MAX_TRIES):
        now_ms = engine.clock.now_ms()
        write = enter(of, number, waited=waited, now_ms=now_ms, expires_at_s=expires_at_s)
        written = engine.store.write(write)
        state = state_of(written.item)
        if isinstance(written, Applied):
            return Inside(state, number)
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
            return Inside(state, number)
        written = engine.store.write(enter_again(of, number, mine, now_ms=engine.clock.now_ms()))
        return Inside(state_of(written.item), number) if isinstance(written, Applied) else None
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
                return Full(state if number == 0 else None)
            return None


def _some_were_dead(engine: Engine, gate: str, number: int, state: GateState) -> bool:
    """Remove holders that a zombie left behind. No task waits at a limit that turns newcomers away, so the clock never looks there."""
    from headrace.engine.waits.dead import without_dead

    return without_dead(engine, gate, number, state).taken < state.taken


def _line_is_empty(engine: Engine, gate: str, seen: str) -> bool:
    """Look which waiters the mark is for, and take a step to remove it where there is none."""
    if heads(engine, gate, limit=1):
        return False
    _step_to_clear(engine, gate, seen)
    return True


def _step_to_clear(engine: Engine, gate: str, seen: str) -> Item | None:
    """After a query that found no waiter: the mark is closing, or, where it was before that query, cleared. The first item as it is then."""
    if is_closing(seen):
        engine.full.learn(gate, None, 0)
        return engine.store.write(clear(gate, seen)).item
    return engine.store.write(closing(gate, seen)).item


def _replace(engine: Engine, of: Pass, number: int, state: GateState, *, expires_at_s: int) -> Entry | None:
    """Take the place of the oldest run, unless this one is older."""
    victim = oldest(state)
    if victim is None:
        return Full()
    if (of.born_ms, of.run_id) < (victim.born_ms, victim.run_id):
        return TurnedAway(REASONS[of.strategy])
    now_ms = engine.clock.now_ms()
    written = engine.store.write(evict(of, number, victim, now_ms=now_ms, expires_at_s=expires_at_s))
    return Inside(state_of(written.item), number) if isinstance(written, Applied) else None


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
            return Full(first)
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
    """Leave, whichever item of the gate it is in; then wake who can enter. The item as it is now, where it is the only one."""
    number = engine.account.inside.pop((of.gate, of.member), None)
    heir = engine.account.heirs.pop((of.gate, of.member), None)
    if heir is not None and number is not None:
        from headrace.engine.waits.hand_over import hand_place_over

        handed = hand_place_over(engine, of, number, heir)
        if handed is not None and of.widest > 1:
            return None
        if handed is not None:
            wake_next(engine, of.gate, of.limit, [handed])
            return handed
    if (
        of.widest > 1
        and of.cost == 1
        and number is not None
        and not engine.account.redelivered
        and _leave_one_of(engine, of, number)
    ):
        return None
    if of.items == of.widest == 1:
        state = state_of(engine.store.write(leave(of, 0)).item)
        if state.waiting is None:
            engine.full.learn(of.gate, None, 0)
        wake_next(engine, of.gate, of.limit, [state])
        return state
    for number, state in enumerate(states_of(engine, of.gate, of.widest)):
        held = state.holders.get(of.member)
        if held is not None and held.ticket <= of.ticket:
            engine.store.write(leave(of, number))
    wake_next(engine, of.gate, of.limit)
    return None


def _leave_one_of(engine: Engine, of: Pass, number: int) -> bool:
    """Leave the item that this delivery has entered, and wake one waiter for the places that it frees: without reading the other items.

    False: all of them are to be looked at. Either it is not in there, or the limit has changed, or the next waiter needs more. Where no waiter is left to be woken the mark says so, as places are free: see `wake_next`."""
    written = engine.store.write(leave(of, number))
    state = state_of(written.item)
    if not isinstance(written, Applied) or state.limit != of.limit:
        return False
    seen = (state if number == 0 else state_of(engine.store.get(gate_key(of.gate)))).waiting
    for _ in range(MAX_TRIES):
        if seen is None:
            engine.full.learn(of.gate, None, 0)
            return True
        waiters = _first_waiters(engine, of.gate)
        able = [each for each in waiters if not each.woken_at_ms]
        if able and able[0].cost > of.cost:
            return False
        if able:
            if not wake(engine, able[:1]):
                return True
            continue
        if is_closing(seen):
            if not waiters:
                _step_to_clear(engine, of.gate, seen)
            return True
        seen = state_of(engine.store.write(closing(of.gate, seen)).item).waiting
    return False


def _first_waiters(engine: Engine, gate: str) -> list[Waiter]:
    """The head of a line, as far as one that was not woken: most often that is near."""
    near = heads(engine, gate, limit=LEAST_PENDING)
    if len(near) < LEAST_PENDING or not all(each.woken_at_ms for each in near):
        return near
    return heads(engine, gate, limit=MOST_PENDING)


def wake_next(engine: Engine, gate: str, limit: int, states: Sequence[GateState] = ()) -> None:
    """If there is room and the mark is set, wake the waiters that can enter, or remove the mark. `states`: the items, as just seen.

    A waiter that was woken stays in the line until it is in: its note says so, and a look passes over it. See `wake_up`.
    A redelivered message looks although there is no room: a note that it wrote before is answered for by no other message.
    Where a limit has several items, and room is left for a task that lines up later, the mark is made a closing one: such a task looks
    at all items only if it finds no mark, or that one.
    """
    for _ in range(MAX_TRIES):
        states = states or states_of(engine, gate, items_of(limit))
        wide, room, seen = len(states) > 1, room_in(limit, states), states[0].waiting
        if seen is None or (room <= 0 and not engine.account.redelivered):
            return
        most = MOST_PENDING if wide else MOST_HEADS
        several = limit > 1 or engine.account.redelivered
        pending = max(LEAST_PENDING, min(room, MOST_PENDING)) if several else 1
        waiters = heads(engine, gate, limit=min(max(room, 0), most) + pending)
        inside = {member for state in states for member in state.holders}
        able = who_to_wake(waiters, inside=inside, room=room, account=engine.account, most=most)
        if able:
            if not wake(engine, able) and not (wide and len(able) == most):
                return
            states = ()
            continue
        if waiters and (not wide or is_closing(seen) or not room_for_more(waiters, inside=inside, room=room)):
            return
        found = _step_to_clear(engine, gate, seen)
        if is_closing(seen):
            return
        states = () if wide else [state_of(found)]


def room_in(limit: int, states: Sequence[GateState]) -> int:
    """How many places are free, over the items of a gate."""
    places = (places_in(limit, number, len(states)) for number in range(len(states)))
    return sum(max(0, most - state.taken) for most, state in zip(places, states, strict=True))
