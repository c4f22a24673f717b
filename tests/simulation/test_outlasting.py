"""Code that outlasts its attempt, under every fault but a freeze: no limit is exceeded by the code itself; and mistakes that this has to find."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest

from headrace.runtime import overstaying
from simulation.outlast_world import simulate_outlasting
from simulation.processes import Rates
from simulation.seeds import find, rates_of

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(120)]

SEEDS, MORE_SEEDS = range(10), range(10, 1_000)
TO_FIND = 200

HARSH = Rates(kill=0.03, freeze=0.0, throttle=0.01, lost=0.02, retried=0.02, duplicate=0.1)

MISTAKES: dict[str, Callable[[], list[Any]]] = {
    "a place is let go at the timeout": lambda: [
        patch.object(overstaying, "hold_places", lambda *given: ()),
    ],
    "the places of code that goes on are not kept": lambda: [
        patch.object(overstaying, "keep_places", lambda *given: None),
    ],
    "the places of code that has ended are not left": lambda: [
        patch.object(overstaying, "leave_places", lambda *given: None),
    ],
}


def test_no_limit_is_exceeded_by_code_that_outlasts_its_attempt() -> None:
    _hold(SEEDS)


@pytest.mark.scale
@pytest.mark.timeout(1_200)
def test_no_limit_is_exceeded_in_many_worlds() -> None:
    _hold(MORE_SEEDS)


def _hold(seeds: range) -> None:
    met: Counter[str] = Counter()
    for seed in seeds:
        met.update(simulate_outlasting(seed, rates=rates_of(seed, HARSH)).met)
    assert all(met[what] for what in ("outlasted", "died with its process", "parked at a gate", "probe"))


@pytest.mark.parametrize("name", MISTAKES)
def test_every_mistake_is_found(name: str) -> None:
    find(MISTAKES[name], lambda seed: simulate_outlasting(seed, rates=rates_of(seed, HARSH)), range(TO_FIND))
