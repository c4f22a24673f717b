"""What the protocol promises holds of the real engine, and every mistake in it is found."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from exploration.mutations import MUTATIONS, RARE, mutated
from exploration.plan import Plan
from exploration.plans import CUT_SHORT, PLANS, WANDERED
from exploration.search import explore, wander

Tells = Callable[[str, object], None]

BEGINNING = 3_000
WAYS = 600
STEPS = 2_500
TO_FIND = 80_000


LARGEST = (
    "a unit a window, 2 runs; 1 crash",
    "a unit a window, 2 runs; 1 dup",
    "a unit a window, 2 runs, seen before; 1 crash",
    "a unit a window, 2 runs, seen before; 1 dup",
    "a durable wait; 1 dup",
    "a durable wait; 1 crash, 1 dup",
    "a durable wait, then another; 1 crash",
    "a durable wait that looks back; 1 crash",
    "a durable wait that looks back; 1 dup",
    "a durable wait or sleep; 1 crash",
    "a durable wait or sleep; 1 dup",
    "a durable wait or sleep, then a sleep; no faults",
    "two durable waits, two processes; no faults",
    "two durable waits, two processes; 1 crash",
    "two durable waits, two processes; 1 dup",
)
"""The longest searches: the fast tests explore their beginnings and follow random ways, the tests of scale go to their ends."""

WHOLE = [
    pytest.param(plan, id=name, marks=[pytest.mark.scale] if name in LARGEST else [])
    for name, plan in PLANS.items()
]
BEGUN = CUT_SHORT | {name: PLANS[name] for name in LARGEST}


@pytest.mark.parametrize("plan", WHOLE)
def test_the_engine_holds_in_every_state(plan: Plan, record_property: Tells) -> None:
    result = explore(plan)
    record_property("told", str(result))
    assert result.holds, result
    assert result.complete


@pytest.mark.parametrize("plan", BEGUN.values(), ids=BEGUN)
def test_the_beginning_of_a_large_plan_holds_and_random_ways_to_its_end(plan: Plan) -> None:
    result = explore(plan, limit=BEGINNING)
    assert result.holds, result
    further = wander(plan, seed=1, steps=WAYS)
    assert further.holds, further


@pytest.mark.parametrize("plan", WANDERED.values(), ids=WANDERED)
def test_random_ways_of_20_runs_hold(plan: Plan) -> None:
    result = wander(plan, seed=1, steps=STEPS)
    assert result.holds, result


@pytest.mark.parametrize("mistake", MUTATIONS)
def test_every_mistake_is_found(mistake: str) -> None:
    mutation, plan = MUTATIONS[mistake]
    with mutated(mutation):
        result = explore(plan, limit=TO_FIND)
    assert not result.holds, f"{result.states} states did not notice: {mistake}"
    assert result.trace


@pytest.mark.parametrize("mistake", RARE)
def test_random_ways_find_what_is_rare(mistake: str) -> None:
    mutation, plan = RARE[mistake]
    with mutated(mutation):
        result = wander(plan, seed=5, steps=TO_FIND)
    assert not result.holds, f"{result.states} steps did not notice: {mistake}"
