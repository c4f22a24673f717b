"""What flows cost whose tasks have real names, options and payloads: on the memory ports, counting what AWS would bill."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.pace import pace_of_work
from support.world import World

from headrace.core.run.derived.progress import finished
from headrace.core.run.plans.plan import RunPlan, TaskPlan
from headrace.engine.attempts.ports import Outcome, Runnable, Succeeded, Work
from headrace.engine.runs.start import NewRun, start

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from counting import Counted  # type: ignore[import-not-found]  # the benchmarks' own counter
from outputs import NAMES, OWN, PASSED_ON  # type: ignore[import-not-found]  # and their payloads


def order(size: int) -> str:
    """An object such as tasks pass on, of about so many bytes: ids, amounts, texts."""
    lines: list[dict[str, object]] = []
    while len(json.dumps(lines)) < size - 60:
        number = len(lines)
        lines.append(
            {"sku": f"A-{number * 7919 % 100_000:05d}", "qty": number % 7 + 1, "unit_price": 19.9 + number}
        )
    return json.dumps({"order_id": "0b8f4c1e-5d27", "lines": lines})


def task(name: str, *parents: str) -> TaskPlan:
    return TaskPlan(name=name, parents=parents, retries=3, backoff_factor=2.0)


@dataclass(frozen=True, slots=True)
class Gives:
    """Returns the same text each time."""

    text: str
    is_async: bool = False

    def call(self, work: Work) -> Outcome:
        return Succeeded(self.text)

    async def acall(self, work: Work) -> Outcome:
        return self.call(work)


def units(
    plan: RunPlan, *, input: str | None = None, output: str | Mapping[str, str] = '{"n":1}'
) -> tuple[Counted, float]:
    """A world in which a run of the plan has taken place, and its write units; the second, as a process stores a plan once."""

    def code(workflow: str, name: str) -> Runnable:
        return Gives(output if isinstance(output, str) else output[name])

    counted = Counted([plan], code=code)
    for _ in range(2):
        counted.units.clear()
        start(counted.engine, NewRun(plan=plan, input=input))
        counted.run()
    return counted, counted.units["write"]


SINGLE = RunPlan(workflow="reconcile_all", version="1", tasks=(task(NAMES[0]),), standalone=True)
CHAIN = RunPlan(
    workflow="reconcile_all",
    version="1",
    tasks=tuple(task(name, *NAMES[at - 1 : at][: at > 0]) for at, name in enumerate(NAMES)),
)
DIAMOND = RunPlan(
    workflow="reconcile_all",
    version="1",
    tasks=(
        task(NAMES[0]),
        *(task(name, NAMES[0]) for name in NAMES[1:3]),
        task(NAMES[3], NAMES[1], NAMES[2]),
    ),
)


def layers(size: int, width: int = 10) -> RunPlan:
    """Layers of `width` tasks, each depending on the whole layer before."""
    names = [f"{NAMES[at % 10][:9]}_{at:03d}" for at in range(size)]
    tasks = [
        task(name, *names[(at // width - 1) * width : at // width * width] if at >= width else ())
        for at, name in enumerate(names)
    ]
    return RunPlan(workflow="reconcile_all", version="1", tasks=tuple(tasks))


FLOWS: list[tuple[str, RunPlan, int, str | Mapping[str, str], float]] = [
    ("a task, 300 B in and out", SINGLE, 300, order(300), 3),
    ("a task, 1 KB in and out", SINGLE, 1_000, order(1_000), 3),
    ("chain of 10, 8 B", CHAIN, 100, '{"n":1}', 12),
    ("chain of 10, an object of 200 B passed on", CHAIN, 100, PASSED_ON, 12),
    ("chain of 10, ten objects of 200 B", CHAIN, 100, OWN, 17),
    ("diamond, an object of 200 B passed on", DIAMOND, 100, PASSED_ON, 8),
    ("diamond, four objects of 200 B", DIAMOND, 100, OWN, 8),
]


@pytest.mark.parametrize(("flow", "plan", "given", "returned", "most"), FLOWS, ids=[row[0] for row in FLOWS])
def test_a_real_flow_costs_no_more_than_its_row(
    flow: str, plan: RunPlan, given: int, returned: str | Mapping[str, str], most: float
) -> None:
    _, found = units(plan, input=order(given), output=returned)
    assert found <= most, f"{flow} costs {found} write units"


@pytest.mark.parametrize("outputs", [PASSED_ON, OWN], ids=["passed on", "ten objects"])
def test_those_outputs_are_of_200_bytes(outputs: Mapping[str, str]) -> None:
    assert all(155 <= len(text) <= 222 for text in outputs.values()), sorted(map(len, outputs.values()))


@pytest.mark.parametrize(("size", "most"), [(50, 3.1), (100, 4.0), (200, 5.6), (500, 10.9)])
def test_a_task_of_a_large_graph_costs_no_more_than_its_row(size: int, most: float) -> None:
    _, found = units(layers(size), output='{"rows_written":1284}')
    assert found / size <= most


@pytest.mark.parametrize(("size", "most_ms"), [(100, 2.0), (500, 6.0)])
def test_the_engines_own_time_for_a_task_of_a_large_graph(size: int, most_ms: float) -> None:
    """CPU time of this process, the memory ports included; the best of three, on a machine of the pace that the limits are for."""
    flow = layers(size)
    spent: list[float] = []
    for _ in range(3):
        world = World(
            plans={flow.workflow: flow}, code={each.name: lambda work: {"n": 1} for each in flow.tasks}
        )
        begun = time.process_time()
        run_id = world.start(flow.workflow)
        world.drain()
        spent.append((time.process_time() - begun) * 1000 / size)
        assert finished(world.record(run_id))
    assert min(spent) <= most_ms * pace_of_work(), f"{min(spent):.1f} ms a task"
