"""The world of one seed: cooperating processes on the memory ports, one of which goes on at each port call.

Every port call of a process is a switch point, and there, by the seed, the process may be killed, frozen past its lease (a zombie),
throttled before the effect, or told of an error after it. Messages are delivered twice, late and in any order; clocks are skewed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from greenlet import getcurrent, greenlet
from support.families import Family
from support.world import PythonExpressions

from headrace.core.plan import RunPlan
from headrace.core.record import ErrorInfo
from headrace.engine.attempt import Claimed
from headrace.engine.bury import bury
from headrace.engine.cancel import cancel
from headrace.engine.control import LiveControl
from headrace.engine.deadline import Ending, Interrupted, TimedOut
from headrace.engine.deliver import deliver
from headrace.engine.engine import Engine, Limits
from headrace.engine.heartbeat import beat_once
from headrace.engine.results import read
from headrace.engine.runnable import Done, Host, Outcome, Raised, Runnable, Succeeded, Work
from headrace.engine.tick import tick
from headrace.engine.trigger import NewRun, start
from headrace.errors import QueueUnavailable, StoreUnavailable
from headrace.memory.clock import SeededIds, VirtualClock
from headrace.memory.queues import DEAD_LETTERS, MemoryQueues
from headrace.ports import Received
from simulation.checks import Watched
from simulation.workload import CHILD, Flow, Script, draw_flow

VISIBILITY_S = 30
MAX_STEPS = 60_000


class Killed(BaseException):
    """The process ends here, whatever it was doing."""


@dataclass(slots=True)
class SkewedClock:
    """A process's own idea of the time."""

    base: VirtualClock
    skew_ms: int

    def now_ms(self) -> int:
        return self.base.now_ms() + self.skew_ms

    def sleep(self, seconds: float) -> None:
        _pause(int(seconds * 1000))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How likely each fault is, at each port call or delivery."""

    kill: float = 0.01
    freeze: float = 0.003
    throttle: float = 0.01
    lost: float = 0.01
    retried: float = 0.01
    duplicate: float = 0.03


@dataclass(slots=True)
class Process:
    """A client, an invocation or the clock: a greenlet and when it may go on."""

    name: str
    body: greenlet
    at_ms: int


class _Faults:
    """Stands at every port call: switch, then perhaps a fault."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim

    def before(self, port: str, call: str) -> None:
        self.sim.step(f"{port}.{call}")
        self.sim.maybe("throttle", lambda: _unavailable(port, "throttled"))

    def after(self, port: str, call: str) -> None:
        self.sim.maybe("lost", lambda: _unavailable(port, "the response was lost"))


def _unavailable(port: str, why: str) -> None:
    raise (StoreUnavailable if port == "store" else QueueUnavailable)(why)


def _name() -> str:
    """The running process, for the trace."""
    return str(getattr(getcurrent(), "name", "the world"))


def _pause(milliseconds: int) -> None:
    """Give way; go on after so much virtual time."""
    parent = getcurrent().parent
    assert parent is not None
    parent.switch(milliseconds)


@dataclass(slots=True)
class Simulation:
    """One seed's world."""

    seed: int
    rates: Rates = field(default_factory=Rates)
    trace: bool = False
    clock: VirtualClock = field(default_factory=VirtualClock)
    faults: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    log: list[str] = field(default_factory=list)
    calm: bool = False
    processes: list[Process] = field(default_factory=list)
    started: dict[str, Flow] = field(default_factory=dict)
    asked: int = 0
    cancelled: set[str] = field(default_factory=set)
    ran: Counter[tuple[str, str]] = field(default_factory=Counter)
    random: Random = field(init=False)
    store: Watched = field(init=False)
    queues: MemoryQueues = field(init=False)
    ids: SeededIds = field(init=False)
    flows: dict[str, Flow] = field(init=False)
    deployed: list[Flow] = field(init=False)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        hooks = _Faults(self)
        self.store = Watched(hooks, retried=lambda: self._hit("retried"))
        redrive = self.random.choice((40, 40, 40, 6))
        self.queues = MemoryQueues(
            self.clock, visibility_s=VISIBILITY_S, max_receive_count=redrive, faults=hooks
        )
        self.ids = SeededIds(self.seed)
        self.flows = {f"w{n}": draw_flow(self.random, f"w{n}") for n in range(self.random.randrange(1, 4))}
        self.deployed = [*self.flows.values(), CHILD]

    # ---- processes

    def engine(self) -> Engine:
        """An engine with a clock of its own."""
        return Engine(
            store=self.store,
            queues=self.queues,
            clock=SkewedClock(self.clock, self.random.randrange(-400, 400)),
            ids=self.ids,
            expressions=PythonExpressions(),
            limits=Limits(first_beat_s=2, beat_every_s=4, lease_s=10),
        )

    def spawn(self, name: str, body: Callable[[], None], delay_ms: int = 0) -> None:
        self.processes.append(Process(name, greenlet(body), self.clock.now_ms() + delay_ms))

    def step(self, what: str) -> None:
        """A switch point of the running process; it may die here or be frozen."""
        if self.trace:
            self.log.append(f"{self.clock.now_ms() % 10**9:>9} {_name():<24} {what}")
        _pause(self.random.choice((0, 1, 5, 30)))
        self.maybe("kill", _die)
        if self._hit("freeze"):
            _pause(self.random.randrange(1_000, 60_000))

    def maybe(self, kind: str, act: Callable[[], None]) -> None:
        if self._hit(kind):
            act()

    def _hit(self, kind: str) -> bool:
        if self.calm or self.random.random() >= getattr(self.rates, kind):
            return False
        self.faults[kind] += 1
        if self.trace:
            self.log.append(f"{'':>9} {_name():<24} !! {kind}")
        return True

    # ---- the course of a simulation

    def run(self) -> Simulation:
        """Draw clients, then let everything happen until the world is at rest."""
        for n in range(self.random.randrange(1, 6)):
            name = self.random.choice(list(self.flows))
            delay_ms = self.random.randrange(0, 3_000)
            self.spawn(f"client {n}", lambda name=name: self._client(self.flows[name]), delay_ms)  # type: ignore[misc]  # now
        if self.random.random() < 0.3:
            self.spawn("deployment", self._deploy, self.random.randrange(0, 3_000))
        next_tick_ms = self.clock.now_ms() + 60_000
        while self.steps < MAX_STEPS:
            self.steps += 1
            self.store.check()
            if self.clock.now_ms() >= next_tick_ms:
                next_tick_ms += 60_000
                self.spawn("clock", lambda: tick(self.engine()) and None)
            if self._advance():
                continue
            if self._receive():
                continue
            due_ms = self._next_ms(next_tick_ms)
            if due_ms is None:
                return self
            self.clock.advance_to(due_ms)
        raise AssertionError(f"not at rest after {MAX_STEPS} steps: {self.queues.depth()} messages")

    def _advance(self) -> bool:
        """Let one process that may go on do so."""
        ready = [p for p in self.processes if p.at_ms <= self.clock.now_ms()]
        if not ready:
            return False
        process = self.random.choice(ready)
        process.body.name = process.name  # type: ignore[attr-defined]  # for the trace
        try:
            pause_ms = process.body.switch()
        except (Killed, StoreUnavailable, QueueUnavailable):
            pause_ms = None
        if process.body.dead:
            self.processes.remove(process)
        else:
            process.at_ms = self.clock.now_ms() + int(pause_ms or 0)
        self.clock.advance(self.random.choice((0, 0, 1, 3)))
        return True

    def _receive(self) -> bool:
        """Hand a message to a new invocation; sometimes to two."""
        hooks, self.queues.faults = self.queues.faults, _Quiet()
        try:
            for queue in (*self.queues.known(), DEAD_LETTERS):
                for received in self.queues.receive(queue, limit=1, wait_s=0):
                    self._invoke(received)
                    if self._hit("duplicate"):
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

    def _next_ms(self, next_tick_ms: int) -> int | None:
        """When something happens next; None: the world is at rest."""
        times = [p.at_ms for p in self.processes]
        visible_ms = self.queues.next_visible_ms()
        if visible_ms is not None:
            times.append(visible_ms)
        if not times and not self.store.timers():
            return None
        return min([*times, next_tick_ms])

    # ---- what the processes do

    def _deploy(self) -> None:
        """Every workflow gets another shape. Workers have the new tasks beside the old; runs finish by their records."""
        self.flows = {name: draw_flow(self.random, name) for name in self.flows}
        self.deployed.extend(self.flows.values())
        self.faults["deployment"] += 1

    def _client(self, flow: Flow) -> None:
        self.asked += 1
        run_id = self.ids.run_id()
        self.started[run_id] = flow
        engine = self.engine()
        start(engine, NewRun(plan=flow.plan, input='{"n":1}', run_id=run_id))
        if self.random.random() < 0.15:
            _pause(self.random.randrange(0, 5_000))
            self.cancelled.add(run_id)
            cancel(engine, run_id)
        elif self.random.random() < 0.2:
            read(engine, run_id)

    def _lambda(self, received: Received) -> None:
        engine = self.engine()
        if received.queue == DEAD_LETTERS:
            verdict = bury(engine, received, reason="delivered too often")
        else:
            verdict = deliver(engine, self._host(received.queue), received, runner=self._runner)
        if isinstance(verdict, Done) or received.queue == DEAD_LETTERS:
            self.queues.delete(received)

    def _host(self, worker: str) -> Host:
        runnables: dict[tuple[str, str], Runnable] = {
            (flow.plan.workflow, task.name): Scripted(self, task.name)
            for flow in self.deployed
            for task in flow.plan.tasks
        }
        time_left_ms = self.random.choice((900_000, 20_000))
        return Host(
            worker=worker, runnables=runnables, visibility_s=VISIBILITY_S, time_left_ms=lambda: time_left_ms
        )

    def _runner(
        self,
        engine: Engine,
        host: Host,
        claimed: Claimed,
        control: LiveControl,
        runnable: Runnable,
        work: Work,
    ) -> Ending:
        """User code in virtual time, with its heartbeats and its deadline."""
        assert isinstance(runnable, Scripted)
        self.ran[work.record.run_id, work.task] += 1
        script = runnable.script(work)
        fate = script.fate(work.record.tasks[work.task].app_retry_count)
        limit_ms = claimed.plan.execution_timeout_ms
        left_ms = limit_ms + 1 if fate == "slow" else script.duration_ms
        beat_in_ms = int(engine.limits.first_beat_s * 1000)
        while left_ms > 0:
            pause_ms = min(left_ms, beat_in_ms)
            _pause(pause_ms)
            left_ms -= pause_ms
            if left_ms > 0:
                beat_in_ms = self._beat(engine, claimed, control)
                if control.is_cancelled():
                    return Interrupted()
        return TimedOut(limit_ms / 1000) if fate == "slow" else runnable.call(work)

    def _beat(self, engine: Engine, claimed: Claimed, control: LiveControl) -> int:
        try:
            beat_once(engine, claimed.received, claimed.attempt, control)
        except (StoreUnavailable, QueueUnavailable):
            return 1_000
        return int(engine.limits.beat_every_s * 1000)


@dataclass(frozen=True, slots=True)
class Scripted:
    """A task's code by its script."""

    sim: Simulation
    task: str
    is_async: bool = False

    def flow(self, work: Work) -> Flow:
        """The flow that this run was started with, whatever is deployed by now."""
        return self.sim.started.get(work.record.run_id, CHILD)

    def script(self, work: Work) -> Script:
        return self.flow(work).scripts[self.task]

    def call(self, work: Work) -> Outcome:
        script = self.script(work)
        for parent in work.record.plan.task(self.task).parents:
            self._sees(work, parent)
        if script.children:
            return Family(self.sim.engine(), CHILD.plan, script.children).call(work)
        match script.fate(work.record.tasks[self.task].app_retry_count):
            case "succeed":
                return Succeeded(json.dumps({"n": script.output, "pad": "x" * script.output_chars}))
            case "permanent":
                return Raised(ErrorInfo(type="E", message="for good"), retryable=False)
            case _:
                return Raised(ErrorInfo(type="E", message="this time"))

    def _sees(self, work: Work, parent: str) -> None:
        """A parent's output is there, and is what its script says."""
        seen = json.loads(work.output_of(parent) or "null")
        expected = self.flow(work).scripts[parent].output
        if seen.get("skipped") is not True and seen["n"] != expected:
            raise AssertionError(f"{self.task} sees {seen} of {parent}, not {expected}")

    async def acall(self, work: Work) -> Outcome:
        return self.call(work)


class _Quiet:
    def before(self, port: str, call: str) -> None: ...

    def after(self, port: str, call: str) -> None: ...


def _die() -> None:
    raise Killed


def plans_of(sim: Simulation) -> dict[str, RunPlan]:
    return {name: flow.plan for name, flow in sim.flows.items()}
