"""Resets of durable tasks under every fault, held against which generation made each operation; and mistakes that this has to find."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from support import durable_mistakes as mistakes

from simulation.reset_world import simulate_resets
from simulation.seeds import find, rates_of

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(120)]

SEEDS, MORE_SEEDS = range(12), range(12, 1_000)
TO_FIND = 300

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
        sim = simulate_resets(seed, rates=rates_of(seed))
        met.update(sim.met)
        faults.update(sim.faults)
    assert all(met[what] for what in ("reset", "an earlier branch", "suspended", "event"))
    assert {"kill", "freeze", "throttle", "lost", "retried", "duplicate"} <= {
        kind for kind, count in faults.items() if count
    }


@pytest.mark.parametrize("name", MISTAKES)
def test_every_mistake_is_found(name: str) -> None:
    find(
        MISTAKES[name],
        lambda seed: simulate_resets(seed, rates=rates_of(seed)),
        (FOUND_BY.get(name, 0), *range(TO_FIND)),
    )
