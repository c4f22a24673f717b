"""The simulation within the tests' budget; `make simulate` runs as many seeds as asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from simulation.mutations import GATE_MUTATIONS, MUTATIONS, mutated
from simulation.processes import Rates
from simulation.runner import Failure, simulate

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(240)]

SEEDS, MORE_SEEDS = range(250), range(250, 5_000)
MUTATION_SEEDS = 1_500

FAULTS = {"kill", "freeze", "throttle", "lost", "retried", "duplicate", "old_receipt", "deployment"}
MET = {
    "gated run", "parked at a gate", "parked at a rate", "parked at a pause", "eviction", "refill", "window", "pause",
    "entry to a split gate", "turned away", "probe", "together",
}  # fmt: skip
HARSH = Rates(kill=0.03, freeze=0.01, throttle=0.0, lost=0.02, retried=0.03, duplicate=0.1)
"""For mistakes of admission: what they lead to is a crash at one of few places, or a delivery at one of few moments."""

DOES_NOT_FIT = (TypeError, AttributeError, NameError, RecursionError)
"""What a mutation raises that no longer fits the engine it is put into: that is no mistake found."""

FOUND_BY: dict[str, tuple[int, ...]] = {
    "who parks does not look again": (161,),
    "a victim is not cancelled": (53,),
    "a takeover is not fenced": (5,),
    "a join fires at its first parent": (86,),
    "a join is opened again": (757,),
    "a crashed chain forgets its riders": (121,),
    "a parking parent does not look again": (148,),
    "a worker that puts the record forgets the other roots": (142,),
    "a commit is not fenced": (34,),
    "units are taken whatever is left": (39,),
    "a crashed retry is forgotten by its message": (232,),
    "one of those that ran side by side is enough": (384,),
}
"""Seeds that have found a mistake, tried before the others. A change of the engine changes what happens in every seed: where one of
these finds nothing any more, the search goes on through all the others, and the new one may be put here."""

TWICE = Rates(duplicate=0.3)
"""In some worlds that messages are delivered twice is common."""

OF_ITS_OWN = {
    "a takeover is not fenced": Rates(
        kill=0.06, freeze=0.0, throttle=0.0, lost=0.0, retried=0.0, duplicate=1.0
    ),
    "one of those that ran side by side is enough": Rates(kill=0.03),
    "a parking parent does not look again": Rates(
        kill=0.0, freeze=0.05, throttle=0.0, lost=0.0, retried=0.0, duplicate=0.0
    ),
}
"""Where workers have to be lost, or two deliveries have to meet over the same lost worker, that is what goes wrong, and nothing else."""

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
    _hold(SEEDS, record_property)


@pytest.mark.scale
@pytest.mark.timeout(1_800)
def test_everything_holds_in_thousands_of_worlds(record_property: Tells) -> None:
    _hold(MORE_SEEDS, record_property)


def _hold(seeds: range, record_property: Tells) -> None:
    """Every seed; and of all that can happen to it, something happened to one of them."""
    faults: Counter[str] = Counter()
    met: Counter[str] = Counter()
    runs, steps = 0, 0
    for seed in seeds:
        sim = simulate(seed, rates=TWICE if seed % 10 == 0 else Rates())
        faults.update(sim.faults)
        met.update(sim.met)
        runs, steps = runs + sim.asked, steps + sim.steps
    record_property(
        "told", f"{len(seeds)} seeds, {runs} runs, {steps} steps, {faults.total()} faults: {dict(faults)}"
    )
    record_property("told", f"of gates and limits: {dict(met)}")
    assert {kind for kind, count in faults.items() if count} == FAULTS
    assert {kind for kind, count in met.items() if count} == MET


def test_a_seed_is_the_whole_of_it() -> None:
    assert [simulate(seed, trace=True).log for seed in range(5)] == [
        simulate(seed, trace=True).log for seed in range(5)
    ]


@pytest.mark.parametrize("name", MUTATIONS)
def test_every_mistake_is_found(name: str) -> None:
    _is_found(name, range(MUTATION_SEEDS), OF_ITS_OWN.get(name, Rates()))


@pytest.mark.parametrize("name", GATE_MUTATIONS)
def test_every_mistake_of_admission_is_found(name: str) -> None:
    _is_found(name, range(1, 2 * MUTATION_SEEDS, 2), Rates(), HARSH)


def _is_found(name: str, seeds: range, *rates: Rates) -> None:
    """By one of the seeds at least, of which those of worlds that have gates are odd; and without the mistake the same seed holds."""
    for seed in (*FOUND_BY.get(name, ()), *seeds):
        failure = _failure(name, seed, rates[seed // 2 % len(rates)])
        if failure is not None:
            assert not isinstance(failure.__cause__, DOES_NOT_FIT), failure
            simulate(seed, rates=rates[seed // 2 % len(rates)])
            return
    pytest.fail(f"{len(seeds)} seeds did not notice that {name}")


def _failure(name: str, seed: int, rates: Rates) -> Failure | None:
    with mutated(name):
        try:
            simulate(seed, rates=rates)
        except Failure as failure:
            return failure
    return None
