"""A message delivered twice: the second delivery runs to its end at any call of the first, which then dies at any later call.

The simulation found that a duplicate could delete a chain's message in the gap between a commit and the next claim; here every
such gap is tried.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

import pytest
from support.records import plan, task
from support.world import Killed, World, run_at_once

from headrace.core.run.derived.progress import run_status
from headrace.core.run.plans.plan import RunPlan
from headrace.core.run.record import RunStatus
from headrace.core.run.stored.record import record_of
from headrace.engine.attempts.ports import Done
from headrace.engine.runs.deliver import deliver
from headrace.ports import Received

CHAIN = plan(task("a"), task("b", "a"), task("c", "b"), workflow="chain")
DIAMOND = plan(
    task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c"), task("e", "d"), workflow="diamond"
)
JOINS = plan(task("a"), task("b", "a"), task("c", "a", "b"), task("d", "b", "c"), workflow="joins")


@dataclass(slots=True)
class Twice:
    """At call `n` of the first delivery the same message is delivered again; at call `m` the first delivery dies."""

    n: int
    m: int
    calls: int = 0
    world: World | None = None
    received: Received | None = None
    over: bool = False
    hits: list[str] = field(default_factory=list)

    def before(self, port: str, call: str) -> None:
        if self.over or self.received is None or self.world is None:
            return
        self.calls += 1
        if self.calls == self.m:
            self.over = True
            raise Killed(f"{port}.{call}")
        if self.calls == self.n:
            message, self.received = self.received, None  # the duplicate's own calls are not counted
            if isinstance(
                deliver(self.world.engine, self.world.host("default"), message, runner=run_at_once), Done
            ):
                self.world.queues.delete(message)
            self.received = message

    def after(self, port: str, call: str) -> None:
        """Everything happens before the calls."""


def run(flow: RunPlan, fault: Twice) -> World:
    w = World(
        plans={flow.workflow: flow},
        code={each.name: lambda work: {"n": 1} for each in flow.tasks},
        faults=fault,
    )
    fault.world = w
    w.start(flow.workflow)
    [received] = w.queues.receive("default", limit=1, wait_s=0)
    fault.received = received
    with contextlib.suppress(Killed):
        if isinstance(deliver(w.engine, w.host("default"), received, runner=run_at_once), Done):
            w.queues.delete(received)
    fault.over = True
    w.drain()
    return w


@pytest.mark.parametrize("flow", [CHAIN, DIAMOND, JOINS], ids=lambda flow: flow.workflow)
def test_a_duplicate_at_any_call_and_a_crash_at_any_later_one(flow: RunPlan) -> None:
    clean = Twice(10**9, 10**9)
    run(flow, clean)
    assert clean.calls > 4
    for n in range(1, clean.calls + 1):
        for m in range(n, clean.calls + 2):
            w = run(flow, Twice(n, m))
            where = f"doubled at call {n}, killed at call {m}"
            [record] = [record_of(item) for item in w.store.items() if item["sk"] == "run"]
            assert run_status(record) is RunStatus.COMPLETED, where
            assert w.queues.depth() == 0, where
            lost = sum(row.takeovers for row in record.tasks.values())
            assert len(w.ran) <= len(flow.tasks) + lost, where
