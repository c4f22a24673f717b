"""What admission costs: runs that queue for a key, for a rate limit, and for a key of many places.

    python benchmarks/gates.py

On the memory ports in virtual time, with as many invocations at once as there are messages, counting what AWS would bill. A run that
waits is woken once, by one message: calls and units a run stay flat however many wait.
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

from headrace.core.changes import Write, Written
from headrace.core.run.encoding import record_of
from headrace.core.run.graph import run_status
from headrace.core.run.plan import GatePlan, RatePlan, RunPlan, TaskPlan
from headrace.core.run.record import RunStatus
from headrace.core.sizes import item_bytes
from headrace.core.waits.concurrency import PLACES_AN_ITEM, items_of
from headrace.engine.engine import Engine
from headrace.engine.runs.attempt import Claimed
from headrace.engine.runs.deliver import deliver
from headrace.engine.runs.ports import Done, Host, Runnable, Work
from headrace.engine.runs.start import NewRun, start_many
from headrace.ports import Received
from headrace.runtime.control import LiveControl
from headrace.runtime.deadline import Ending

WRITE_UNITS_A_SECOND = 1_000
"""What one DynamoDB partition takes, and so one item (developer guide, "Best practices for partition keys")."""

TASK_MS = 1_000
LATENCY_MS = 20
"""From a message sent to its delivery."""


@dataclass
class Gauge(CountingStore):
    """Counts units by item too."""

    by_item: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        CountingStore.__init__(self)

    def write(self, write: Write) -> Written:
        written = super().write(write)
        self.by_item[write.key.pk] += -(-max(1, item_bytes(written.item or {})) // 1024)
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
    rush = Rush(plan_of(gate(200)))
    rush.run(2_000)
    row("for a key, max_runs 200", 2_000, rush)
    hot(rush, 2_000, 200)
    return 0


def hot(rush: Rush, runs: int, max_runs: int) -> None:
    """How many write units each item of a gate of many places takes a run, and where that ends."""
    items = {pk: units for pk, units in rush.store.by_item.items() if "gate#" in pk}
    busiest = max(items.values())
    a_run = busiest / (runs / items_of(max_runs))
    print(
        f"\n{max_runs} places are {items_of(max_runs)} items of at most {PLACES_AN_ITEM}. The busiest took {busiest:,} write units for "
        f"{runs:,} runs, {a_run:.1f} for each run through it. An item takes {WRITE_UNITS_A_SECOND:,} a second: about "
        f"{WRITE_UNITS_A_SECOND / a_run:,.0f} runs a second an item, {WRITE_UNITS_A_SECOND / a_run * items_of(max_runs):,.0f} in all."
    )


if __name__ == "__main__":
    sys.exit(main())
