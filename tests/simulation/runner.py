"""One seed from beginning to end, and what it prints when it fails."""

from __future__ import annotations

from simulation.checks import at_rest
from simulation.world import Rates, Simulation

TAIL = 60


class Failure(AssertionError):
    """A seed that broke an invariant, with its last steps in words and the command that replays it."""


def simulate(seed: int, *, rates: Rates | None = None, trace: bool = False) -> Simulation:
    """Run one seed; raises Failure."""
    sim = Simulation(seed, rates=rates or Rates(), trace=trace)
    try:
        sim.run()
        at_rest(sim)
    except Exception as error:
        if not trace:
            return simulate(seed, rates=rates, trace=True)  # the same again, in words
        steps = "\n".join(sim.log[-TAIL:])
        raise Failure(
            f"seed {seed}: {type(error).__name__}: {error}\n{steps}\nreplay: make simulate SEEDS={seed}"
        ) from error
    return sim
