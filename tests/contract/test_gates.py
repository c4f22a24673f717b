"""The writes of gates, lines and rate limits, as the engine makes them: every store judges them as the reference does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import TypeAlias

import pytest

from contract.backends import Backend
from headrace.core.changes import Applied, Item, Key, Write, apply
from headrace.core.points import AtConcurrency, point_at
from headrace.core.run.plans.plan import GateStrategy
from headrace.core.table import gate_key, gate_shard, gates_listed
from headrace.core.waits import line
from headrace.core.waits import rate_limit as rates
from headrace.core.waits.concurrency import (
    drop,
    enter,
    enter_again,
    evict,
    eviction_paid,
    leave,
)
from headrace.core.waits.holders import Holder, state_of
from headrace.core.waits.line import Waiter, put_waiter, unwait
from headrace.core.waits.passes import Pass
from headrace.core.waits.rate_limit import Take, Window, window_of

NUMBERS = count(1)
T0 = 1_700_000_000_000
MINUTE = 60_000
Step: TypeAlias = "tuple[Callable[[str], Write], bool]"
"""A write on a gate's partition, and whether it takes place."""


def _concurrency(gate: str) -> AtConcurrency:
    point = point_at(gate)
    assert isinstance(point, AtConcurrency)
    return point


ANN, BOB, RUN = "run-a/pay #1.x", "run_b/é", "0198-cc"


def of(member: str, ticket: int = 1, *, limit: int = 1, cost: int = 1, born_ms: int = 0, cip: bool = False,
       run: bool = False) -> Callable[[str], Pass]:  # fmt: skip
    strategy = GateStrategy.CANCEL_IN_PROGRESS if cip else GateStrategy.GROUP_ROUND_ROBIN
    return lambda gate: Pass(
        point=_concurrency(gate), member=member, ticket=ticket, limit=limit, cost=cost,
        strategy=strategy, born_ms=born_ms, of_run=run,
    )  # fmt: skip


def entering(who: Callable[[str], Pass], *, waited: bool = False, number: int = 0) -> Callable[[str], Write]:
    return lambda gate: enter(who(gate), number, waited=waited, now_ms=T0, expires_at_s=9)


def leaving(who: Callable[[str], Pass], number: int = 0) -> Callable[[str], Write]:
    return lambda gate: leave(who(gate), number)


def evicting(who: Callable[[str], Pass], victim: Holder) -> Callable[[str], Write]:
    return lambda gate: evict(who(gate), 0, victim, now_ms=T0, expires_at_s=9)


def marking(nonce: str) -> Callable[[str], Write]:
    return lambda gate: line.mark(gate, nonce, expires_at_s=9)


def waiting(ticket: int, cost: int = 1, sk: str = "wait#1#1#r#t") -> Callable[[str], Write]:
    return lambda gate: put_waiter(
        Waiter(gate=gate, sk=sk, run_id="r", task="t", number=0, ticket=ticket, worker="w", queued_at_ms=1, start_by_ms=2,
               cost=cost, required_labels="[]", group="é"),
        expires_at_s=9,
    )  # fmt: skip


def noting(ticket: int, at_ms: int, seen_ms: int = 0) -> Callable[[str], Write]:
    """`seen_ms`: the note that was seen on the waiter; 0: none."""
    waiter = Waiter(
        gate="", sk="wait#1#1#r#t", run_id="r", task="t", number=0, ticket=ticket, worker="w", queued_at_ms=1, start_by_ms=2, woken_at_ms=seen_ms,
    )  # fmt: skip
    return lambda gate: line.woken(replace(waiter, gate=gate), by="m", queued_ms=7, now_ms=at_ms)


GATES: dict[str, list[Step]] = {
    "enter, and enter again": [(entering(of(ANN)), True), (entering(of(ANN)), False), (entering(of(ANN), waited=True), False)],
    "full": [(entering(of(ANN)), True), (entering(of(BOB)), False), (leaving(of(ANN)), True), (entering(of(BOB)), True)],
    "more places than one": [(entering(of(ANN, limit=2)), True), (entering(of(BOB, limit=2)), True), (entering(of(RUN, limit=2)), False)],
    "cost of several": [(entering(of(ANN, limit=3, cost=2)), True), (entering(of(BOB, limit=3, cost=2)), False), (entering(of(BOB, limit=3)), True),
                        (leaving(of(ANN, limit=3, cost=2)), True)],
    "more than there will ever be": [(entering(of(ANN, limit=1, cost=2)), False)],
    "a second item": [(entering(of(ANN, limit=49), number=1), True), (entering(of(BOB, limit=49), number=1), True), (leaving(of(ANN, limit=49), 1), True)],
    "leave with a wrong ticket": [(entering(of(ANN, 2)), True), (leaving(of(ANN, 1)), False), (leaving(of(BOB, 2)), False), (leaving(of(ANN, 2)), True),
                                  (leaving(of(ANN, 2)), False)],
    "leave what is not there": [(leaving(of(ANN)), False)],
    "a later ticket takes over": [(entering(of(ANN, 1)), True), (lambda g: enter_again(of(ANN, 2)(g), 0, Holder(ANN, 1, T0, 0), now_ms=T0 + 1), True),
                                  (lambda g: enter_again(of(ANN, 3)(g), 0, Holder(ANN, 1, T0, 0), now_ms=T0 + 1), False), (leaving(of(ANN, 1)), False)],
    "the dead are dropped once": [(entering(of(ANN, limit=5, cost=3)), True), (lambda g: drop(gate_key(g), Holder(ANN, 1, T0, 0, 3)), True),
                                  (lambda g: drop(gate_key(g), Holder(ANN, 1, T0, 0, 3)), False)],
    "a newcomer stays behind the mark": [(marking("one"), True), (entering(of(ANN)), False), (entering(of(ANN), waited=True), True)],
    "marks and clears": [(marking("one"), True), (marking("two"), True), (lambda g: line.clear(g, "one"), False), (line.unlisted, False),
                         (lambda g: line.clear(g, "two"), True), (line.unlisted, True), (line.unlisted, True)],
    "nothing to clear, nothing to take off the list": [(lambda g: line.clear(g, "one"), False), (line.unlisted, False)],
    "evict": [(entering(of(f"{RUN}/t", cip=True, born_ms=1)), True), (evicting(of("new/t", cip=True, born_ms=2), Holder(f"{RUN}/t", 1, T0, 1)), True),
              (entering(of(f"{RUN}/t", cip=True, limit=9)), False), (lambda g: eviction_paid(gate_key(g), RUN), True),
              (lambda g: eviction_paid(gate_key(g), RUN), True), (entering(of(f"{RUN}/t", cip=True, limit=9)), True)],
    "evict whom another one has put out": [(entering(of("old", cip=True)), True), (evicting(of("new", cip=True), Holder("old", 2, T0, 0)), False),
                                           (evicting(of("new", cip=True), Holder("old", 1, T0, 0)), True),
                                           (evicting(of("newer", cip=True), Holder("old", 1, T0, 0)), False),
                                           (evicting(of("old", cip=True), Holder("new", 1, T0, 0)), False)],
    "an eviction paid of a gate that is gone": [(lambda g: eviction_paid(gate_key(g), RUN), False)],
    "line up": [(waiting(2), True), (waiting(2), False), (waiting(1), False), (waiting(3, cost=4), True), (lambda g: unwait(g, "wait#1#1#r#t", 2), False),
                (lambda g: unwait(g, "wait#1#1#r#t", 3), True), (lambda g: unwait(g, "wait#1#1#r#t", 3), True)],
    "noted as woken by one": [(noting(2, 100), False), (waiting(2), True), (noting(1, 100), False), (noting(2, 100), True), (noting(2, 105), False),
                              (noting(2, 110, seen_ms=100), True), (noting(2, 111, seen_ms=100), False), (waiting(2), False), (noting(2, 112), False),
                              (waiting(3), True), (noting(3, 113), True)],
}  # fmt: skip


@pytest.mark.parametrize("story", GATES.values(), ids=GATES)
def test_gates_and_lines(backend: Backend, story: list[Step]) -> None:
    gate = f"gate#shop:pay/0#key é/{next(NUMBERS)}"
    played(backend, gate, story)


def test_places_that_are_counted_agree_with_their_holders(backend: Backend) -> None:
    gate = f"gate#counted#{next(NUMBERS)}"
    everybody = [of(f"run-{number}/t", limit=4, cost=1 + number % 2) for number in range(6)]
    item: Item | None = None
    for who in everybody:
        item = backend.store.write(entering(who)(gate)).item
    for who in everybody[::2]:
        item = backend.store.write(leaving(who)(gate)).item
    state = state_of(item)
    assert state.taken == sum(held.cost for held in state.holders.values()) == 2
    assert set(state.holders) == {"run-1/t"}


def test_a_gate_with_waiters_is_in_the_index(backend: Backend) -> None:
    gate = f"gate#listed/0#{next(NUMBERS)}"
    partition = gates_listed(gate_shard(gate))

    def listed() -> bool:
        return any(item["lsk"] == gate for item in backend.store.query_index("listing", partition))

    backend.store.write(entering(of(ANN))(gate))
    assert not listed()
    backend.store.write(marking("one")(gate))
    assert listed()
    backend.store.write(line.clear(gate, "one"))
    assert listed()
    backend.store.write(line.unlisted(gate))
    assert not listed()
    assert state_of(backend.store.get(gate_key(gate))).taken == 1


# ---------------------------------------------------------------- rate limits

EMPTY = Window()
FULL = Window(start_ms=None, limit=10, window_ms=MINUTE)
START = T0 - T0 % MINUTE


def used(left: int, limit: int = 10, start_ms: int = START) -> Window:
    return Window(start_ms=start_ms, left=left, limit=limit, window_ms=MINUTE)


def taking(seen: Window, units: int = 4, *, limit: int | None = None, waited: bool = False, at_ms: int = T0) -> Callable[[str], Write]:  # fmt: skip
    window_ms = None if limit is None else MINUTE
    return lambda gate: rates.take(
        Take(key=gate.removeprefix("rate#"), units=units, limit=limit, window_ms=window_ms), seen, waited=waited, now_ms=at_ms
    )[0]  # fmt: skip


def setting(limit: int, seen: Window, declared: str | None = None) -> Callable[[str], Write]:
    return lambda gate: rates.put_limit(
        gate.removeprefix("rate#"), limit, MINUTE, seen=seen, declared=declared
    )


def giving_back(start_ms: int, units: int = 4) -> Callable[[str], Write]:
    return lambda gate: rates.give_back(Take(key=gate.removeprefix("rate#"), units=units), start_ms)


def due(nonce: str, due_ms: int | None) -> Callable[[str], Write]:
    return lambda gate: rates.mark(gate, nonce, due_ms=due_ms)


RATES: dict[str, list[Step]] = {
    "a static limit": [(setting(10, EMPTY), True), (taking(FULL), True), (taking(FULL), False), (taking(used(6)), True), (taking(used(6)), False),
                       (taking(used(2), 2), True), (taking(used(0), 1), False)],
    "a dynamic limit, guessed to be new": [(taking(EMPTY, limit=10), True), (taking(EMPTY, limit=10), False), (taking(used(6), limit=10), True)],
    "the next window": [(taking(EMPTY, limit=10), True), (taking(used(6), limit=10, at_ms=T0 + MINUTE), True), (taking(used(6), limit=10, at_ms=T0 + MINUTE), False),
                        (taking(used(6, start_ms=START + MINUTE), limit=10, at_ms=T0), True)],
    "a lower limit from now on": [(taking(EMPTY, limit=10), True), (taking(used(6), limit=5), True), (taking(used(6), limit=5), False),
                                  (taking(used(1, limit=5), 1, limit=5), True)],
    "a higher limit from now on": [(taking(EMPTY, limit=5), True), (taking(used(1, limit=5), 1, limit=10), True)],
    "given back, while the window lasts": [(taking(EMPTY, limit=10), True), (giving_back(START), True), (giving_back(START + MINUTE), False),
                                           (giving_back(START - MINUTE), False)],
    "a newcomer stays behind the mark": [(taking(EMPTY, limit=10), True), (due("one", START + MINUTE), True), (taking(used(6), limit=10), False),
                                         (taking(used(6), limit=10, waited=True), True)],
    "who marks moves no schedule": [(due("one", 5), True), (due("two", 6), False), (due("two", None), True),
                                    (lambda g: rates.move_schedule(g, 5), False), (lambda g: rates.move_schedule(g, 7), True)],
    "no schedule to move": [(due("one", None), False), (lambda g: rates.move_schedule(g, 7), False)],
    "close": [(lambda g: rates.close(g, "one"), False), (due("one", 5), True), (lambda g: rates.close(g, None), False),
              (lambda g: rates.close(g, "two"), False), (lambda g: rates.close(g, "one"), True), (lambda g: rates.close(g, None), True)],
    "another length of the window": [(taking(EMPTY, limit=10), True), (due("one", 5), True),
                                     (lambda g: rates.put_limit(g.removeprefix("rate#"), 10, 1_000, seen=used(6)), True), (due("two", None), False)],
    "a limit clamps what is left": [(taking(EMPTY, 1, limit=10), True), (setting(5, used(9)), True), (setting(5, used(9)), False), (setting(7, used(5, 5), "v2"), True),
                                    (taking(used(5, 7), 5), True)],
    "clamping what others have taken meanwhile": [(taking(EMPTY, 8, limit=10), True), (setting(5, used(9)), False), (setting(5, used(2)), True)],
}  # fmt: skip


@pytest.mark.parametrize("story", RATES.values(), ids=RATES)
def test_rate_limits(backend: Backend, story: list[Step]) -> None:
    played(backend, f"rate#open ai/é{next(NUMBERS)}", story)


def test_what_is_left_after_a_clamp(backend: Backend) -> None:
    gate = f"rate#clamped{next(NUMBERS)}"
    backend.store.write(taking(EMPTY, 1, limit=10)(gate))
    window = window_of(backend.store.write(setting(5, used(9))(gate)).item)
    assert (window.left, window.limit, window.start_ms) == (5, 5, START)
    assert "expires_at" not in (backend.store.get(gate_key(gate)) or {})


# ---------------------------------------------------------------- playing


def played(backend: Backend, gate: str, story: Sequence[Step]) -> None:
    """Each write does what the story says, answers as the reference does, and leaves the items that the reference leaves."""
    known: dict[Key, Item | None] = {}
    for number, (make, takes_place) in enumerate(story):
        write = make(gate)
        expected = apply(write, known.get(write.key))
        assert isinstance(expected, Applied) == takes_place, f"step {number}: {write}"
        assert backend.store.write(write) == expected, f"step {number}: {write}"
        if isinstance(expected, Applied):
            known[write.key] = expected.item
    for key, item in known.items():
        assert backend.store.get(key) == item
