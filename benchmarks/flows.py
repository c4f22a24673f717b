"""What flows cost as people write them: names of 13 characters, three retries with backoff, payloads that zlib halves.

    python benchmarks/flows.py

On the memory ports, counting what AWS would bill: a second run of each plan, as a process stores a plan once. Lambda's time is in no column:
what user code takes is the same everywhere. Step Functions is its Standard workflow; AWS durable functions leave out their charges for data.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "sdk"), str(ROOT / "benchmarks")]

from counting import Counted
from outputs import NAMES, OWN, PASSED_ON

from headrace.aws.prices import PRICES, durable_functions_dollars, step_functions_dollars
from headrace.core.run.plans.plan import RunPlan, TaskPlan
from headrace.engine.attempts.ports import Outcome, Succeeded, Work
from headrace.engine.runs.start import NewRun, start


@dataclass(frozen=True, slots=True)
class Returns:
    text: str
    is_async: bool = False

    def call(self, work: Work) -> Outcome:
        return Succeeded(self.text)

    async def acall(self, work: Work) -> Outcome:
        return self.call(work)


def order(size: int, of: str = "") -> str:
    """An order of about so many bytes: ids, amounts, texts. zlib halves it, as it does what services send each other. Each of another
    name has ids and amounts of its own."""
    lines: list[dict[str, object]] = []
    while len(json.dumps(lines)) < size - 60:
        key = hashlib.sha256(f"{of}{len(lines)}".encode()).hexdigest()
        lines.append(
            {
                "line": key[:24],
                "sku": f"{key[24:28]}-{key[28:34]}",
                "qty": len(lines) % 7 + 1,
                "price": int(key[:4], 16) / 100,
            }
        )
    return json.dumps({"order_id": "0b8f4c1e-5d27", "lines": lines})


def task(name: str, *parents: str) -> TaskPlan:
    return TaskPlan(name=name, parents=parents, retries=3, backoff_factor=2.0)


def plan(*tasks: TaskPlan) -> RunPlan:
    return RunPlan(workflow="reconcile_all", version="1", tasks=tasks, standalone=len(tasks) == 1)


def layers(size: int, width: int = 10) -> RunPlan:
    """Layers of `width` tasks, each depending on the whole layer before."""
    names = [f"{NAMES[at % 10][:9]}_{at:03d}" for at in range(size)]
    return plan(
        *(
            task(name, *names[(at // width - 1) * width : at // width * width] if at >= width else ())
            for at, name in enumerate(names)
        )
    )


SINGLE = plan(task(NAMES[0]))
CHAIN = plan(*(task(name, *NAMES[at - 1 : at][: at > 0]) for at, name in enumerate(NAMES)))
DIAMOND = plan(task(NAMES[0]), *(task(name, NAMES[0]) for name in NAMES[1:3]), task(NAMES[3], *NAMES[1:3]))
FLOWS: list[tuple[str, RunPlan, int, int | Mapping[str, str]]] = [
    ("a task, 300 B in and out", SINGLE, 300, 300),
    ("a task, 1 KB in and out", SINGLE, 1_000, 1_000),
    ("a task, 4 KB in and out", SINGLE, 4_000, 4_000),
    ("a task, 10 KB in and out", SINGLE, 10_000, 10_000),
    ("a task, 40 KB in and out", SINGLE, 40_000, 40_000),
    ("chain of 10, 8 B", CHAIN, 100, 0),
    ("chain of 10, an object of 200 B passed on", CHAIN, 100, PASSED_ON),
    ("chain of 10, ten objects of 200 B", CHAIN, 100, OWN),
    ("chain of 10, 1 KB", CHAIN, 100, 1_000),
    ("diamond of 4, four objects of 200 B", DIAMOND, 100, OWN),
    ("layers of 10, 100 tasks, 200 B", layers(100), 100, 200),
    ("layers of 10, 500 tasks, 200 B", layers(500), 100, 200),
]


def code(returned: int | Mapping[str, str], workflow: str, name: str) -> Returns:
    if not isinstance(returned, int):
        return Returns(returned[name])
    return Returns(order(returned, name) if returned else '{"n":1}')


def main() -> int:
    print(
        "| a million runs of | write units a run | Headrace | Step Functions | AWS durable functions | cheapest |\n|---|---:|---:|---:|---:|---|"
    )
    for name, each, given, returned in FLOWS:
        counted = Counted([each], code=partial(code, returned))
        for _ in range(2):
            counted.units.clear()
            counted.invocations = 0
            start(counted.engine, NewRun(plan=each, input=order(given)))
            counted.run()
        billed = {**counted.units, "index_write": 1, "invocation": counted.invocations}
        tasks = len(each.tasks)
        calls = tasks * PRICES["invocation"].dollars
        prices = {
            "Headrace": sum(PRICES[kind].dollars * count for kind, count in billed.items() if kind != "calls")
            * 1e6,
            "Step Functions": (step_functions_dollars(tasks) + calls) * 1e6,
            "durable functions": (durable_functions_dollars(tasks) + PRICES["invocation"].dollars) * 1e6,
        }
        shown = " | ".join(f"${price:,.2f}" for price in prices.values())
        print(f"| {name} | {counted.units['write']} | {shown} | {min(prices, key=lambda who: prices[who])} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
