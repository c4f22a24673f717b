"""Breadth first through the states of a world, or along random ways; what is found wrong is told with the way to it."""

from __future__ import annotations

import gc
import random
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

from exploration.plan import Plan
from exploration.words import told
from exploration.world import World
from headrace.core.waits import passes


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a search found. `complete` is False where `limit` or the bound on messages cut it short."""

    states: int
    histories: int = 0
    violation: str | None = None
    trace: tuple[str, ...] = ()
    clipped: int = 0
    complete: bool = True

    @property
    def holds(self) -> bool:
        return self.violation is None

    def __str__(self) -> str:
        if self.violation is None:
            cut = "" if self.complete else f", incomplete ({self.clipped} clipped)"
            return f"holds: {self.states:,} states, {self.histories:,} histories{cut}"
        return "\n".join(
            (f"VIOLATION after {self.states:,} states: {self.violation}", *(f"  {s}" for s in self.trace))
        )


@contextmanager
def _split(plan: Plan) -> Iterator[None]:
    """A limit of few places lies in several items."""
    with patch.object(passes, "PLACES_AN_ITEM", plan.an_item):
        yield


@contextmanager
def _no_collector() -> Iterator[None]:
    """The search makes millions of small values that live on, and hardly a cycle."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@_no_collector()
def explore(plan: Plan, *, limit: int = 1_000_000) -> Result:
    """Look at up to `limit` states. States are told apart by a hash of 64 bits: two of a million that share one would be
    taken for the same with a probability of 1 in 30 million."""
    with _split(plan):
        return _explored(plan, limit)


def _explored(plan: Plan, limit: int) -> Result:
    world = World(plan)
    first = world.first()
    seen: dict[int, tuple[int, tuple[object, ...]] | None] = {first.mark(): None}
    todo = deque([(first.mark(), first)])
    clipped = 0
    while todo:
        mark, state = todo.popleft()
        why = world.wrong(state)
        if why is not None:
            return Result(
                states=len(seen), histories=world.histories.count, violation=why, trace=_way(seen, mark)
            )
        for words, make in world.moves(state):
            after = make()
            known = after.mark()
            if known in seen:
                continue
            if len(after.messages) > plan.messages:
                clipped += 1
                continue
            seen[known] = (mark, words)
            todo.append((known, after))
        if len(seen) > limit:
            return Result(states=len(seen), histories=world.histories.count, clipped=clipped, complete=False)
    return Result(states=len(seen), histories=world.histories.count, clipped=clipped, complete=not clipped)


def wander(plan: Plan, *, seed: int, steps: int, longest: int = 5_000) -> Result:
    """Follow random ways, `steps` in total, each to its end: for plans that are too large to explore."""
    with _split(plan):
        return _wandered(plan, seed, steps, longest)


def _wandered(plan: Plan, seed: int, steps: int, longest: int) -> Result:
    chance = random.Random(seed)
    taken = 0
    while taken < steps:
        world = World(plan)
        state = world.first()
        trace: list[tuple[object, ...]] = []
        for _ in range(longest):
            why = world.wrong(state)
            if why is not None:
                words = tuple(map(told, trace))
                return Result(states=taken, violation=why, trace=words, complete=False)
            moves = world.moves(state)
            if not moves:
                break
            words_, make = chance.choices(moves, [_weight(move.words) for move in moves])[0]
            state = make()
            trace.append(words_)
            taken += 1
        else:
            return Result(states=taken, violation="no end", trace=tuple(map(told, trace)), complete=False)
    return Result(states=taken, complete=False)


RARE = ("crash", "freeze", "duplicate", "cancel", "the clock", "time passes")


def _weight(words: tuple[object, ...]) -> float:
    """Faults are rare, so that a run gets far before they are spent."""
    return 0.02 if words[0] in RARE or words[-1] == "raises" else 1.0


def _way(seen: dict[int, tuple[int, tuple[object, ...]] | None], mark: int) -> tuple[str, ...]:
    steps: list[str] = []
    at = seen[mark]
    while at is not None:
        mark, words = at
        steps.append(told(words))
        at = seen[mark]
    return tuple(reversed(steps))
