"""Concurrency limits: enter, leave, evict. Each change is one conditional write on the limit's item.

A holder is an attribute of the item and the places taken are counted in the same write, so that both are always right together.
`w` is the mark, which says that a task may wait: a nonce, set by each task that parks. While it is there, newcomers park behind. See `line`.
"""

from __future__ import annotations

from headrace.core.changes import (
    ITEM_EXISTS,
    AtMost,
    Condition,
    Equal,
    Key,
    Missing,
    Path,
    Update,
    Value,
    either,
    every,
)
from headrace.core.run.plans.plan import GateStrategy
from headrace.core.table import gate_key, gate_shard, gates_listed
from headrace.core.waits.holders import GateState, Holder, attribute_of, held_as
from headrace.core.waits.line import Waiter
from headrace.core.waits.passes import Pass

# ---------------------------------------------------------------- in and out


def me(of: Pass, *more: str) -> Path:
    """The attribute that says that a task is in."""
    return (held_as(of.gate, of.member), *more)


def _entry(of: Pass, now_ms: int) -> Value:
    entry: dict[str, Value] = {"t": of.ticket, "a": now_ms}
    if of.strategy is GateStrategy.CANCEL_IN_PROGRESS:
        entry["b"] = of.born_ms
    return {**entry, "k": of.cost} if of.cost > 1 else entry


def enter(of: Pass, number: int, *, waited: bool, now_ms: int, expires_at_s: int) -> Update:
    """Take the permits, if there are so many, and no task waits for them but this one.

    A run that was evicted but not yet cancelled may not re-enter.
    """
    room = AtMost(("c",), of.places_in(number) - of.cost)
    fits = of.cost <= of.places_in(number)
    more: list[Condition] = [either(Missing(("c",)), room) if fits else room]
    if of.strategy is GateStrategy.CANCEL_IN_PROGRESS:
        more.append(Missing((f"ev:{of.run_id}",)))
    elif of.strategy is GateStrategy.GROUP_ROUND_ROBIN and not waited:
        more.append(Missing(("w",)))
    return Update(
        key=gate_key(of.gate, number),
        require=every(Missing(me(of)), *more),
        sets={me(of): _entry(of, now_ms), ("n",): of.limit, ("expires_at",): expires_at_s},
        adds={("c",): of.cost},
    )


def enter_again(of: Pass, number: int, held: Holder, *, now_ms: int) -> Update:
    """An earlier ticket of the same task has not left: its places are taken over."""
    found = attribute_of(of.gate, held)
    return Update(
        key=gate_key(of.gate, number),
        require=Equal((found, "t"), held.ticket),
        sets={me(of): _entry(of, now_ms)},
        removes=((found,),) if held.long_name is not None else (),
    )


def leave(of: Pass, number: int) -> Update:
    """Give the places back that this ticket took, or an earlier one: a task that was woken may have ended before it took them over.
    What a later ticket took stays."""
    return Update(
        key=gate_key(of.gate, number),
        require=AtMost(me(of, "t"), of.ticket),
        removes=(me(of),),
        adds={("c",): -of.cost},
    )


def hand_over(of: Pass, number: int, heir: Waiter, *, now_ms: int) -> Update:
    """The place of a ticket that has ended is its heir's from here on, by one write: as many are taken as before."""
    theirs = (held_as(of.gate, heir.member),)
    return Update(
        key=gate_key(of.gate, number),
        require=every(
            AtMost(me(of, "t"), of.ticket),
            Missing(theirs),
            Equal(("n",), of.limit),
            AtMost(("c",), of.places_in(number)),
        ),
        sets={theirs: {"t": heir.ticket, "a": now_ms}, ("expires_at",): heir.expires_at_s},
        removes=(me(of),),
    )


def drop(key: Key, holder: Holder) -> Update:
    """Take out a holder that is dead."""
    return Update(
        key=key,
        require=Equal((attribute_of(key.pk, holder), "t"), holder.ticket),
        removes=((attribute_of(key.pk, holder),),),
        adds={("c",): -holder.cost},
    )


# ---------------------------------------------------------------- code that outlasts its attempt


def overstayer(record_id: str, task: str, ticket: int) -> str:
    """What code is called among the holders whose attempt is over. Another attempt of its task is another member."""
    return f"{record_id}/{task}#{ticket}"


def overstay(of: Pass, number: int, name: str, *, now_ms: int, until_ms: int) -> Update:
    """The attempt ends and its code goes on: its places are the code's from here on, under a name and a lease of their own.

    A place that belongs to the run stays the run's, and one more is taken, beyond the limit where need be."""
    entry: dict[str, Value] = {"t": of.ticket, "a": now_ms, "u": until_ms}
    if of.cost > 1:
        entry["k"] = of.cost
    if of.of_run:
        return Update(
            key=gate_key(of.gate, number),
            require=every(AtMost(me(of, "t"), of.ticket), Missing((held_as(of.gate, name),))),
            sets={(held_as(of.gate, name),): entry},
            adds={("c",): of.cost},
        )
    return Update(
        key=gate_key(of.gate, number),
        require=every(AtMost(me(of, "t"), of.ticket), Missing((held_as(of.gate, name),))),
        sets={(held_as(of.gate, name),): entry},
        removes=(me(of),),
    )


def stay_until(of: Pass, number: int, *, until_ms: int) -> Update:
    """The run is cancelled, and its code may go on until then: its place is free once that is over, or its processes have noticed."""
    return Update(
        key=gate_key(of.gate, number),
        require=AtMost(me(of, "t"), of.ticket),
        sets={me(of, "u"): until_ms},
    )


def stay_on(of: Pass, number: int, name: str, *, until_ms: int) -> Update:
    """The code still runs."""
    return Update(
        key=gate_key(of.gate, number),
        require=Equal((held_as(of.gate, name), "t"), of.ticket),
        sets={(held_as(of.gate, name), "u"): until_ms},
    )


# ---------------------------------------------------------------- cancel in progress


def oldest(state: GateState) -> Holder | None:
    """The holder whose run was created first. Code whose attempt is over cannot be evicted."""
    running = (held for held in state.holders.values() if held.until_ms is None)
    return min(running, key=lambda held: (held.born_ms, held.run_id), default=None)


def evict(of: Pass, number: int, victim: Holder, *, now_ms: int, expires_at_s: int) -> Update:
    """Take the place of `victim`. Its run's cancellation is owed from here on: `ev:` says so until it was paid."""
    return Update(
        key=gate_key(of.gate, number),
        require=every(
            Missing(me(of)),
            Missing((f"ev:{of.run_id}",)),
            Equal((attribute_of(of.gate, victim), "t"), victim.ticket),
        ),
        sets={
            me(of): _entry(of, now_ms),
            (f"ev:{victim.run_id}",): now_ms,
            ("lpk",): gates_listed(gate_shard(of.gate)),
            ("lsk",): of.gate,
            ("n",): of.limit,
            ("expires_at",): expires_at_s,
        },
        removes=((attribute_of(of.gate, victim),),),
    )


def eviction_paid(key: Key, run_id: str) -> Update:
    return Update(key=key, require=ITEM_EXISTS, removes=((f"ev:{run_id}",),))
