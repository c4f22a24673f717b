"""Which workers a worker may have to send to: its role allows those queues, and its function knows no others.

A task starts runs of any workflow, unless its worker says which: `hatchet.worker(..., starts=[...])`. What is owed when a task
ends goes to workers that share a workflow with it, to those whose tasks may have started it and wait, and to those that take units
of the same rate limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from headrace.core.run.plans.plan import RatePlan, RunPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Tie:
    """What a worker has to do with others. `starts`: the workflows that its tasks may start; None: any."""

    name: str
    workflows: frozenset[str]
    rates: tuple[RatePlan, ...] = ()
    starts: frozenset[str] | None = None


def ties(
    registered: Mapping[str, Iterable[str]],
    starts: Mapping[str, frozenset[str] | None],
    plans: Sequence[RunPlan],
) -> list[Tie]:
    """registered: worker -> the workflows it registers. A worker also has the workflows of which a task is planned onto it."""
    found = []
    for name, workflows in registered.items():
        own = set(workflows) | {plan.workflow for plan in plans if any(t.worker == name for t in plan.tasks)}
        rates = [rate for plan in plans if plan.workflow in own for task in plan.tasks for rate in task.rates]
        found.append(Tie(name=name, workflows=frozenset(own), rates=tuple(rates), starts=starts.get(name)))
    return found


def reach(fleet: Sequence[Tie]) -> dict[str, frozenset[str]]:
    """Worker -> the workers whose queues it may have to send to, itself among them."""
    sends = {tie.name: {tie.name} for tie in fleet}
    for one, other in combinations(fleet, 2):
        if _tied(one, other):
            sends[one.name].add(other.name)
            sends[other.name].add(one.name)
    return {name: frozenset(found) for name, found in sends.items()}


def _tied(one: Tie, other: Tie) -> bool:
    return (
        bool(one.workflows & other.workflows)
        or _may_start(one, other)
        or _may_start(other, one)
        or _share_a_rate(one, other)
    )


def _may_start(one: Tie, other: Tie) -> bool:
    return one.starts is None or bool(one.starts & other.workflows)


def _share_a_rate(one: Tie, other: Tie) -> bool:
    """An attempt that gives units back, or opens a window, wakes the next in line. A key from an expression may be any key."""
    return any(
        mine.key == theirs.key or mine.dynamic or theirs.dynamic
        for mine in one.rates
        for theirs in other.rates
    )
