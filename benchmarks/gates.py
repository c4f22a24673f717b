"""What admission costs: runs that queue for a key, for a rate limit, and for a key of many places.

    python benchmarks/gates.py

On the memory ports in virtual time, with as many invocations at once as there are messages, counting what AWS would bill. A run that
waits is woken once, by one message: calls and units a run stay flat however many wait. Exit code 1 where an aim is missed.
"""

from __future__ import annotations

import heapq
import sys
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / name) for name in ("sdk", "tests", "benchmarks")]

from counting import Counted, CountingStore, Returns
from greenlet import getcurrent, greenlet

from headrace.aws.prices import PRICES
from headrace.core.changes import Write, Written
from headrace.core.run.derived.progress import run_status
from headrace.core.run.plans.plan import GatePlan, RatePlan, RunPlan, TaskPlan
from headrace.core.run.record import RunStatus
from headrace.core.run.stored.record import record_of
from headrace.core.sizes import item_bytes
from headrace.engine.attempts.ports import Done, Host, Runnable, Work
from headrace.engine.engine import Engine
from headrace.engine.runs.claimed import Claimed
from headrace.engine.runs.deliver import deliver
from headrace.engine.runs.start import NewRun, start_many
from headrace.ports import Received
from headrace.runtime.control import LiveControl
from headrace.runtime.deadline import Ending

WRITE_UNITS_A_SECOND = 1_000
"""What one DynamoDB partition takes (developer guide, "Best practices for partition keys")."""

AIM_DOLLARS = 8.0
"""A million runs that waited at a gate, at most: requests, units and invocations; Lambda's time is not in it."""
AIM_RUNS_A_SECOND = 250
"""Through one key, at least: by what its busiest partition takes."""
PLACES = (1, 5, 48, 200)

TASK_MS = 1_000
LATENCY_MS = 20
"""From a message sent to its delivery."""


@dataclass
class Gauge(CountingStore):
    """Counts units by partition too."""

    by_partition: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        CountingStore.__init__(self)

    def write(self, write: Write) -> Written:
        written = super().write(write)
        self.by_partition[write.key.pk] += -(-max(1, item_bytes(written.item or {})) // 1024)
        return written


class Rush:
    """Every message that is visible is an invocation; user code takes a second of virtual time."""

    def __init__(self, plan: RunPlan) -> None:
        self.store = Gauge()
        self.counted = Counted([plan], store=self.store)
        self.engine, self.queues = self.counted.engine, self.counted.queues
        self.clock = self.engine.clock
        self.plan = plan
        self.now = self.most = 0
        self._sleeping: list[tuple[int, int, greenlet]] = []
        self._numbers = count()
        self.host = Host(
            worker="default",
            runnables={(plan.workflow, task.name): Returns() for task in plan.tasks},
            visibility_s=900,
        )

    def run(self, runs: int) -> None:
        start_many(self.engine, [NewRun(plan=self.plan, input=None) for _ in range(runs)])
        while True:
            for received in self.queues.receive("default", limit=10, wait_s=0):
                self.counted.invocations += 1
                self._go(greenlet(lambda received=received: self._invoke(received)), LATENCY_MS)
            due_ms = self._due_ms()
            if due_ms is None:
                break
            self.clock.advance_to(due_ms)  # type: ignore[attr-defined]  # a virtual clock
            while self._sleeping and self._sleeping[0][0] <= self.clock.now_ms():
                process = heapq.heappop(self._sleeping)[2]
                pause_ms = process.switch()
                if not process.dead:
                    self._go(process, pause_ms)
        self._check(runs)

    def _due_ms(self) -> int | None:
        times = [self._sleeping[0][0]] if self._sleeping else []
        visible_ms = self.queues.next_visible_ms()
        return min([*times, visible_ms] if visible_ms is not None else times, default=None)

    def _go(self, process: greenlet, pause_ms: int) -> None:
        heapq.heappush(self._sleeping, (self.clock.now_ms() + pause_ms, next(self._numbers), process))

    def _invoke(self, received: Received) -> None:
        if isinstance(deliver(self.engine, self.host, received, runner=self._takes_a_second), Done):
            self.queues.delete(received)

    def _takes_a_second(
        self,
        engine: Engine,
        host: Host,
        claimed: Claimed,
        control: LiveControl,
        runnable: Runnable,
        work: Work,
    ) -> Ending:
        self.now += 1
        self.most = max(self.most, self.now)
        getcurrent().parent.switch(TASK_MS)  # type: ignore[union-attr]  # every invocation is a greenlet
        self.now -= 1
        return runnable.call(work)

    def _check(self, runs: int) -> None:
        done = [record_of(item) for item in self.store.items() if item["sk"] == "run"]
        assert len(done) == runs
        assert all(run_status(record) is RunStatus.COMPLETED for record in done)


def plan_of(gates: tuple[GatePlan, ...] = (), rates: tuple[RatePlan, ...] = ()) -> RunPlan:
    task = TaskPlan(name="t", gates=gates, rates=rates, schedule_timeout_ms=10**10)
    return RunPlan(workflow="t", version="1", tasks=(task,), standalone=True)


def gate(max_runs: int) -> tuple[GatePlan, ...]:
    return (GatePlan(name="t:t/0", expression="'x'", max_runs=max_runs),)


def row(name: str, size: int, rush: Rush) -> None:
    units = rush.counted.units
    print(
        f"| {name} | {size:,} | {rush.most:,} | {units['write'] / size:.2f} | {units['read'] / size:.2f} "
        f"| {units['sqs'] / size:.2f} | {rush.counted.invocations / size:.2f} | {units['calls'] / size:.2f} |"
    )


def main() -> int:
    head = "| runs that queue | runs | most at once | write units | read units | SQS requests | invocations | AWS calls |"
    print(f"{head}\n|---|---:|---:|---:|---:|---:|---:|---:|")
    for size in (10, 100, 1_000, 10_000):
        rush = Rush(plan_of(gate(5)))
        rush.run(size)
        row("for a key, max_runs 5", size, rush)
    for size in (100, 1_000, 10_000):
        rates = (RatePlan(key="'x'", dynamic=True, limit="50", window_s=1),)
        rush = Rush(plan_of(rates=rates))
        rush.run(size)
        row("for a limit, 50 a second", size, rush)
    missed = priced()
    if missed:
        print(f"\nMissed: {', '.join(missed)}.")
    return int(bool(missed))


def priced() -> list[str]:
    """Keys of few and of many places: dollars a million runs that waited, and how many runs a second one key takes."""
    missed: list[str] = []
    print(
        "\n| places of one key | runs | $ a million | aim | write units of its busiest partition, a run | runs a second | aim |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for places in PLACES:
        size = max(600, 3 * places)
        rush = Rush(plan_of(gate(places)))
        rush.run(size)
        dollars = dollars_a_run(rush.counted.units, rush.counted.invocations, size) * 1_000_000
        a_run = max(units for pk, units in rush.store.by_partition.items() if "gate#" in pk) / size
        rate = WRITE_UNITS_A_SECOND / a_run
        print(
            f"| {places} | {size:,} | {dollars:.2f} | {AIM_DOLLARS:g} | {a_run:.2f} | {rate:,.0f} | {AIM_RUNS_A_SECOND} |",
            flush=True,
        )
        missed += [f"$ a million at {places} places"] * (dollars > AIM_DOLLARS)
        missed += [f"runs a second at {places} places"] * (rate < AIM_RUNS_A_SECOND)
    return missed


def dollars_a_run(units: Counter[str], invocations: int, runs: int) -> float:
    """With the one unit of the listing index that a run takes."""
    billed = {
        "write": units["write"],
        "index_write": runs,
        "read": units["read"],
        "sqs": units["sqs"],
        "invocation": invocations,
    }
    return sum(PRICES[kind].dollars * count for kind, count in billed.items()) / runs


if __name__ == "__main__":
    sys.exit(main())
