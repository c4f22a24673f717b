"""The protocol holds in every plan, and every mistake is found."""

from __future__ import annotations

import pytest

from protocol.explore import explore, wander
from protocol.plans import CUT_SHORT, FOUND_AT_RANDOM, MUTATIONS, PLANS, TO_THE_END, WANDERED, Plan

BEGINNING = 25_000
STEPS = 20_000
TO_FIND = 250_000


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_the_protocol_holds(plan: Plan) -> None:
    result = explore(plan())
    assert result.holds, result
    assert result.complete


@pytest.mark.parametrize("plan", CUT_SHORT.values(), ids=CUT_SHORT)
def test_the_beginning_of_a_large_plan_holds(plan: Plan) -> None:
    result = explore(plan(), limit=BEGINNING)
    assert result.holds, result


@pytest.mark.scale
@pytest.mark.timeout(900)
@pytest.mark.parametrize("plan", TO_THE_END.values(), ids=TO_THE_END)
def test_a_large_plan_holds_to_its_end(plan: Plan) -> None:
    result = explore(plan(), limit=1_000_000)
    assert result.holds, result
    assert result.complete


@pytest.mark.parametrize("plan", WANDERED.values(), ids=WANDERED)
def test_random_ways_through_what_is_too_large_hold(plan: Plan) -> None:
    result = wander(plan(), seed=1, steps=STEPS)
    assert result.holds, result


def _id(value: object) -> str | None:
    return value if isinstance(value, str) else None


@pytest.mark.parametrize(("mistake", "plan"), MUTATIONS, ids=_id)
def test_every_mistake_is_found(mistake: str, plan: Plan) -> None:
    result = explore(plan(broken=mistake), limit=TO_FIND)
    assert not result.holds, f"{result.states} states did not notice: {mistake}"
    assert result.trace


@pytest.mark.parametrize(("mistake", "plan"), FOUND_AT_RANDOM, ids=_id)
def test_a_mistake_is_found_along_random_ways(mistake: str, plan: Plan) -> None:
    result = wander(plan(broken=mistake), seed=1, steps=STEPS)
    assert not result.holds, f"{result.states} steps did not notice: {mistake}"
