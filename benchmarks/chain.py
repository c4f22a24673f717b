"""A chain of 10 steps beside the AWS durable execution SDK for Python: what is billed, and CPU a step.

    python benchmarks/chain.py        (the peer: make .venv-peers/.locked)

Each in one process on its own in-memory stand-in for AWS, so the CPU holds the SDK's own work and no network. The peer's price is $8.00 a
million durable operations (a third-party reading of the pricing page; its charges for data are not verified and left out).
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / name) for name in ("sdk", "infra", "benchmarks")]

from counting import Counted

from headrace.aws.prices import PRICES, durable_functions_dollars
from headrace.core.run.plans.plan import RunPlan, TaskPlan
from headrace.engine.runs.start import NewRun, start

STEPS = 10
ROUNDS = 300
PEER = ROOT / ".venv-peers" / "bin" / "python"


def main() -> int:
    tasks = tuple(TaskPlan(name=f"t{n}", parents=(f"t{n - 1}",) if n else ()) for n in range(STEPS))
    plan = RunPlan(workflow="chain", version="1", tasks=tasks)
    counted = Counted([plan])
    began = time.process_time()
    for _ in range(ROUNDS):
        start(counted.engine, NewRun(plan=plan, input=None))
        counted.run()
    cpu_ms = (time.process_time() - began) / ROUNDS / STEPS * 1000
    units = {kind: each / ROUNDS for kind, each in counted.units.items()}
    dollars = (
        units["write"] * PRICES["write"].dollars
        + PRICES["index_write"].dollars
        + units["sqs"] * PRICES["sqs"].dollars
    )
    print(
        f"| {STEPS} steps | requests to AWS | $ a million, without Lambda | CPU a step, ms |\n|---|---:|---:|---:|"
    )
    print(f"| Headrace: a fused chain | {units['calls']:.0f} | {dollars * 1e6:.2f} | {cpu_ms:.2f} |")
    if not PEER.exists():
        print("| AWS durable execution SDK | not installed: make .venv-peers/.locked | | |")
        return 0
    script = str(Path(__file__).parent / "peers" / "durable_chain.py")
    done = subprocess.run([str(PEER), script, str(STEPS)], capture_output=True, text=True, check=True)
    peer = json.loads(done.stdout.splitlines()[-1])
    price = durable_functions_dollars(STEPS) * 1e6
    print(
        f"| AWS durable execution SDK 3.0.0 | {peer['checkpoints']:.0f} | {price:.2f} | {peer['cpu_ms_a_step']:.2f} |"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
