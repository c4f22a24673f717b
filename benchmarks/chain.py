"""A chain of ten steps, and ten short waits, beside the AWS durable execution SDK for Python: what is billed, and CPU a step.

    python benchmarks/chain.py        (the peer: make .venv-peers/.locked)

Each in one process on its own in-memory stand-in for AWS, so the CPU holds the SDK's own work and no network; a wait takes no time, and
ends its invocation. Rounds take turns. The peer's price is $8.00 a million durable operations (a third-party reading of the pricing page;
its charges for data are not verified and left out). Exit code 1 where CPU a step is more than half of the peer's, or cannot be compared.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / name) for name in ("sdk", "handlers", "infra", "benchmarks")]

from counting import Counted

from headrace import Context, DurableContext, Hatchet
from headrace.aws.prices import PRICES, durable_functions_dollars
from headrace.core.run.derived.progress import run_status
from headrace.core.run.record import RunStatus
from headrace.engine.attempts.ports import Host, Runnable, Work
from headrace.engine.engine import Engine, Limits
from headrace.engine.runs.claimed import Claimed
from headrace.engine.runs.read import read
from headrace.memory.queues import MemoryQueues
from headrace.memory.store import MemoryStore
from headrace.ports import Ports
from headrace.runtime.control import LiveControl
from headrace.runtime.deadline import Ending
from headrace.runtime.loop import ProcessLoop
from headrace_handlers.boot import host_for

STEPS = 10
RUNS, ROUNDS = 60, 3
AIM = 0.5
PEER = ROOT / ".venv-peers" / "bin" / "python"

hatchet = Hatchet()
fused = hatchet.workflow(name="fused")
LOOP = ProcessLoop()


def add(number: int, parents: list[object]) -> object:
    @fused.task(name=f"step{number}", parents=parents)  # type: ignore[arg-type]
    def step(input: dict, ctx: Context) -> dict[str, int]:  # type: ignore[type-arg]  # the least that a task can declare
        return {"n": number}

    return step


last: list[object] = []
for number in range(STEPS):
    last = [add(number, last)]


async def one(number: int) -> dict[str, int]:
    return {"n": number}


@hatchet.durable_task(name="steps")
async def steps(input: dict, ctx: DurableContext) -> dict[str, int]:  # type: ignore[type-arg]
    found = {"n": 0}
    for number in range(STEPS):
        found = await ctx._aio_memo(one, dict[str, int], number)
    return found


@hatchet.durable_task(name="waits")
async def waits(input: dict, ctx: DurableContext) -> dict[str, int]:  # type: ignore[type-arg]
    for _ in range(STEPS):
        await ctx.aio_sleep_for("1s")
    return {"n": STEPS}


hatchet.worker("default", workflows=[fused, steps, waits])


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a run: requests to AWS, dollars without Lambda's time, CPU a step."""

    requests: float
    dollars: float
    cpu_ms: float


def on_the_loop(
    engine: Engine, host: Host, claimed: Claimed, control: LiveControl, runnable: Runnable, work: Work
) -> Ending:
    return LOOP.run(runnable.acall(work)) if runnable.is_async else runnable.call(work)


def headrace(name: str) -> Cost:
    counted = Counted([], limits=Limits(hold_s=0), runner=on_the_loop)
    run_all(counted, name)
    units = {kind: each / RUNS for kind, each in counted.units.items()}
    units["index_write"], units["invocation"] = 1, counted.invocations / RUNS
    dollars = sum(PRICES[kind].dollars * count for kind, count in units.items() if kind != "calls")
    return Cost(
        units["calls"],
        dollars * 1e6,
        run_all(Uncounted([], limits=Limits(hold_s=0), runner=on_the_loop), name),
    )


class Uncounted(Counted):
    """The same world on the plain memory ports: what the counting takes is no cost of the SDK's."""

    def __post_init__(self) -> None:
        Counted.__post_init__(self)
        plain = MemoryQueues(self.clock)
        self.store, self.queues = MemoryStore(), plain  # type: ignore[assignment]


def run_all(world: Counted, name: str) -> float:
    """CPU a step, in ms."""
    hatchet.use(
        Ports(store=world.store, queues=world.queues, clock=world.clock, ids=world.engine.ids),
        limits=world.limits,
    )
    world.engine, world.host = hatchet.engine, host_for(hatchet, "default", keeps_code=True)
    workflow = hatchet._workflows_by_name[name]
    began = time.process_time()
    for _ in range(RUNS):
        ref = workflow.run({}, wait_for_result=False)
        world.run()
    cpu_ms = (time.process_time() - began) / RUNS / STEPS * 1000
    record = read(world.engine, ref.workflow_run_id)
    assert record is not None
    assert run_status(record) is RunStatus.COMPLETED, record
    return cpu_ms


def durable_sdk(name: str) -> Cost:
    script = str(Path(__file__).parent / "peers" / "durable_chain.py")
    done = subprocess.run(
        [str(PEER), script, name, str(STEPS)], capture_output=True, text=True, check=True, timeout=300
    )
    peer = json.loads(done.stdout.splitlines()[-1])
    invocations = PRICES["invocation"].dollars * (STEPS + 1 if name == "waits" else 1)
    return Cost(
        peer["checkpoints"], (durable_functions_dollars(STEPS) + invocations) * 1e6, peer["cpu_ms_a_step"]
    )


def median(found: list[Cost]) -> Cost:
    return Cost(
        *(statistics.median(getattr(each, of) for each in found) for of in ("requests", "dollars", "cpu_ms"))
    )


def main() -> int:
    kinds: list[tuple[str, Callable[[], Cost]]] = [
        ("Headrace: ten tasks, fused", lambda: headrace("fused")),
        ("Headrace: ten steps of a durable task", lambda: headrace("steps")),
        ("Headrace: ten waits of a durable task", lambda: headrace("waits")),
    ]
    if PEER.exists():
        kinds += [
            ("AWS durable execution SDK: ten steps", lambda: durable_sdk("steps")),
            ("AWS durable execution SDK: ten waits", lambda: durable_sdk("waits")),
        ]
    rounds = [[measure() for _, measure in kinds] for _ in range(ROUNDS)]
    print(
        "| a chain of ten | requests to AWS | $ a million, without Lambda's time | CPU a step, ms |\n|---|---:|---:|---:|"
    )
    for column, (name, _) in enumerate(kinds):
        cost = median([each[column] for each in rounds])
        print(f"| {name} | {cost.requests:.0f} | {cost.dollars:.2f} | {cost.cpu_ms:.2f} |")
    if not PEER.exists():
        print("\nNOT MEASURED: the AWS durable execution SDK is not installed here: make .venv-peers/.locked")
        return 1
    print("\n| CPU a step ÷ the SDK's | reached | at most |\n|---|---:|---:|")
    missed = False
    for name, ours, theirs in (("fused tasks ÷ its steps", 0, 3), ("steps", 1, 3), ("waits", 2, 4)):
        ratio = statistics.median(each[ours].cpu_ms / each[theirs].cpu_ms for each in rounds)
        print(f"| {name} | {ratio:.2f} | {AIM:g} | {'' if ratio <= AIM else '**missed**'}")
        missed = missed or ratio > AIM
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
