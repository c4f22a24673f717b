"""Code that outlasts its attempt in the simulated world: it times out, cannot be stopped, and its places are its own until it has ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from unittest.mock import patch

from greenlet import getcurrent

from headrace.engine.attempts.ports import Host, Runnable, Work
from headrace.engine.engine import Engine
from headrace.engine.runs.claimed import Claimed
from headrace.errors import QueueUnavailable, StoreUnavailable
from headrace.ports import Received
from headrace.runtime import overstaying
from headrace.runtime.control import LiveControl, Running
from headrace.runtime.deadline import Ending, TimedOut
from simulation.checks import at_rest
from simulation.processes import Killed, Rates
from simulation.seeds import to_its_end
from simulation.world import Simulation

OUTLASTS_MS = (500, 10_000, 30_000, 150_000)
"""How much longer code runs: less than a lease, or over several ticks of the clock."""


@dataclass(slots=True, eq=False)
class Body:
    """Code that goes on: of which attempt, and in which invocation's process."""

    engine: Engine
    claimed: Claimed
    process: object


@dataclass(slots=True)
class OutlastSimulation(Simulation):
    """Tasks of gates whose code does not hear that its time is over. No process is frozen: one that stands still loses its places by design."""

    bodies: dict[Running, Body] = field(default_factory=dict)

    def __post_init__(self) -> None:
        Simulation.__post_init__(self)
        self.rates = replace(self.rates, freeze=0.0)
        self.flows = {
            name: replace(
                flow,
                scripts={
                    task: replace(script, slow_attempts=1 if self.random.random() < 0.6 else 0)
                    for task, script in flow.scripts.items()
                },
            )
            for name, flow in self.flows.items()
        }
        self.deployed = [*self.flows.values(), self.child]

    @property
    def gated(self) -> bool:
        return True

    def outlasting(self) -> list[tuple[Engine, Claimed]]:
        return [(each.engine, each.claimed) for each in self.bodies.values()]

    def _runner(
        self,
        engine: Engine,
        host: Host,
        claimed: Claimed,
        control: LiveControl,
        runnable: Runnable,
        work: Work,
    ) -> Ending:
        ending = Simulation._runner(self, engine, host, claimed, control, runnable, work)
        asked = self.started.get(work.record.run_id)
        if asked is not None and asked.probe:
            return ending  # it is to meet nothing, and would meet itself
        if isinstance(ending, TimedOut) and self.random.random() < 0.8:
            control.running.begins()
            self.bodies[control.running] = Body(engine, claimed, getcurrent())
            self.spawn("code", partial(self._goes_on, control.running), self.random.choice(OUTLASTS_MS))
            self.met["outlasted"] += 1
        return ending

    def _goes_on(self, running: Running) -> None:
        if self.bodies.pop(running, None) is not None:  # else its process has died
            running.ends()

    def _lambda(self, received: Received) -> None:
        try:
            Simulation._lambda(self, received)
        except (Killed, StoreUnavailable, QueueUnavailable):
            # dead; or its attempt has no end, and is taken over: what is taken for dead may run beside what took over
            for running in [key for key, body in self.bodies.items() if body.process is getcurrent()]:
                self.ended_with_its_process(running)
            raise

    def ended_with_its_process(self, running: Running) -> None:
        self.bodies.pop(running, None)
        self.loose = True
        self.met["died with its process"] += 1


@dataclass(slots=True, eq=False)
class Alarm:
    off: bool = False


class VirtualPulse:
    """The callbacks after a while, as processes of the world. One that is killed takes the code with it."""

    def __init__(self, sim: OutlastSimulation) -> None:
        self._sim = sim

    def after(self, seconds: float, callback: Callable[[], None]) -> Alarm:
        alarm = Alarm()
        self._sim.spawn("pulse", partial(self._call, alarm, callback), int(seconds * 1000))
        return alarm

    def cancel(self, alarm: Alarm) -> None:
        alarm.off = True

    def _call(self, alarm: Alarm, callback: Callable[[], None]) -> None:
        of = getattr(callback, "__self__", None)
        assert isinstance(of, overstaying.Overstaying)
        if alarm.off or (of._running.lives and of._running not in self._sim.bodies):
            return
        try:
            callback()
        except Killed:
            self._sim.ended_with_its_process(of._running)
            raise


def simulate_outlasting(seed: int, *, rates: Rates | None = None, trace: bool = False) -> OutlastSimulation:
    """Run one seed; raises AssertionError with its last steps."""
    return to_its_end(
        OutlastSimulation,
        at_rest,
        seed,
        rates=rates,
        trace=trace,
        within=lambda sim: patch.object(overstaying, "PULSE", VirtualPulse(sim)),
    )
