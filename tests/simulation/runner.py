"""One seed from beginning to end: whole, or cut down to some of its faults and clients."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from simulation.checks import at_rest
from simulation.processes import Rates
from simulation.world import Simulation

TAIL = 60
CLIENT = "client "


class Failure(AssertionError):
    """A seed that broke an invariant, with its last steps in words and the command that replays it."""


def simulate(seed: int, *, rates: Rates | None = None, trace: bool = False) -> Simulation:
    """Run one seed; raises Failure. `simulation.shrink.explain` finds out how little of the seed suffices to fail."""
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


# ---------------------------------------------------------------- a part of a seed


@dataclass(frozen=True, slots=True)
class Numbers:
    """A set of ordinal numbers, written `0-6,8-`: a range without an end holds all that follow."""

    ranges: tuple[tuple[int, int | None], ...] = ()

    @staticmethod
    def parse(text: str) -> Numbers:
        """What `str` wrote; ValueError where it is none."""
        ranges: list[tuple[int, int | None]] = []
        for part in filter(None, text.split(",")):
            first, dash, last = part.partition("-")
            ranges.append((int(first), None if dash and not last else int(last or first)))
        return Numbers(tuple(ranges))

    @staticmethod
    def of(numbers: Iterable[int]) -> Numbers:
        return Numbers(tuple((number, number) for number in sorted(numbers)))

    @staticmethod
    def all_but(numbers: Iterable[int]) -> Numbers:
        """Everything else, without an end."""
        ranges: list[tuple[int, int | None]] = []
        first = 0
        for number in sorted(numbers):
            if first < number:
                ranges.append((first, number - 1))
            first = number + 1
        return Numbers((*ranges, (first, None)))

    def __contains__(self, number: int) -> bool:
        return any(first <= number and (last is None or number <= last) for first, last in self.ranges)

    def __str__(self) -> str:
        return ",".join(
            f"{first}" if first == last else f"{first}-{'' if last is None else last}"
            for first, last in self.ranges
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A seed without some of its faults (by their ordinal numbers as they are drawn) and some of its clients."""

    seed: int
    suppressed: Numbers = Numbers()
    without_clients: Numbers = Numbers()

    @property
    def options(self) -> str:
        """What follows `--seeds` to run it again."""
        named = (("--suppress", self.suppressed), ("--without-clients", self.without_clients))
        return " ".join(f"{option} {numbers}" for option, numbers in named if numbers.ranges)

    @property
    def command(self) -> str:
        arguments = f' SIMULATE_ARGS="{self.options}"' if self.options else ""
        return f"make simulate SEEDS={self.seed}{arguments}"


@dataclass
class CutSimulation(Simulation):
    """A world in which some faults are drawn and do not happen, and some clients never come."""

    cut: Cut = field(kw_only=True)
    drawn: int = 0
    injected: set[int] = field(default_factory=set)
    clients: set[int] = field(default_factory=set)

    def spawn(self, name: str, body: Callable[[], None], delay_ms: int = 0) -> None:
        if name.startswith(CLIENT):
            number = int(name.removeprefix(CLIENT))
            if number in self.cut.without_clients:
                return
            self.clients.add(number)
        super().spawn(name, body, delay_ms)

    def hit(self, kind: str) -> bool:
        """Suppressed after the draw: the decisions up to here are the same with and without this fault."""
        if not super().hit(kind):
            return False
        ordinal, self.drawn = self.drawn, self.drawn + 1
        if ordinal in self.cut.suppressed:
            self.faults[kind] -= 1
            if self.trace:
                self.log[-1] += " (suppressed)"
            return False
        self.injected.add(ordinal)
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """How a run of a seed failed, and which faults and clients took part."""

    error: str
    faults: frozenset[int]
    clients: frozenset[int]

    @property
    def size(self) -> int:
        return len(self.faults) + len(self.clients)

    @property
    def kind(self) -> str:
        """The error without what differs between two runs that fail in the same way: run ids, numbers, how many tasks."""
        without_numbers = re.sub(r"\d+", "#", RUN_ID.sub("…", self.error))
        return LISTED.sub(lambda found: ", ".join(sorted(set(found.group().split(", ")))), without_numbers)


LISTED = re.compile(r"(?<=[{\[])[^{}\[\]]+")
RUN_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def broken_by(sim: CutSimulation) -> Broken | None:
    """Run it; what it broke, None where all held."""
    try:
        sim.run()
        at_rest(sim)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is the finding
        return Broken(
            error=f"{type(error).__name__}: {error}",
            faults=frozenset(sim.injected),
            clients=frozenset(sim.clients),
        )
    return None
