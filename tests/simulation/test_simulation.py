"""The simulation within the tests' budget; `make simulate` runs as many seeds as asked for."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import pytest

from simulation.mutations import GATE_MUTATIONS, MUTATIONS, mutated
from simulation.processes import Rates
from simulation.runner import Failure, simulate

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(240)]

BUDGET_S = 100
FIRST, LAST = 0, 20_000
AT_LEAST = 200
MUTATION_SEEDS = 1_500

FAULTS = {"kill", "freeze", "throttle", "lost", "retried", "duplicate", "old_receipt", "deployment"}
MET = {
    "gated run", "parked at a gate", "parked at a rate", "parked at a pause", "eviction", "refill", "window", "pause",
    "entry to a split gate", "turned away", "probe",
}  # fmt: skip
HARSH = Rates(kill=0.03, freeze=0.01, throttle=0.0, lost=0.02, retried=0.03, duplicate=0.1)
"""For mistakes of admission: what they lead to is a crash at one of few places, or a delivery at one of few moments."""


Tells = Callable[[str, object], None]

ONCE_WRONG = (
    923, 1213, 1355, 1633, 1771, 21459, 22417, 22897, 41765, 42211, 43013, 45459, 45561, 46059, 51253, 51581, 60681, 60709, 65037,
    102047, 202993, 300181, 303973,
)  # fmt: skip
"""Seeds that have found a mistake in the engine, or in what is checked."""


@pytest.mark.parametrize("seed", ONCE_WRONG)
def test_what_was_found_once_does_not_come_back(seed: int) -> None:
    simulate(seed)


def test_everything_holds(record_property: Tells) -> None:
    faults: Counter[str] = Counter()
    met: Counter[str] = Counter()
    began, seeds, runs, steps = time.monotonic(), 0, 0, 0
    for seed in range(FIRST, LAST):
        sim = simulate(seed)
        faults.update(sim.faults)
        met.update(sim.met)
        seeds, runs, steps = seeds + 1, runs + sim.asked, steps + sim.steps
        if time.monotonic() - began > BUDGET_S:
            break
    record_property(
        "told", f"{seeds} seeds, {runs} runs, {steps} steps, {faults.total()} faults: {dict(faults)}"
    )
    record_property("told", f"of gates and limits: {dict(met)}")
    assert seeds >= AT_LEAST
    assert {kind for kind, count in faults.items() if count} == FAULTS
    assert {kind for kind, count in met.items() if count} == MET


def test_a_seed_is_the_whole_of_it() -> None:
    assert [simulate(seed, trace=True).log for seed in range(5)] == [
        simulate(seed, trace=True).log for seed in range(5)
    ]


@pytest.mark.parametrize("name", MUTATIONS)
def test_every_mistake_is_found(name: str) -> None:
    _is_found(name, range(MUTATION_SEEDS), Rates())


@pytest.mark.parametrize("name", GATE_MUTATIONS)
def test_every_mistake_of_admission_is_found(name: str) -> None:
    _is_found(name, range(1, 2 * MUTATION_SEEDS, 2), Rates(), HARSH)


def _is_found(name: str, seeds: range, *rates: Rates) -> None:
    """By one of the seeds at least; those of worlds that have gates are odd."""
    with mutated(name):
        for seed in seeds:
            try:
                simulate(seed, rates=rates[seed // 2 % len(rates)])
            except Failure:
                return
    pytest.fail(f"{len(seeds)} seeds did not notice that {name}")
