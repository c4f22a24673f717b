"""The world of one seed: cooperating processes on the memory ports, one of which goes on at each port call.

Every port call of a process is a switch point, and there, by the seed, the process may be killed, frozen past its lease (a zombie),
throttled before the effect, or told of an error after it. Messages are delivered twice, late and in any order; clocks are skewed.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Any, TypeVar
from unittest.mock import patch

from greenlet import getcurrent, greenlet
from support.world import PythonExpressions

from headrace.core.run.plans.plan import Json
from headrace.core.waits import passes as gates
from headrace.engine.attempts.ports import Done, Host, Poison, Runnable, Work
from headrace.engine.clock.tick import tick
from headrace.engine.engine import Engine, Limits
from headrace.engine.owed.cancel import cancel
from headrace.engine.runs.claimed import Claimed
from headrace.engine.runs.dead_letter import fail_dead_letter
from headrace.engine.runs.deliver import deliver
from headrace.engine.runs.read import read
from headrace.engine.runs.start import NewRun, start
from headrace.errors import HeadraceError, QueueUnavailable, StoreUnavailable
from headrace.memory.clock import SeededIds, VirtualClock
from headrace.memory.queues import DEAD_LETTERS
from headrace.ports import Received
from headrace.runtime.control import LiveControl
from headrace.runtime.deadline import Ending
from simulation import events
from simulation.admission_checks import at_a_calm_moment, while_code_runs
from simulation.checks import MAX_CRASHES, Watched
from simulation.gates_workload import GATED_CHILD, Deployed, draw_input
from simulation.processes import (
    CountedQueues,
    Killed,
    Process,
    Rates,
    SkewedClock,
    is_late,
    pause,
    running_name,
)
from simulation.scripted import Scripted
from simulation.workload import CHILD, Flow, draw_fan

T = TypeVar("T")

VISIBILITY_S = 30
MAX_STEPS = 60_000
CALM_AFTER_STEPS = 15_000
"""From here on nothing goes wrong any more: a clock that is killed at every tick never catches up."""

STEP_MS = (0, 1, 5, 30)
"""How long a call takes."""

BETWEEN_MS = (0, 0, 1, 3)
"""How much time passes when another process goes on."""

CLOCK = "clock"
TICK_MS = 60_000
MOST_FAILED_TICKS = 3
"""So many ticks in a row may fail; the next has no faults. What a clock has to catch up grows with each that fails, so with faults at
every tick it stays behind for hours of virtual time, in which nothing else happens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a client asked for. `probe`: once all was quiet, so that nothing else is there to hold it back."""

    flow: Flow
    input: dict[str, Json]
    priority: int = 1
    probe: bool = False


class _Faults:
    """Stands at every port call: switch, then perhaps a fault."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim

    def before(self, port: str, call: str) -> None:
        sim = self.sim
        sim.step(port, call)
        if sim.hit("throttle"):
            raise _unavailable(port, "throttled")

    def after(self, port: str, call: str) -> None:
        if self.sim.hit("lost"):
            raise _unavailable(port, "the response was lost")


def _unavailable(port: str, why: str) -> HeadraceError:
    return (StoreUnavailable if port == "store" else QueueUnavailable)(why)


@dataclass(slots=True)
class Simulation:
    """One seed's world. In every other one tasks have to be admitted, and more clients meet.

    `met` counts what happened to gates; `loose`: a process died half-way through what only the clock repairs.
    """

    seed: int
    rates: Rates = field(default_factory=Rates)
    trace: bool = False
    clock: VirtualClock = field(default_factory=VirtualClock)
    faults: Counter[str] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    log: list[str] = field(default_factory=list)
    calm: bool = False
    loose: bool = False
    failed_ticks: int = 0
    processes: list[Process] = field(default_factory=list)
    started: dict[str, Asked] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    ran: Counter[tuple[str, str]] = field(default_factory=Counter)
    executions: dict[object, tuple[Engine, Claimed]] = field(default_factory=dict)
    next_tick_ms: int = field(init=False)
    random: Random = field(init=False)
    store: Watched = field(init=False)
    queues: CountedQueues = field(init=False)
    ids: SeededIds = field(init=False)
    flows: dict[str, Flow] = field(init=False)
    child: Flow = field(init=False)
    deployed: list[Flow] = field(init=False)
    gates: Deployed = field(init=False)
    places_an_item: int = field(init=False)
    probes: list[tuple[Flow, dict[str, Json]]] = field(init=False)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        redrive = self.random.choice((40, 40, 40, 6))
        self.places_an_item = self.random.choice((gates.PLACES_AN_ITEM, gates.PLACES_AN_ITEM, 2))
        self.store = self._new_store()
        if self.gated and self.random.random() < 0.6:
            self.rates = replace(self.rates, freeze=0.0)
        self.calm = True
        events.prepare(self)
        self.calm = False
        hooks = _Faults(self)
        self.store.faults = hooks
        self.queues = CountedQueues(
            self.clock,
            visibility_s=VISIBILITY_S,
            max_receive_count=redrive,
            faults=hooks,
            old_receipt_deletes=lambda: self.hit("old_receipt"),
        )
        self.ids = SeededIds(self.seed)
        self.flows = events.draw_flows(self.random, gated=self.gated)
        if self.seed % 4 == 0:
            self.flows["fan"] = draw_fan(self.random, "fan")
        self.child = GATED_CHILD if self.gated else CHILD
        self.deployed = [*self.flows.values(), self.child]
        self.gates = events.draw_limits(self.random, self.flows, gated=self.gated)
        self.probes = events.draw_probes(self.random, self.flows) if self.gated else []
        self.next_tick_ms = self.clock.now_ms() + TICK_MS

    @property
    def gated(self) -> bool:
        return self.seed % 2 == 1

    @property
    def meet(self) -> bool:
        """Whether there are as many clients, and as close together, as it takes for runs to meet."""
        return self.gated

    @property
    def asked(self) -> int:
        return len(self.started)

    def outlasting(self) -> list[tuple[Engine, Claimed]]:
        """Attempts that are over, and whose code is not."""
        return []

    def flow_of(self, run_id: str) -> Flow:
        """What the run was started with; children have none."""
        asked = self.started.get(run_id)
        return asked.flow if asked is not None else self.child

    def _new_store(self) -> Watched:
        return Watched(retried=lambda: self.hit("retried"), met=self.met, places_an_item=self.places_an_item)

    # ---- processes

    def engine(self) -> Engine:
        """An engine with a clock of its own, as it is deployed now."""
        limits = self.gates.limits
        return Engine(
            store=self.store,
            queues=self.queues,
            clock=SkewedClock(self.clock, self.random.randrange(-400, 400)),
            ids=self.ids,
            expressions=PythonExpressions(),
            limits=Limits(
                first_beat_s=2, beat_every_s=4, lease_s=10, max_crashes=MAX_CRASHES, commit_patience_s=20
            ),
            gate_limits=lambda: limits,
        )

    def spawn(self, name: str, body: Callable[[], None], delay_ms: int = 0) -> None:
        world = getcurrent().parent or getcurrent()
        process = Process(name, greenlet(body, world), self.clock.now_ms() + delay_ms)
        process.body.name = name
        self.processes.append(process)

    def pick(self, options: Sequence[T]) -> T:
        """What `random.choice` would pick, in half of its time: every step picks three times."""
        count = len(options)
        bits, draw = count.bit_length(), self.random.getrandbits
        at = draw(bits)
        while at >= count:
            at = draw(bits)
        return options[at]

    def step(self, port: str, call: str) -> None:
        """A switch point of the running process; it may die here or be frozen."""
        if self.trace:
            self.log.append(f"{self.clock.now_ms() % 10**9:>9} {running_name():<24} {port}.{call}")
        pause(self.pick(STEP_MS))
        if self.hit("kill"):
            raise Killed
        if self.hit("freeze"):
            pause(self.random.randrange(1_000, 60_000))
            if is_late(self.clock):
                raise Killed

    def hit(self, kind: str) -> bool:
        """Whether this fault happens to the running process here."""
        if self.calm or (self.failed_ticks >= MOST_FAILED_TICKS and running_name() == CLOCK):
            return False
        if self.random.random() >= getattr(self.rates, kind):
            return False
        self.faults[kind] += 1
        if self.trace:
            self.log.append(f"{'':>9} {running_name():<24} !! {kind}")
        return True

    # ---- the course of a simulation

    def run(self) -> Simulation:
        """Draw clients, then let everything happen until the world is at rest; then a few more runs, without faults."""
        within_ms = self.random.choice((300, 1_000, 3_000)) if self.meet else 3_000
        for n in range(self.random.randrange(5, 13) if self.meet else self.random.randrange(1, 6)):
            name = self.random.choice(list(self.flows))
            delay_ms = self.random.randrange(0, within_ms)
            self.spawn(f"client {n}", lambda name=name: self._client(name), delay_ms)  # type: ignore[misc]  # now
        if self.random.random() < 0.3:
            self.spawn("deployment", self._deploy, self.random.randrange(0, 3_000))
        if self.gated and self.random.random() < 0.2:
            paused = self.random.choice(list(self.flows))
            self.spawn(
                "operator", lambda: events.pause_for_a_while(self, paused), self.random.randrange(0, 3_000)
            )
        with _unlogged(), patch.object(gates, "PLACES_AN_ITEM", self.places_an_item):
            self._until_rest()
            self.calm = True
            self.clock.advance(
                TICK_MS + 1_000
            )  # by then a holder that a zombie left in a place counts as dead
            while self.probes:
                self.spawn("probe", self._probe)
                self._until_rest()
        return self

    def _until_rest(self) -> None:
        while self.steps < MAX_STEPS:
            self.steps += 1
            self.calm = self.calm or self.steps > CALM_AFTER_STEPS
            self.store.check()
            now_ms = self.clock.now_ms()
            if now_ms >= self.next_tick_ms:
                self.next_tick_ms += TICK_MS
                self.spawn(CLOCK, self._tick)
            if self._advance(now_ms):
                continue
            visible_ms = self.queues.next_visible_ms()
            if visible_ms is not None and visible_ms <= now_ms:
                if self._receive():
                    continue
                visible_ms = self.queues.next_visible_ms()
            if self.gated and not self.processes:
                at_a_calm_moment(self)
            due_ms = self._next_ms(visible_ms)
            if due_ms is None:
                return
            self.clock.advance_to(due_ms)
        raise AssertionError(f"not at rest after {MAX_STEPS} steps: {self.queues.depth()} messages")

    def _advance(self, now_ms: int) -> bool:
        """Let one process that may go on do so."""
        ready = [p for p in self.processes if p.at_ms <= now_ms]
        if not ready:
            return False
        process = self.pick(ready)
        try:
            pause_ms = process.body.switch()
        except (Killed, StoreUnavailable, QueueUnavailable):
            pause_ms = None
        if process.body.dead:
            self.processes.remove(process)
        else:
            process.at_ms = self.clock.now_ms() + int(pause_ms or 0)
        self.clock.advance(self.pick(BETWEEN_MS))
        return True

    def _receive(self) -> bool:
        """Hand a message to a new invocation; sometimes to two."""
        hooks, self.queues.faults = self.queues.faults, _Quiet()
        try:
            for queue in (*self.queues.known(), DEAD_LETTERS):
                for received in self.queues.receive(queue, limit=1, wait_s=0):
                    self.met["refill"] += received.body.startswith('{"refill"')
                    self._invoke(received)
                    if self.hit("duplicate"):
                        self._invoke(received)
                    return True
        finally:
            self.queues.faults = hooks
        return False

    def _invoke(self, received: Received) -> None:
        self.spawn(
            f"λ {received.queue} {received.message_id}",
            lambda: self._lambda(received),
            self.random.choice((0, 0, 10, 500)),
        )

    def _next_ms(self, visible_ms: int | None) -> int | None:
        """When something happens next; None: the world is at rest. The clock goes on while timers or gates wait for it."""
        times = [p.at_ms for p in self.processes]
        if visible_ms is not None:
            times.append(visible_ms)
        if not times and not self.store.waits_for_the_clock():
            return None
        return min([*times, self.next_tick_ms])

    # ---- what the processes do

    def _deploy(self) -> None:
        events.deploy(self)

    def _tick(self) -> None:
        self.failed_ticks += 1
        tick(self.engine())
        self.failed_ticks = 0

    def _client(self, name: str) -> None:
        value: dict[str, Json] = draw_input(self.random) if self.gated else {"n": 1}
        run_id, engine = self._ask(self.flows[name], value)
        if self.random.random() < 0.15:
            pause(self.random.randrange(0, 5_000))
            self.cancelled.add(run_id)
            self._carefully(lambda: cancel(engine, run_id))
        elif self.random.random() < 0.2:
            self._carefully(lambda: read(engine, run_id))

    def _ask(self, flow: Flow, value: dict[str, Json], *, probe: bool = False) -> tuple[str, Engine]:
        run_id, engine = self.ids.run_id(), self.engine()
        priority = self.random.randrange(1, 4) if self.gated else 1
        self.started[run_id] = Asked(flow=flow, input=value, priority=priority, probe=probe)
        self.met["gated run"] += self.gated
        start(engine, NewRun(plan=flow.plan, input=json.dumps(value), run_id=run_id, priority=priority))
        return run_id, engine

    def _probe(self) -> None:
        self.met["probe"] += 1
        self._ask(*self.probes.pop(), probe=True)

    def _carefully(self, settle: Callable[[], object]) -> None:
        """No message stands behind what a client settles: if it dies on the way, the clock frees the places."""
        try:
            settle()
        except BaseException:
            self.loose = True
            raise

    def _lambda(self, received: Received) -> None:
        engine = self.engine()
        if received.queue == DEAD_LETTERS:
            verdict = fail_dead_letter(engine, received, reason="delivered too often")
        else:
            verdict = deliver(engine, self._host(received.queue), received, runner=self._runner)
        if isinstance(verdict, Done) or (received.queue == DEAD_LETTERS and isinstance(verdict, Poison)):
            self.queues.delete(received)

    def _host(self, worker: str) -> Host:
        runnables: dict[tuple[str, str], Runnable] = {
            (flow.plan.workflow, task.name): self._scripted(task.name)
            for flow in self.deployed
            for task in flow.plan.tasks
        }
        time_left_ms = self.random.choice((900_000, 20_000))
        return Host(
            worker=worker,
            runnables=runnables,
            visibility_s=VISIBILITY_S,
            time_left_ms=lambda: time_left_ms,
            together=self._together if time_left_ms > 20_000 else None,
        )

    def _together(self, chains: Sequence[Callable[[], Any]]) -> list[Any]:
        """Side by side, as processes of their own. Where one dies the message comes back; the others live on, and are fenced."""
        self.met["together"] += 1
        ends: dict[int, Any] = {}

        def run(number: int, chain: Callable[[], Any]) -> None:
            try:
                ends[number] = chain()
            except BaseException as error:
                ends[number] = error
                raise

        for number, chain in enumerate(chains):
            self.spawn(f"{running_name()} {number}", partial(run, number, chain))
        while len(ends) < len(chains):
            pause(20)
        for end in ends.values():
            if isinstance(end, BaseException):
                raise end
        return [ends[number] for number in range(len(chains))]

    def _scripted(self, task: str) -> Scripted:
        return Scripted(self, task, is_async=not task.endswith(("3", "6")))

    def _runner(
        self,
        engine: Engine,
        host: Host,
        claimed: Claimed,
        control: LiveControl,
        runnable: Runnable,
        work: Work,
    ) -> Ending:
        """User code in virtual time. A task that begins is counted among those that run."""
        assert isinstance(runnable, Scripted)
        self.ran[work.record.run_id, work.task] += 1
        if not self.gated:
            return runnable.run(engine, claimed, control, work)
        execution = object()
        self.executions[execution] = (engine, claimed)
        try:
            while_code_runs(self, engine, claimed)
            return runnable.run(engine, claimed, control, work)
        finally:
            del self.executions[execution]


@contextmanager
def _unlogged() -> Iterator[None]:
    """Attempts fail here by design: to format a line for each takes a sixth of the time."""
    log = logging.getLogger("headrace")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


class _Quiet:
    def before(self, port: str, call: str) -> None: ...

    def after(self, port: str, call: str) -> None: ...
