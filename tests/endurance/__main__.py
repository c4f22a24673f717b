"""`python -m endurance chaos` and `python -m endurance soak`: see `make chaos` and `make soak`.

Workers are processes on MiniStack. In chaos a proxy before it resets, delays, throttles and loses responses, and workers are killed; a soak
goes on for long with few faults, and looks at memory and pace too. Then the faults stop, what is left is done, and the ledger that
the tasks wrote is held against what Headrace says.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from endurance.fleet import Fleet, fleet
from endurance.ledger import PATH, Ledger
from endurance.proxy import Faults, Proxy, proxied
from endurance.verdict import Said, wrong
from headrace_infra.ministack import ministack

STACK = "endurance"
WORKERS = ("general", "general", "general", "narrow", "narrow")
KEYS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """`kill_every_s` 0: none is killed. `pause_s`: between two bursts of starts."""

    faults: Faults
    kill_every_s: float
    pause_s: float


KINDS = {
    "chaos": Kind(
        faults=Faults(reset=0.02, lost=0.02, throttled=0.03, delayed=0.03), kill_every_s=6.0, pause_s=0.5
    ),
    "soak": Kind(faults=Faults(throttled=0.001, lost=0.001), kill_every_s=0.0, pause_s=1.5),
}


def main() -> int:
    given = argparse.ArgumentParser(prog="endurance")
    given.add_argument("kind", choices=KINDS)
    given.add_argument("--seconds", type=float, required=True, help="for how long runs are started")
    given.add_argument(
        "--drain", type=float, default=600.0, help="how long what is left may take, in seconds"
    )
    given.add_argument("--seed", type=int, default=int(time.time()))
    arguments = given.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="endurance-")))
        emulator = stack.enter_context(ministack())
        os.environ |= emulator.environment() | {
            "HEADRACE_STACK": STACK,
            "HEADRACE_DEV": "0",
            "HEADRACE_MAX_CRASHES": "20",
            PATH: str(folder / "ledger.sqlite"),
        }
        kind, ledger = KINDS[arguments.kind], Ledger(folder / "ledger.sqlite")
        _deploy()
        proxy = stack.enter_context(proxied(emulator.port, kind.faults, seed=arguments.seed))
        through = os.environ | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.server_port}"}
        running = stack.enter_context(fleet(WORKERS, through, ledger))
        report = _load(kind, arguments, running, ledger, proxy)
        proxy.faults = Faults()
        found = _settle(ledger, arguments.drain) + report + running.dead() + _judge(ledger)
        _say(ledger, running, proxy, arguments.seconds)
    for sentence in found[:50]:
        print(f"WRONG: {sentence}")
    print("all promises held" if not found else f"{len(found)} promises were broken")
    return 1 if found else 0


def _deploy() -> None:
    from endurance.app import hatchet
    from headrace_infra.compile import compile_app, units_of
    from headrace_infra.local.resources import deploy
    from headrace_infra.ministack import ACCOUNT, REGION

    template = compile_app(hatchet, app_path="endurance.app:hatchet")
    deploy(template, units_of(hatchet), stack=STACK, account=ACCOUNT, region=REGION)
    hatchet._publish()


def _load(kind: Kind, given: argparse.Namespace, running: Fleet, ledger: Ledger, proxy: Proxy) -> list[str]:
    """Start runs and kill workers for as long as was asked; sentences on memory that grew."""
    draws = random.Random(given.seed)
    begun = time.monotonic()
    next_kill = begun + kind.kill_every_s
    memory: list[float] = []
    while (now := time.monotonic()) < begun + given.seconds:
        _burst(draws, ledger)
        if kind.kill_every_s and now >= next_kill:
            running.kill_one(draws)
            next_kill = now + draws.uniform(0.5, 1.5) * kind.kill_every_s
        memory.append(running.memory_mb())
        time.sleep(kind.pause_s)
    return [] if kind.kill_every_s else _grown(memory)


def _grown(memory_mb: list[float]) -> list[str]:
    """That the largest process weighs much more at the end than after a third: what is kept for ever grows with the runs."""
    third = len(memory_mb) // 3
    if third < 10:
        return []
    before, after = max(memory_mb[third : 2 * third]), max(memory_mb[2 * third :])
    print(f"memory of the largest worker: {before:.0f} MB in the second third, {after:.0f} MB in the last")
    return [f"memory grew from {before:.0f} to {after:.0f} MB"] if after > 1.3 * before + 5 else []


def _burst(draws: random.Random, ledger: Ledger) -> None:
    """A few runs of each kind. What start returns is promised; a start that raised may or may not have taken place."""
    from endurance.app import EXPECTED, Job, hatchet

    for name in EXPECTED:
        job = Job(
            key=f"k{draws.randrange(KEYS)}", fails=draws.choice((0, 0, 1, 2)) if name == "diamond" else 0
        )
        flow: Any = hatchet._workflows_by_name[name]
        items = [flow.create_bulk_run_item(job) for _ in range(draws.randint(1, 3))]
        refs = flow.run_many(items, wait_for_result=False)
        ledger.started([(ref.workflow_run_id, name) for ref in refs])


def _settle(ledger: Ledger, limit_s: float) -> list[str]:
    """Wait until every promised run is over, and every queue empty."""
    import boto3

    from endurance.app import hatchet
    from headrace.core.run.derived.progress import finished
    from headrace.engine.runs.read import read_many

    deadline = time.monotonic() + limit_s
    left = list(ledger.promised())
    depths: dict[str, int] = {}
    while time.monotonic() < deadline:
        records = read_many(hatchet.engine, left)
        left = [
            run for run, record in zip(left, records, strict=True) if record is None or not finished(record)
        ]
        if not left:
            depths = _depths(boto3.client("sqs"))
            if not any(depths.values()):
                return []
        time.sleep(1)
    waiting = {name: depth for name, depth in depths.items() if depth}
    return [
        f"after {limit_s:g} s {len(left)} runs were not over ({', '.join(left[:5])}), and queues held {waiting}"
    ]


def _depths(sqs: Any) -> dict[str, int]:
    out = {}
    for url in sqs.list_queues(QueueNamePrefix=STACK).get("QueueUrls", ()):
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        out[url.rpartition("/")[2]] = sum(
            int(value) for name, value in found.items() if name.startswith("ApproximateNumberOfMessages")
        )
    return out


def _judge(ledger: Ledger) -> list[str]:
    from endurance.app import LIMITS, TASKS, hatchet
    from headrace.core.run.derived.progress import run_status
    from headrace.engine.runs.read import read_many

    executions = ledger.executions()
    runs = sorted({each.run for each in executions} | set(ledger.promised()))
    said = {
        record.run_id: Said(
            status=run_status(record).value,
            retries={name: row.retry_count for name, row in record.tasks.items()},
        )
        for record in read_many(hatchet.engine, runs)
        if record is not None
    }
    return wrong(ledger.promised(), executions, ledger.kills(), said, tasks=TASKS, limits=LIMITS)


def _say(ledger: Ledger, running: Fleet, proxy: Proxy, seconds: float) -> None:
    executions = ledger.executions()
    faults = {name: count for name, count in sorted(proxy.counts.items()) if name != "passed"}
    twice = len(executions) - len({(each.run, each.task) for each in executions})
    print(
        f"{seconds:g} s: {len(ledger.promised()):,} runs, {len(executions):,} executions of which {twice:,} were retries, replays and "
        f"repetitions after a kill; {running.kills} workers killed; {sum(proxy.counts.values()):,} requests, faults: {faults}"
    )


if __name__ == "__main__":
    sys.exit(main())
