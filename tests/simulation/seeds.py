"""What the worlds and their tests have in common: a seed from its beginning to its end, and the search for one that finds a mistake."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any, TypeVar

from simulation.processes import Rates
from simulation.world import Simulation

S = TypeVar("S", bound=Simulation)

TAIL = 60
HARSH = Rates(kill=0.03, freeze=0.006, throttle=0.01, lost=0.02, retried=0.02, duplicate=0.1)
"""For every other seed: what mistakes lead to is often a crash at one of few places."""

DOES_NOT_FIT = (TypeError, AttributeError, NameError)
"""What a mistake raises that no longer fits the engine it is put into: that is no mistake found."""


def to_its_end(
    world: Callable[..., S],
    at_rest: Callable[[S], object],
    seed: int,
    *,
    rates: Rates | None = None,
    trace: bool = False,
    within: Callable[[S], AbstractContextManager[Any]] = nullcontext,
) -> S:
    """Run one seed of a world; raises AssertionError with its last steps. `within`: what holds while it runs."""
    sim = world(seed, rates=rates or Rates(), trace=trace)
    try:
        with within(sim):
            sim.run()
            at_rest(sim)
    except Exception as error:
        if not trace:  # the same again, in words
            return to_its_end(world, at_rest, seed, rates=rates, trace=True, within=within)
        steps = "\n".join(sim.log[-TAIL:])
        raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}\n{steps}") from error
    return sim


def rates_of(seed: int, harsh: Rates = HARSH) -> Rates:
    return harsh if seed % 2 else Rates()


def find(
    mistake: Callable[[], Iterable[AbstractContextManager[Any]]],
    simulate: Callable[[int], object],
    seeds: Iterable[int],
) -> int:
    """The first of the seeds that notices the mistake, and holds without it. AssertionError where none does."""
    tried = 0
    for seed in seeds:
        tried += 1
        failure = _failure(mistake, simulate, seed)
        if failure is not None:
            assert not isinstance(failure.__cause__, DOES_NOT_FIT), failure
            simulate(seed)
            return seed
    raise AssertionError(f"{tried} seeds did not notice it")


def _failure(
    mistake: Callable[[], Iterable[AbstractContextManager[Any]]], simulate: Callable[[int], object], seed: int
) -> AssertionError | None:
    with ExitStack() as patches:
        for each in mistake():
            patches.enter_context(each)
        try:
            simulate(seed)
        except AssertionError as error:
            return error
    return None
