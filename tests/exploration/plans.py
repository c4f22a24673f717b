"""Which plans are explored to the end, which in part, and which are followed along random ways."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from exploration.durable import BACK, EVENT, SLEEP, Step, durable
from exploration.plan import Budget, Plan, alone, gate, roots, units
from headrace.core.run.plans.plan import GateStrategy

ALONE = (
    Budget(),
    Budget(crash=1),
    Budget(dup=1),
    Budget(fail=1),
    Budget(cancel=1),
    Budget(zombie=1),
    Budget(tick=1),
)
PAIRS = (
    Budget(crash=2),
    Budget(crash=1, dup=1),
    Budget(crash=1, fail=1),
    Budget(crash=1, cancel=1),
    Budget(dup=1, cancel=1),
    Budget(zombie=1, fail=1),
    Budget(zombie=1, cancel=1),
    Budget(tick=1, crash=1),
)
CANCELLING, NEWEST = GateStrategy.CANCEL_IN_PROGRESS, GateStrategy.CANCEL_NEWEST


def _durable(*program: Step, runs: int = 1) -> Plan:
    """Runs that do this, and an event that may come at any moment."""
    return Plan(workflow=durable(), runs=runs, program=program, event=True)


SHAPES: dict[str, Plan] = {
    "one place, 2 runs": Plan(workflow=alone(gate(1))),
    "one place, 2 runs, seen before": Plan(workflow=alone(gate(1)), warm=True),
    "two places, 3 runs, seen before": Plan(workflow=alone(gate(2)), runs=3, warm=True),
    "gates of 2 and 1, 2 runs, seen before": Plan(workflow=alone(gate(2, "g"), gate(1, "h")), warm=True),
    "one slot of the worker, 2 runs": Plan(workflow=alone(), limits={"worker:default": 1}),
    "a place and a slot, 2 runs": Plan(workflow=alone(gate(1)), limits={"worker:default": 2}),
    "gates of 1 and 1, 2 runs": Plan(workflow=alone(gate(1, "g"), gate(1, "h"))),
    "gates of 1 and 2, 2 runs": Plan(workflow=alone(gate(1, "g"), gate(2, "h"))),
    "gates of 2 and 1, 2 runs": Plan(workflow=alone(gate(2, "g"), gate(1, "h"))),
    "cancelling in progress, 2 runs": Plan(workflow=alone(gate(1, strategy=CANCELLING))),
    "cancelling the newest, 2 runs": Plan(workflow=alone(gate(1, strategy=NEWEST))),
    "a unit a window, 2 runs": Plan(workflow=alone(rates=(units(),)), rates={"r": 1}),
    "a unit a window, 2 runs, seen before": Plan(workflow=alone(rates=(units(),)), rates={"r": 1}, warm=True),
    "a unit a window, 2 runs, time passes": Plan(workflow=alone(rates=(units(),)), rates={"r": 1}, early=1),
    "a place and a unit, 2 runs": Plan(workflow=alone(gate(1), rates=(units(),)), rates={"r": 1}),
    "two roots in one place, 2 runs": Plan(workflow=roots(gate(1))),
    "two roots in one place, cancelling, 2 runs": Plan(workflow=roots(gate(1, strategy=CANCELLING))),
    "one place, 3 runs": Plan(workflow=alone(gate(1)), runs=3),
    "one place, 3 runs, the last goes first": Plan(workflow=alone(gate(1)), runs=3, last_first=True),
    "one place, 4 runs of which 2 are stale": Plan(workflow=alone(gate(1)), runs=4, stale=2),
    "two places, 3 runs": Plan(workflow=alone(gate(2)), runs=3),
    "cancelling in progress, 3 runs": Plan(workflow=alone(gate(1, strategy=CANCELLING)), runs=3),
    "cancelling in progress, 2 places, 3 runs": Plan(workflow=alone(gate(2, strategy=CANCELLING)), runs=3),
    "a unit a window, 3 runs": Plan(workflow=alone(rates=(units(),)), rates={"r": 1}, runs=3),
    "two units a window, 3 runs": Plan(workflow=alone(rates=(units(),)), rates={"r": 2}, runs=3, early=1),
    "a durable sleep": replace(_durable(((SLEEP,),)), event=False),
    "a durable wait": _durable(((EVENT,),)),
    "a durable wait that looks back": _durable(((BACK,),)),
    "a durable wait or sleep": _durable(((SLEEP, EVENT),)),
    "a durable wait, then another": _durable(((EVENT,),), ((EVENT,),)),
    "a durable wait and sleep": _durable(((SLEEP,), (EVENT,))),
    "a durable wait or sleep, then a sleep": _durable(((SLEEP, EVENT),), ((SLEEP,),)),
    "two durable waits, two processes": replace(_durable(((EVENT,),), runs=2), handlers=2),
    "two durable waits or sleeps": _durable(((SLEEP, EVENT),), runs=2),
}


def _each(shape: str, budgets: Iterable[Budget]) -> dict[str, Plan]:
    return {f"{shape}; {budget}": replace(SHAPES[shape], budget=budget) for budget in budgets}


ALL: dict[str, Plan] = {
    name: plan for shape in SHAPES for name, plan in _each(shape, (*ALONE, *PAIRS)).items()
}
"""For `python -m exploration`."""

COMPLETE: dict[str, tuple[Budget, ...]] = {
    "one place, 2 runs": (Budget(), Budget(cancel=1), Budget(tick=1)),
    "one place, 2 runs, seen before": (Budget(), Budget(cancel=1)),
    "one slot of the worker, 2 runs": (Budget(), Budget(cancel=1), Budget(tick=1)),
    "a place and a slot, 2 runs": (Budget(), Budget(cancel=1)),
    "gates of 1 and 2, 2 runs": (Budget(), Budget(cancel=1)),
    "gates of 2 and 1, 2 runs": (Budget(), Budget(cancel=1)),
    "cancelling in progress, 2 runs": (
        *(each for each in ALONE if not each.zombie),
        Budget(crash=2),
        Budget(crash=1, cancel=1),
        Budget(dup=1, cancel=1),
    ),
    "cancelling the newest, 2 runs": (
        *ALONE,
        *(each for each in PAIRS if not each.zombie),
    ),
    "a unit a window, 2 runs": tuple(each for each in ALONE if not each.zombie),
    "a unit a window, 2 runs, seen before": tuple(each for each in ALONE if not each.zombie),
    "a unit a window, 2 runs, time passes": (Budget(),),
    "a place and a unit, 2 runs": (Budget(),),
    "two places, 3 runs": (Budget(),),
    "cancelling in progress, 2 places, 3 runs": (Budget(),),
    "a unit a window, 3 runs": (Budget(),),
    "a durable sleep": ALONE,
    "a durable wait": (
        *(Budget(), Budget(crash=1), Budget(dup=1), Budget(fail=1), Budget(cancel=1)),
        Budget(crash=1, dup=1),
    ),
    "a durable wait, then another": (Budget(crash=1),),
    "a durable wait that looks back": (Budget(), Budget(crash=1), Budget(dup=1)),
    "a durable wait or sleep": (Budget(), Budget(crash=1), Budget(dup=1)),
    "a durable wait or sleep, then a sleep": (Budget(),),
    "two durable waits, two processes": (Budget(), Budget(crash=1), Budget(dup=1)),
}
PLANS = {name: plan for shape, budgets in COMPLETE.items() for name, plan in _each(shape, budgets).items()}
"""Explored to the end within the tests' budget."""

CUT_SHORT = {
    name: plan
    for shape, budgets in {
        "one place, 2 runs": (*ALONE, *PAIRS),
        "one place, 2 runs, seen before": ALONE,
        "two places, 3 runs, seen before": (Budget(), Budget(crash=1), Budget(dup=1), Budget(cancel=1)),
        "gates of 2 and 1, 2 runs, seen before": (Budget(), Budget(crash=1)),
        "one slot of the worker, 2 runs": (Budget(crash=1, fail=1), Budget(zombie=1)),
        "gates of 1 and 1, 2 runs": ALONE,
        "gates of 2 and 1, 2 runs": ALONE,
        "cancelling in progress, 2 runs": (*ALONE, *PAIRS),
        "a unit a window, 2 runs": (*ALONE, *PAIRS),
        "a unit a window, 2 runs, time passes": (Budget(crash=1), Budget(dup=1), Budget(zombie=1)),
        "a place and a unit, 2 runs": (Budget(crash=1), Budget(cancel=1)),
        "two roots in one place, 2 runs": (Budget(), Budget(crash=1), Budget(cancel=1)),
        "two roots in one place, cancelling, 2 runs": (Budget(), Budget(crash=1), Budget(cancel=1)),
        "one place, 3 runs": (Budget(), Budget(crash=1), Budget(cancel=1)),
        "one place, 3 runs, the last goes first": (Budget(),),
        "one place, 4 runs of which 2 are stale": (Budget(),),
        "two places, 3 runs": (Budget(crash=1), Budget(cancel=1)),
        "cancelling in progress, 3 runs": (Budget(), Budget(crash=1)),
        "two units a window, 3 runs": (Budget(), Budget(crash=1)),
        "a durable wait": (Budget(zombie=1),),
        "a durable wait and sleep": (Budget(crash=1),),
        "two durable waits or sleeps": (Budget(cancel=1),),
    }.items()
    for name, plan in _each(shape, budgets).items()
    if name not in PLANS
}
"""Too large for the tests, which explore their beginnings and follow random ways to their ends."""

MIXED = Budget(crash=6, dup=6, fail=4, cancel=2, tick=2)
STRATEGIES: dict[str, Plan] = {
    "three places": Plan(workflow=alone(gate(3))),
    "gates of 3 and 2": Plan(workflow=alone(gate(3, "g"), gate(2, "h"))),
    "three places, seen before": Plan(workflow=alone(gate(3)), warm=True),
    "three places in two items, seen before": Plan(workflow=alone(gate(3)), warm=True, an_item=2),
    "gates of 3 and 2, seen before": Plan(workflow=alone(gate(3, "g"), gate(2, "h")), warm=True),
    "three slots of the worker": Plan(workflow=alone(), limits={"worker:default": 3}),
    "cancelling in progress": Plan(workflow=alone(gate(3, strategy=CANCELLING))),
    "cancelling the newest": Plan(workflow=alone(gate(3, strategy=NEWEST))),
    "three units a window": Plan(workflow=alone(rates=(units(),)), rates={"r": 3}, early=2),
    "three places and three units": Plan(workflow=alone(gate(3), rates=(units(),)), rates={"r": 3}),
    "two roots in three places": Plan(workflow=roots(gate(3))),
}
WANDERED: dict[str, Plan] = {
    f"{name}, 20 runs{of}": replace(plan, runs=20, budget=budget, handlers=8, messages=10_000, tickets=200)
    for of, budget in (("", MIXED), (" and zombies", replace(MIXED, zombie=3)))
    for name, plan in STRATEGIES.items()
    if "zombies" in of or not plan.split
}
"""Too large to explore: followed along random ways. Where a limit lies in several items, the clock has to see to what one of them refused."""
