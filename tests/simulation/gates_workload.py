"""Workflows whose tasks have to be admitted: gates of every strategy, slots of a worker, rate limits, inputs that give the keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from random import Random

from support.world import PythonExpressions

from headrace.core.run.plans.plan import GatePlan, GateStrategy, Json, RatePlan, RunPlan, TaskKind, TaskPlan
from simulation.workload import CHILD, Flow, draw_flow

NEVER_MS = 10**9
STRATEGIES = (GateStrategy.GROUP_ROUND_ROBIN,) * 3 + (
    GateStrategy.CANCEL_NEWEST,
    GateStrategy.CANCEL_IN_PROGRESS,
)
KEYS = ("'x'", "'x'", "input['k']", "input['k'] + 'z'")
LIMITS = (1, 1, 2, 3)
STATIC = {"fast": (3, 1_000), "slow": (4, 60_000)}
"""Static rate limits: units, and the window in milliseconds."""

MOST_SLOTS_OF_A_TASK = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """What the deployed code says of gates, by name, over time."""

    limits: Mapping[str, int]
    before: tuple[Mapping[str, int], ...] = ()

    def then(self, limits: Mapping[str, int]) -> Deployed:
        return Deployed(limits=limits, before=(*self.before, self.limits))

    def of(self, name: str, planned: int) -> list[int]:
        """Every limit that was in force for a gate; `planned`: that of the plans, which counts where nothing is deployed."""
        return [each.get(name, planned) for each in (*self.before, self.limits)]


def strategy_of(name: str) -> GateStrategy:
    """A gate's name ends in its strategy; a worker's slots are a line."""
    return (
        GateStrategy.GROUP_ROUND_ROBIN if name.startswith("worker:") else GateStrategy(name.rsplit("/", 1)[1])
    )


def draw_input(random: Random) -> dict[str, Json]:
    """What the expressions of gates and limits read."""
    return {"n": 1, "k": random.choice("aab"), "u": random.choice((1, 1, 2)), "m": random.choice((2, 3))}


def draw_gated_flow(random: Random, name: str) -> Flow:
    """A flow of few tasks, some of which (or the whole of which) have to be admitted."""
    bare = draw_flow(random, name, sizes=(1, 1, 1, 2, 3, 4))
    of_run = tuple(_gates(random, f"{name}/run", random.choice((0, 0, 1, 1, 2))))
    impatient = random.random() < 0.12
    tasks = tuple(_admitted(random, name, task, of_run, impatient=impatient) for task in bare.plan.tasks)
    standalone = len(bare.plan.tasks) == 1 and random.random() < 0.7
    return Flow(
        plan=replace(bare.plan, tasks=tasks, gates=of_run, standalone=standalone),
        scripts=bare.scripts,
        impatient=impatient,
    )


def _admitted(
    random: Random, workflow: str, task: TaskPlan, of_run: tuple[GatePlan, ...], *, impatient: bool
) -> TaskPlan:
    if task.kind is not TaskKind.NORMAL or random.random() < 0.25:
        return replace(task, slot_cost=random.randrange(1, MOST_SLOTS_OF_A_TASK + 1))
    count = random.choice((1, 1, 2)) if not of_run else random.choice((0, 0, 1))
    return replace(
        task,
        gates=tuple(_gates(random, f"{workflow}/{task.name}", count)),
        rates=tuple(_rates(random, random.choice((0, 0, 0, 1, 1, 2)))),
        slot_cost=random.randrange(1, MOST_SLOTS_OF_A_TASK + 1),
        schedule_timeout_ms=random.choice((2_000, 70_000)) if impatient else NEVER_MS,
    )


def _gates(random: Random, place: str, count: int) -> Iterator[GatePlan]:
    for number in range(count):
        strategy = random.choice(STRATEGIES)
        yield GatePlan(
            name=f"{place}/{number}/{strategy.value}",
            expression=random.choice(KEYS),
            max_runs=random.choice(LIMITS),
            strategy=strategy,
        )


def _rates(random: Random, count: int) -> Iterator[RatePlan]:
    for key in random.sample((*STATIC, "dynamic 1", "dynamic 60"), count):
        if key in STATIC:
            yield RatePlan(key=key, units=random.choice(("1", "2", "input['u']")))
        else:
            window_s = int(key.split()[1])
            limit = random.choice(("2", "3", "input['m']"))
            yield RatePlan(
                key=f"'{window_s}-' + input['k']",
                dynamic=True,
                units=random.choice(("1", "input['u']")),
                limit=limit,
                window_s=window_s,
            )


GATED_CHILD = Flow(
    plan=RunPlan(
        workflow="child",
        version="1",
        tasks=(
            replace(
                CHILD.plan.task("c"),
                gates=(GatePlan(name="child/c/0/rr", expression="'all'", max_runs=2),),
            ),
        ),
        standalone=True,
    ),
    scripts=CHILD.scripts,
)
"""What parents spawn where gates are: the same task, of which two run at once."""


def first_limits(random: Random, flows: Mapping[str, Flow]) -> dict[str, int]:
    """What is deployed at first: mostly what the plans say, sometimes the slots of a worker too."""
    return {
        f"worker:{worker}": random.randrange(MOST_SLOTS_OF_A_TASK, 5)
        for worker in ("default", "gpu")
        if random.random() < 0.3
    }


def other_limits(random: Random, flows: Mapping[str, Flow], limits: Mapping[str, int]) -> dict[str, int]:
    """What a deployment makes of them: raised, lowered, or as they were."""
    slots = {name: random.randrange(MOST_SLOTS_OF_A_TASK, 5) for name in limits if name.startswith("worker:")}
    gates = {
        gate.name: random.choice((1, 2, 3, 5)) for flow in flows.values() for gate in gates_of(flow.plan)
    }
    return slots | {name: limit for name, limit in gates.items() if random.random() < 0.7}


def gates_of(plan: RunPlan) -> list[GatePlan]:
    return [*plan.gates, *(gate for task in plan.tasks for gate in task.gates)]


def key_of(gate: GatePlan, value: Mapping[str, Json]) -> str:
    """The key that a run of that input has at a gate."""
    return str(PythonExpressions().evaluate(gate.expression, {"input": dict(value)}))
