"""Worlds with gates: what is in a gate, who waits, and how many ran at once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from headrace.core.changes import Item
from headrace.core.run.derived.progress import run_status
from headrace.core.run.plans.plan import GatePlan, GateStrategy, Json, RatePlan, RunPlan
from headrace.core.run.record import RunStatus
from headrace.core.table import gate_key, gate_of_line, line_partition
from headrace.core.waits.holders import GateState, state_of
from headrace.engine.attempts.ports import Work
from support.records import plan, task
from support.world import World

CONSTANT = "'x'"
RR, CIP, CN = GateStrategy.GROUP_ROUND_ROBIN, GateStrategy.CANCEL_IN_PROGRESS, GateStrategy.CANCEL_NEWEST


def gate(name: str = "g", max_runs: int = 1, key: str = CONSTANT, strategy: GateStrategy = RR) -> GatePlan:
    return GatePlan(name=name, expression=key, max_runs=max_runs, strategy=strategy)


def rate(key: str = CONSTANT, limit: str = "1", window_s: int = 1, units: str = "1") -> RatePlan:
    return RatePlan(key=key, dynamic=True, units=units, limit=limit, window_s=window_s)


def single(workflow: str = "flow", **options: object) -> RunPlan:
    """A standalone task with those options."""
    return replace(plan(task(workflow, **options), workflow=workflow), standalone=True)


def partition(name: str = "g", key: str = "x") -> str:
    """The name of a gate: where its item is."""
    return f"gate#{name}#{key}"


def state(w: World, gate: str) -> GateState:
    return state_of(w.store.get(gate_key(gate)))


def line(w: World, gate: str) -> list[str]:
    """The runs that wait at a gate, in order."""
    return [str(item["sk"]).split("#")[3] for item in w.store.query(line_partition(gate), prefix="wait#")]


def statuses(w: World, run_ids: list[str]) -> list[RunStatus]:
    return [run_status(w.record(run_id)) for run_id in run_ids]


def left_over(w: World) -> list[Item]:
    """What a world at rest should not hold: holders, waiters, marks, evictions that are not paid, schedules."""
    return [
        item
        for item in w.store.items()
        if gate_of_line(str(item["pk"])).startswith(("gate#", "rate#", "places#", "pause#", "labels#"))
        and (
            str(item["sk"]).startswith("wait#")
            or any(name[:2] in ("h:", "ev") or name in ("w", "sched") for name in item)
            or item.get("c", 0) != 0
        )
    ]


@dataclass(slots=True)
class Order:
    """Code that notes which run it ran for, in order."""

    runs: list[str] = field(default_factory=list)

    def __call__(self, work: Work) -> Json:
        self.runs.append(work.record.run_id)
        return {"n": len(self.runs)}
