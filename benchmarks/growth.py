"""How the bill grows: DAGs of 10 to 500 tasks, chains, and 10 to 10,000 children of one parent.

    python benchmarks/growth.py

On the memory ports, counting what AWS would bill. A task's units stay flat while the record is small; a record of hundreds of tasks is
billed by its size at every write, so the units a task grow with the DAG: split a large DAG into child runs.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / name) for name in ("sdk", "tests", "benchmarks")]

from counting import Counted
from support.families import Family

from headrace.core.run.plans.plan import RunPlan, TaskPlan
from headrace.engine.attempts.ports import Outcome, Work
from headrace.engine.runs.start import NewRun, start


def layered(size: int, width: int) -> RunPlan:
    """Layers of `width` tasks, each depending on the whole layer before."""
    tasks: list[TaskPlan] = []
    for number in range(size):
        layer = number // width
        parents = tuple(f"t{each}" for each in range((layer - 1) * width, layer * width)) if layer else ()
        tasks.append(TaskPlan(name=f"t{number}", parents=parents))
    return RunPlan(workflow="dag", version="1", tasks=tuple(tasks))


def row(name: str, size: int, counted: Counted) -> None:
    units = counted.units
    print(
        f"| {name} | {size:,} | {units['write'] / size:.2f} | {units['read'] / size:.2f} | {units['sqs'] / size:.2f} "
        f"| {counted.invocations / size:.2f} | {units['calls'] / size:.2f} |"
    )


def dag(name: str, size: int, width: int) -> None:
    plan = layered(size, width)
    counted = Counted([plan])
    start(counted.engine, NewRun(plan=plan, input=None))
    counted.run()
    row(name, size, counted)


class Parent:
    """Spawns its children, suspends, and is woken once."""

    is_async = False

    def __init__(self, family: list[Family]) -> None:
        self.family = family

    def call(self, work: Work) -> Outcome:
        return self.family[0].call(work)

    async def acall(self, work: Work) -> Outcome:
        return self.call(work)


def children(size: int) -> None:
    child = RunPlan(workflow="child", version="1", tasks=(TaskPlan(name="child"),), standalone=True)
    parent = RunPlan(workflow="parent", version="1", tasks=(TaskPlan(name="parent"),), standalone=True)
    family: list[Family] = []
    from counting import Returns

    counted = Counted(
        [child, parent], code=lambda flow, task: Parent(family) if flow == "parent" else Returns()
    )
    family.append(Family(counted.engine, child, size))
    start(counted.engine, NewRun(plan=parent, input=None))
    counted.run()
    row("children of one parent, a child", size, counted)


def main() -> int:
    print(
        "| shape | size | write units | read units | SQS requests | invocations | AWS calls |\n|---|---:|---:|---:|---:|---:|---:|"
    )
    for size in (10, 100):
        dag("chain, a task", size, 1)
    for size in (10, 50, 100, 200, 500):
        dag("layers of 10, a task", size, 10)
    for size in (10, 100, 1_000, 10_000):
        children(size)
    return 0


if __name__ == "__main__":
    sys.exit(main())
