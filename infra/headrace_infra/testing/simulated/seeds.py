"""Many seeds of one case, each in a process of its own: nothing that a run leaves in memory reaches the next."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from headrace.errors import NotConfigured
from headrace_infra.testing.simulated.case import Case, Told, checked, findings, kind_of, play
from headrace_infra.testing.simulated.children import alone, in_children
from headrace_infra.testing.simulated.patching import users_modules

T = TypeVar("T")


class SeedFailed(AssertionError):
    """A seed under which an app does something else than without faults: what, and the story of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A seed that fails, and its shortest story: only the faults that it takes happen in it."""

    seed: int
    findings: tuple[str, ...]
    told: Told

    @property
    def only(self) -> str:
        """The ordinals of its faults, for `--faults`."""
        return ",".join(str(ordinal) for ordinal, _, _ in self.told.faults)

    def __str__(self) -> str:
        faults = "\n".join(f"  {kind}: {where}" for _, kind, where in self.told.faults)
        parts = [f"seed {self.seed}: {self.findings[0]}", *(f"also: {each}" for each in self.findings[1:])]
        if self.told.faults:
            parts.append(f"what it takes:\n{faults}")
        return "\n".join([*parts, "what happened:", *self.told.story])


@dataclass(slots=True)
class Summary:
    """What came of many seeds."""

    calm: Told
    seeds: int = 0
    runs: int = 0
    requests: int = 0
    invocations: int = 0
    virtual_s: float = 0.0
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    most: dict[str, int] = field(default_factory=dict)
    again: Counter[str] = field(default_factory=Counter)
    found: list[Found] = field(default_factory=list)

    def add(self, told: Told) -> None:
        self.seeds += 1
        self.runs += told.runs
        self.requests += told.requests
        self.invocations += told.invocations
        self.virtual_s += told.virtual_s
        self.faults.update(kind for _, kind, _ in told.faults)
        self.statuses.update(told.statuses.values())
        for (_, task), count in told.executions.items():
            self.most[task] = max(self.most.get(task, 0), count)
            self.again[task] += count > 1

    @property
    def faults_an_hour(self) -> int:
        return int(sum(self.faults.values()) / max(self.seconds, 0.001) * 3600)


def simulate(
    case: Case,
    seeds: Iterable[int],
    *,
    keep_going: bool = False,
    jobs: int | None = None,
    progress: Callable[[Summary], None] | None = None,
) -> Summary:
    """Play the case once without faults, then under each seed; stops at the first that fails, unless it is to keep going.

    NotConfigured where the case cannot be run, or does not come to an end even without faults.
    """
    calm = _calm(case)
    for broken in calm.broken:
        raise NotConfigured(f"without any fault: {broken}")
    summary = Summary(calm=calm)
    began = time.monotonic()
    for told in in_children(_calls(case, seeds), jobs or os.cpu_count() or 1):
        if told.calm:
            calm = told
            continue
        summary.add(told)
        summary.seconds = time.monotonic() - began
        what = findings(told, calm)
        if what:
            summary.found.append(_shrunk(case, calm, told, what))
        if progress is not None:
            progress(summary)
        if what and not keep_going:
            break
    return summary


def replay(case: Case, seed: int, only: frozenset[int] | None = None) -> tuple[Told, list[str]]:
    """One seed again: what came of it, and what of that is a finding."""
    calm = _calm(case, 0 if case.draw is None else seed)
    told = alone(_playing(case, seed, only=only))
    return told, findings(told, calm)


def _calm(case: Case, seed: int = 0) -> Told:
    """Without faults. What that imports is imported here too, so that not every seed has to."""
    checked(case)
    calm, needed = alone(lambda: (play(case, seed, faults=False, closing=False), sorted(sys.modules)))
    for name in needed:
        if name not in sys.modules and name.split(".")[0] in sys.modules:
            with suppress(ImportError):
                importlib.import_module(name)
    users_modules()
    return calm


def _calls(case: Case, seeds: Iterable[int]) -> Iterator[Callable[[], Told]]:
    """Each seed; before it, where it has inputs of its own, the same without faults."""
    for seed in seeds:
        if case.draw is not None:
            yield _playing(case, seed, faults=False)
        yield _playing(case, seed)


def _playing(
    case: Case, seed: int, *, faults: bool = True, only: frozenset[int] | None = None
) -> Callable[[], Told]:
    return lambda: play(case, seed, faults=faults, only=only, closing=False)


def _shrunk(case: Case, calm: Told, told: Told, what: list[str]) -> Found:
    """The same finding with as few of the faults as it takes: with one alone, or without one after the other."""
    best = Found(seed=told.seed, findings=tuple(what), told=told)
    ordinals = [ordinal for ordinal, _, _ in told.faults]
    for ordinal in ordinals if len(ordinals) > 1 else ():
        found = _same(case, calm, best, frozenset({ordinal}))
        if found is not None:
            return found
    for ordinal in reversed(ordinals):
        kept = frozenset(each for each, _, _ in best.told.faults) - {ordinal}
        best = (_same(case, calm, best, kept) if kept else None) or best
    return best


def _same(case: Case, calm: Told, found: Found, only: frozenset[int]) -> Found | None:
    """The seed with these faults only, where it comes to a finding of the same kind."""
    told = alone(_playing(case, found.seed, only=only))
    what = findings(told, calm)
    if what and kind_of(what[0]) == kind_of(found.findings[0]):
        return Found(seed=found.seed, findings=tuple(what), told=told)
    return None


# ---------------------------------------------------------------- processes
