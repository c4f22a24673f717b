"""What people do to a running system: deploy, pause a workflow and let it go on, ask for one more run once all is quiet."""

from __future__ import annotations

import contextlib
from random import Random
from typing import TYPE_CHECKING

from headrace.core.changes import Update
from headrace.core.run.plans.plan import Json
from headrace.core.table import CURSOR, PAUSED
from headrace.core.waits.rate_limit import Window, put_limit
from headrace.engine.waits.kinds.pause import Pause, unpause
from headrace.engine.waits.kinds.pause import pause as pause_workflow
from headrace.errors import QueueUnavailable, StoreUnavailable
from simulation.gates_workload import NEVER_MS, STATIC, Deployed, draw_gated_flow, first_limits, other_limits
from simulation.processes import Killed, pause
from simulation.workload import Flow, draw_flow

if TYPE_CHECKING:
    from simulation.world import Simulation

MOST_PROBES = 2


def draw_flows(random: Random, *, gated: bool) -> dict[str, Flow]:
    """What is deployed at first. Where gates are, runs have to meet: two workflows at most."""
    if not gated:
        return {f"w{n}": draw_flow(random, f"w{n}") for n in range(random.randrange(1, 4))}
    return {f"w{n}": draw_gated_flow(random, f"w{n}") for n in range(random.choice((1, 1, 1, 2)))}


def draw_limits(random: Random, flows: dict[str, Flow], *, gated: bool) -> Deployed:
    return Deployed(limits=first_limits(random, flows) if gated else {})


def prepare(sim: Simulation) -> None:
    """Before anything happens: the clock has run until now, and static limits are set."""
    minute = sim.clock.now_ms() // 60_000
    sim.store.write(Update(key=CURSOR, sets={("minute",): minute}))
    for key, (limit, window_ms) in STATIC.items():
        sim.store.write(put_limit(key, limit, window_ms, seen=Window()))


def deploy(sim: Simulation) -> None:
    """Every workflow gets another shape, or its gates other limits. Workers have the new tasks beside the old; runs finish by their
    records, under the limits that are deployed."""
    sim.faults["deployment"] += 1
    if sim.gated:
        sim.gates = sim.gates.then(other_limits(sim.random, sim.flows, sim.gates.limits))
        return
    sim.flows = {name: draw_flow(sim.random, name) for name in sim.flows}
    sim.deployed.extend(sim.flows.values())


def pause_for_a_while(sim: Simulation, workflow: str) -> None:
    """An operator who comes back until the pause is over. Whom he did not wake when he died the clock wakes."""
    with contextlib.suppress(Killed, StoreUnavailable, QueueUnavailable):
        pause_workflow(sim.engine(), workflow, Pause(queue_ttl_ms=NEVER_MS))
    sim.met["pause"] += 1
    pause(sim.random.randrange(0, 30_000))
    while f"p:{workflow}" in (sim.store.peek(PAUSED) or {}):
        try:
            unpause(sim.engine(), workflow)
        except (Killed, StoreUnavailable, QueueUnavailable):
            pause(1_000)


def draw_probes(random: Random, flows: dict[str, Flow]) -> list[tuple[Flow, dict[str, Json]]]:
    """Runs to ask for once everything is quiet, one after the other: no place may be lost, so nothing holds them back."""
    asked: list[tuple[Flow, dict[str, Json]]] = [
        (flow, {"n": 1, "k": key, "u": 1, "m": 2}) for flow in flows.values() for key in "ab"
    ]
    return random.sample(asked, min(MOST_PROBES, len(asked)))
