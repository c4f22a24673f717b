"""From the call to the first line of user code, on MiniStack: `python benchmarks/latency.py`. Fails where a median is over its aim.

Through the local runtime: real SQS and DynamoDB protocols over HTTP to a server beside this process, the worker in this one. MiniStack's long poll
looks every 5 ms; what it adds beside is its own floor, the trigger row. AWS's own latency is not in it.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / name) for name in ("sdk", "handlers", "infra")]
os.environ.setdefault("MINISTACK_SQS_LOOK_S", "0.005")

from headrace import Context, DurableContext, Hatchet
from headrace_infra.testing import local

ROUNDS = 40
WARM_UP = 5
AIM_MS = {
    "trigger to first line": None,
    "event to first line": 60.0,
    "event to the line after a durable wait": 60.0,
}
"""None: the floor of the test bed, shown beside the others."""

hatchet = Hatchet()
seen: dict[str, float] = {}
waiting: set[str] = set()


@hatchet.task(name="plain")
def plain(input: dict, ctx: Context) -> None:  # type: ignore[type-arg]
    seen[input["n"]] = time.perf_counter()


@hatchet.task(name="by_event", on_events=["bench:start"])
def by_event(input: dict, ctx: Context) -> None:  # type: ignore[type-arg]
    seen[input["n"]] = time.perf_counter()


@hatchet.durable_task(name="waits")
async def waits(input: dict, ctx: DurableContext) -> None:  # type: ignore[type-arg]
    waiting.add(input["n"])
    found = await ctx.aio_wait_for_event("bench:go", f"input.n == '{input['n']}'")
    seen[str(found["n"])] = time.perf_counter()


def took_ms(n: str, act: Callable[[], object]) -> float:
    """From before the call to when user code had seen `n`."""
    began = time.perf_counter()
    act()
    while n not in seen:
        if time.perf_counter() - began > 30:
            raise TimeoutError(n)
        time.sleep(0.0005)
    return (seen[n] - began) * 1000


def suspended(run_id: str) -> bool:
    return any(task.is_evicted for task in hatchet.runs.get(run_id).tasks)


def resumed(n: str) -> float:
    ref = waits.run({"n": n}, wait_for_result=False)
    while not suspended(ref.workflow_run_id):
        time.sleep(0.02)
    return took_ms(n, lambda: hatchet.event.push("bench:go", {"n": n}))


MEASURED: dict[str, Callable[[str], float]] = {
    "trigger to first line": lambda n: took_ms(n, lambda: plain.run({"n": n}, wait_for_result=False)),
    "event to first line": lambda n: took_ms(n, lambda: hatchet.event.push("bench:start", {"n": n})),
    "event to the line after a durable wait": resumed,
}


def main() -> int:
    missed = False
    with local(hatchet, backend="ministack"):
        print("| ms | median | 95 of 100 | median, at most | |\n|---|---:|---:|---:|---|")
        for what, measure in MEASURED.items():
            spans = [measure(f"{what}-{n}") for n in range(WARM_UP + ROUNDS)][WARM_UP:]
            median, p95 = statistics.median(spans), statistics.quantiles(spans, n=20)[-1]
            aim = AIM_MS[what]
            over = aim is not None and median > aim
            missed = missed or over
            print(f"| {what} | {median:.1f} | {p95:.1f} | {aim or ''} | {'**missed**' if over else ''} |")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
