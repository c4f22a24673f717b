"""The plans that this process has met, by hash: the records of runs name theirs by it."""

from __future__ import annotations

from headrace.core.run.plans.encoding import plan_hash
from headrace.core.run.plans.plan import RunPlan


class UnknownPlan(Exception):
    """This process does not know the plan of that hash (yet): it is to be read from the table."""

    def __init__(self, hash: str) -> None:
        super().__init__(hash)
        self.hash = hash


_KNOWN: dict[str, RunPlan] = {}
"""The plans that this process has met, by hash. As a hash stands for one plan for ever, this changes no result, only what is read."""

MOST_KNOWN = 2_000


def remember_plan(plan: RunPlan) -> str:
    """The plan's hash; from here on `known_plan` gives the plan for it."""
    name = plan_hash(plan)
    if name not in _KNOWN:
        if len(_KNOWN) >= MOST_KNOWN:
            del _KNOWN[next(iter(_KNOWN))]
        _KNOWN[name] = plan
    return name


def known_plan(hash: str) -> RunPlan:
    """The plan of that hash. UnknownPlan where this process has not met it."""
    try:
        return _KNOWN[hash]
    except KeyError:
        raise UnknownPlan(hash) from None
