"""Batch tasks under every fault, held against what each item is to come to; and mistakes that this has to find."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack

import pytest
from support.batch_mistakes import MISTAKES

from simulation.batch_world import simulate_batches
from simulation.processes import Rates

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(120)]

DOES_NOT_FIT = (TypeError, AttributeError, NameError)
"""What a mistake raises that no longer fits the engine it is put into."""

ONCE_WRONG = (35, 57, 201, 335)
"""Seeds that have found a mistake in the engine."""

SEEDS, MORE_SEEDS = range(20), range(20, 1_500)
TO_FIND = 400

FOUND_BY = {"a member that is over owes its batch nothing": 55, "the lease of a batch is not kept": 307}
"""A seed that has found the mistake, tried before the others. A change of the engine changes what happens in every seed."""

HARSH = Rates(kill=0.03, freeze=0.006, throttle=0.01, lost=0.02, retried=0.02, duplicate=0.1)


@pytest.mark.parametrize("seed", ONCE_WRONG)
def test_what_was_found_once_does_not_come_back(seed: int) -> None:
    simulate_batches(seed, rates=_rates(seed))


def test_every_item_comes_to_what_it_is_to() -> None:
    _hold(SEEDS)


@pytest.mark.scale
@pytest.mark.timeout(1_200)
def test_every_item_of_many_comes_to_what_it_is_to() -> None:
    _hold(MORE_SEEDS)


def _hold(seeds: range) -> None:
    met: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    for seed in seeds:
        sim = simulate_batches(seed, rates=_rates(seed))
        met.update(sim.met)
        faults.update(sim.faults)
    assert all(met[what] for what in ("batch", "full batch", "batch of several", "probe"))
    assert {"kill", "freeze", "throttle", "lost", "retried", "duplicate"} <= {
        kind for kind, count in faults.items() if count
    }


@pytest.mark.parametrize("name", MISTAKES)
def test_every_mistake_is_found(name: str) -> None:
    first = [FOUND_BY[name]] if name in FOUND_BY else []
    for seed in (*first, *range(TO_FIND)):
        failure = _failure(name, seed)
        if failure is not None:
            assert not isinstance(failure.__cause__, DOES_NOT_FIT), failure
            simulate_batches(seed, rates=_rates(seed))
            return
    pytest.fail(f"{TO_FIND} seeds did not notice: {name}")


def _failure(name: str, seed: int) -> AssertionError | None:
    with ExitStack() as patches:
        for each in MISTAKES[name]():
            patches.enter_context(each)
        try:
            simulate_batches(seed, rates=_rates(seed))
        except AssertionError as error:
            return error
    return None


def _rates(seed: int) -> Rates:
    return HARSH if seed % 2 else Rates()
