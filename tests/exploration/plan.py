"""What is explored: runs, their gates and limits, what may go wrong and how often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from headrace.core.run.plans.plan import GatePlan, GateStrategy, RatePlan, RunPlan, TaskPlan
from headrace.core.waits.passes import PLACES_AN_ITEM

KINDS = ("crash", "dup", "zombie", "fail", "cancel", "tick")
CRASH, DUP, ZOMBIE, FAIL, CANCEL, TICK = range(len(KINDS))

WORKER = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How often each fault may strike. `tick`: how often the clock looks at the gates at any moment."""

    crash: int = 0
    dup: int = 0
    zombie: int = 0
    fail: int = 0
    cancel: int = 0
    tick: int = 0

    def __str__(self) -> str:
        given = [f"{getattr(self, kind)} {kind}" for kind in KINDS if getattr(self, kind)]
        return ", ".join(given) or "no faults"

    @property
    def counts(self) -> tuple[int, ...]:
        return tuple(getattr(self, kind) for kind in KINDS)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Runs of one workflow. `early`: how often time passes to the next window while something happens."""

    workflow: RunPlan
    runs: int = 2
    budget: Budget = field(default_factory=Budget)
    limits: Mapping[str, int] = field(default_factory=dict)
    rates: Mapping[str, int] = field(default_factory=dict)
    early: int = 0
    an_item: int = PLACES_AN_ITEM  # how many places of a limit lie in one item
    warm: bool = False  # processes have seen the rate limits before, and every concurrency limit full
    handlers: int = 3
    messages: int = 7
    tickets: int = 8  # a task that needs more is refused again and again
    stale: int = 0  # so many runs are over, their messages come once more, and a mark was left behind
    last_first: bool = False  # the last run has priority
    program: tuple[tuple[tuple[str, ...], ...], ...] = ()  # what each run does, where it is a durable task
    event: bool = False  # one is pushed at the beginning: it may come at any moment
    refill: bool = False  # a refill is due from the beginning, and no task waits any more

    @property
    def split(self) -> bool:
        """Whether limits lie in more items than they would."""
        return self.an_item < PLACES_AN_ITEM

    @cached_property
    def allowed(self) -> frozenset[int]:
        """The kinds of faults that may strike."""
        return frozenset(kind for kind, count in enumerate(self.budget.counts) if count)

    def allows(self, kind: int) -> bool:
        return kind in self.allowed


def gate(limit: int, name: str = "g", strategy: GateStrategy = GateStrategy.GROUP_ROUND_ROBIN) -> GatePlan:
    return GatePlan(name=name, expression="'k'", max_runs=limit, strategy=strategy)


def alone(*gates: GatePlan, rates: tuple[RatePlan, ...] = ()) -> RunPlan:
    """A standalone task at these gates, in order."""
    task = TaskPlan(name="t", retries=2, schedule_timeout_ms=DAY_MS, rates=rates)
    return RunPlan(workflow="w", version="1", tasks=(task,), gates=gates, standalone=True)


def roots(*gates: GatePlan, tasks: tuple[str, ...] = ("t", "u")) -> RunPlan:
    """A workflow of several roots, whose runs hold these gates."""
    each = tuple(TaskPlan(name=name, retries=2, schedule_timeout_ms=DAY_MS) for name in tasks)
    return RunPlan(workflow="w", version="1", tasks=each, gates=gates)


def units(number: int = 1, key: str = "r") -> RatePlan:
    return RatePlan(key=key, units=str(number))


DAY_MS = 86_400_000
