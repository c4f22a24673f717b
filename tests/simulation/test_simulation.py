"""The simulation within the tests' budget; `make simulate` runs as many seeds as asked for."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from simulation.mutations import MUTATIONS, mutated
from simulation.runner import Failure, simulate

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(240)]

BUDGET_S = 60.0
FIRST, LAST = 0, 20_000
AT_LEAST = 200
MUTATION_SEEDS = 1_500


def test_everything_holds(capsys: pytest.CaptureFixture[str]) -> None:
    faults: Counter[str] = Counter()
    began, seeds, runs, steps = time.monotonic(), 0, 0, 0
    for seed in range(FIRST, LAST):
        sim = simulate(seed)
        faults.update(sim.faults)
        seeds, runs, steps = seeds + 1, runs + sim.asked, steps + sim.steps
        if time.monotonic() - began > BUDGET_S:
            break
    with capsys.disabled():
        print(f"\n{seeds} seeds, {runs} runs, {steps} steps, {faults.total()} faults: {dict(faults)}")
    assert seeds >= AT_LEAST
    assert set(faults) == {"kill", "freeze", "throttle", "lost", "retried", "duplicate", "deployment"}


def test_a_seed_is_the_whole_of_it() -> None:
    assert [simulate(seed, trace=True).log for seed in range(5)] == [
        simulate(seed, trace=True).log for seed in range(5)
    ]


@pytest.mark.parametrize("name", MUTATIONS)
def test_every_mistake_is_found(name: str) -> None:
    with mutated(name):
        for seed in range(MUTATION_SEEDS):
            try:
                simulate(seed)
            except Failure:
                return
    pytest.fail(f"{MUTATION_SEEDS} seeds did not notice that {name}")
