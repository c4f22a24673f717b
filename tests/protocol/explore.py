"""Breadth first through every state of a model; the first one that is wrong is told with the way to it."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from protocol.model import Label

State = Any
"""Hashable; its second part is the messages."""


class Explorable(Protocol):
    """A model: where it begins, where it goes from each state, and what is wrong with one."""

    def first(self) -> State: ...

    def successors(self, state: State) -> Sequence[tuple[Label, State]]: ...

    def wrong(self, state: State) -> str | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a search found. `complete` is False where `limit` or the bound on messages cut it short."""

    states: int
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
            return f"holds: {self.states:,} states{cut}"
        return "\n".join((f"VIOLATION: {self.violation}", *(f"  {step}" for step in self.trace)))


def explore(model: Explorable, *, limit: int = 3_000_000, messages: int = 7) -> Result:
    """Look at up to `limit` states; those with more than `messages` messages are not followed."""
    first = model.first()
    seen: dict[State, tuple[Label, State] | None] = {first: None}
    todo = deque([first])
    clipped = 0
    while todo:
        state = todo.popleft()
        why = model.wrong(state)
        if why is not None:
            return Result(states=len(seen), violation=why, trace=_way(seen, state))
        for label, after in model.successors(state):
            first_word = label[0]
            if isinstance(first_word, str) and first_word.startswith("!"):
                trace = (*_way(seen, state), _words(label))
                return Result(states=len(seen), violation=first_word[1:], trace=trace)
            if after in seen:
                continue
            if len(after[1]) > messages:
                clipped += 1
                continue
            seen[after] = (label, state)
            todo.append(after)
        if len(seen) > limit:
            return Result(states=len(seen), clipped=clipped, complete=False)
    return Result(states=len(seen), clipped=clipped, complete=not clipped)


def wander(model: Explorable, *, seed: int, steps: int, longest: int = 400) -> Result:
    """Follow random ways, `steps` in total, each to its end: for plans that are too large to explore."""
    chance = random.Random(seed)
    taken = 0
    while taken < steps:
        state = model.first()
        trace: list[Label] = []
        for _ in range(longest):
            why = model.wrong(state)
            if why is not None:
                return Result(states=taken, violation=why, trace=tuple(map(_words, trace)), complete=False)
            moves = model.successors(state)
            if not moves:
                break
            label, state = moves[int(chance.random() * len(moves))]
            trace.append(label)
            taken += 1
            if str(label[0]).startswith("!"):
                words = tuple(map(_words, trace))
                return Result(states=taken, violation=str(label[0])[1:], trace=words, complete=False)
    return Result(states=taken, complete=False)


def _way(seen: dict[State, tuple[Label, State] | None], state: State) -> tuple[str, ...]:
    steps: list[str] = []
    at = seen[state]
    while at is not None:
        label, state = at
        steps.append(_words(label))
        at = seen[state]
    return tuple(reversed(steps))


def _words(label: Label) -> str:
    return " ".join(str(part) for part in label)
