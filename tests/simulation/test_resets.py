"""Resets of durable tasks under every fault, held against which generation made each operation; and mistakes that this has to find."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from support import durable_mistakes as mistakes

from simulation.processes import Rates
from simulation.reset_world import simulate_resets

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(120)]

SEEDS, MORE_SEEDS = range(12), range(12, 1_000)
TO_FIND = 300

DOES_NOT_FIT = (TypeError, AttributeError, NameError)
"""What a mistake raises that no longer fits the engine it is put into."""

HARSH = Rates(kill=0.03, freeze=0.006, throttle=0.01, lost=0.02, retried=0.02, duplicate=0.1)

MISTAKES: dict[str, Callable[[], list[Any]]] = {
    "a reset keeps the answer that it was to make again": mistakes.a_reset_keeps_the_answer_it_was_to_make_again,
    "a reset takes the last branch, whichever was asked for": mistakes.a_reset_takes_the_last_branch,
    "a reset leaves the sealed parts out": mistakes.a_reset_leaves_the_sealed_parts_out,
    "a reset seals an empty part": mistakes.a_reset_seals_an_empty_part,
    "a branch has the number of another": mistakes.a_branch_has_the_number_of_another,
    "a reset does not wait for the end": mistakes.a_reset_does_not_wait_for_the_end,
}

FOUND_BY = {
    "a reset takes the last branch, whichever was asked for": 18,
    "a reset does not wait for the end": 10,
    "a reset seals an empty part": 6,
}
"""A seed that has found the mistake, tried before the others. A change of the engine changes what happens in every seed."""


def test_every_branch_comes_to_what_its_program_says() -> None:
    _hold(SEEDS)


@pytest.mark.scale
@pytest.mark.timeout(1_200)
def test_every_branch_of_many_comes_to_what_its_program_says() -> None:
    _hold(MORE_SEEDS)


def _hold(seeds: range) -> None:
    met: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    for seed in seeds:
        sim = simulate_resets(seed, rates=_rates(seed))
        met.update(sim.met)
        faults.update(sim.faults)
    assert all(met[what] for what in ("reset", "an earlier branch", "suspended", "event"))
    assert {"kill", "freeze", "throttle", "lost", "retried", "duplicate"} <= {
        kind for kind, count in faults.items() if count
    }


@pytest.mark.parametrize("name", MISTAKES)
def test_every_mistake_is_found(name: str) -> None:
    for seed in (FOUND_BY.get(name, 0), *range(TO_FIND)):
        failure = _failure(name, seed)
        if failure is not None:
            assert not isinstance(failure.__cause__, DOES_NOT_FIT), failure
            simulate_resets(seed, rates=_rates(seed))
            return
    pytest.fail(f"{TO_FIND} seeds did not notice that {name}")


def _failure(name: str, seed: int) -> AssertionError | None:
    with ExitStack() as patches:
        for each in MISTAKES[name]():
            patches.enter_context(each)
        try:
            simulate_resets(seed, rates=_rates(seed))
        except AssertionError as error:
            return error
    return None


def _rates(seed: int) -> Rates:
    return HARSH if seed % 2 else Rates()
