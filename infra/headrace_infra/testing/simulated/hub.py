"""Processes of one seed's world on its table and queues, and the faults that strike them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from greenlet import GreenletExit, getcurrent

from headrace.engine.engine import Engine
from headrace.engine.events.push import EVENTS_QUEUE
from headrace.memory.clock import SeededIds, VirtualClock
from headrace.memory.secrets import MemorySecrets
from headrace.ports import NEXT, Ports
from headrace_infra.local.resources import Deployed
from headrace_infra.testing.simulated.faults import (
    MOST_CRASHES_A_TASK,
    WORDS,
    AtPorts,
    Dice,
    Fault,
    FaultyQueues,
    FaultyStore,
    Injected,
    named,
)
from headrace_infra.testing.simulated.loop import SimulatedProcessLoop
from headrace_infra.testing.simulated.process import Process, SkewedClock, current, new_greenlet, pause
from headrace_infra.testing.simulated.watch import Watch

if TYPE_CHECKING:
    from headrace.app import Headrace


class Hub:
    """The processes of a world. Each is gone on with by the hub, and strikes happen where it calls a port or awaits.

    only: the ordinals of the faults that happen, of those that are drawn; None: all. faults: False for a calm world.
    """

    def __init__(
        self,
        app: Headrace,
        deployed: Deployed,
        seed: int,
        *,
        faults: bool = True,
        only: frozenset[int] | None = None,
        max_receive_count: int = 12,
    ) -> None:
        self.app = app
        self.deployed = deployed
        self.seed = seed
        self.random = Random(f"world {seed}")
        self.dice = Dice(random=Random(f"faults {seed}"), only=only)
        self.dice.calm = self.is_calm = not faults
        self.clock = VirtualClock()
        self.began_ms = self.clock.now_ms()
        self.hub = getcurrent()
        self.closed = False
        self.faults: list[Injected] = []
        self.calls: Counter[str] = Counter()
        self.invocations = 0
        self.watch = Watch(self)
        hooks = AtPorts()
        self.store = FaultyStore(hooks)
        self.queues = FaultyQueues(self.clock, max_receive_count=max_receive_count, faults=hooks)
        next_queues = {name + NEXT for name in deployed.next}
        self.queues.only = (
            frozenset(deployed.timeout_s) | next_queues | ({EVENTS_QUEUE} if deployed.events else set())
        )
        self._ids = SeededIds(seed)
        self._secrets = MemorySecrets()
        self._engines: list[Engine] = []
        self._processes: list[Process] = []
        self._dead: list[Process] = []
        self._loops: list[SimulatedProcessLoop] = []
        self._crashes: Counter[tuple[str, str]] = Counter()
        self.engine = self.new_engine(skew_ms=0)
        self._workers = {worker.name: worker for worker in app._fleet()}
        self._own_lifespans = {name: worker.lifespan for name, worker in self._workers.items()}

    # ---- processes

    def new_engine(self, *, skew_ms: int | None = None) -> Engine:
        skew = self.random.randrange(-400, 400) if skew_ms is None else skew_ms
        ports = Ports(
            store=self.store,
            queues=self.queues,
            clock=SkewedClock(self.clock, skew, self.sleep_outside),
            ids=self._ids,
            secrets=self._secrets,
        )
        engine = self.app._engine_on(ports)
        self._engines.append(engine)
        return engine

    def _spawn(
        self, name: str, body: Callable[[], None], *, after_ms: int = 0, fallible: bool = True
    ) -> Process:
        loop = SimulatedProcessLoop(self.clock, self.turn)
        self._loops.append(loop)
        process = Process(
            world=self,
            name=name,
            body=new_greenlet(body, self.hub),
            at_ms=self.clock.now_ms() + after_ms,
            engine=self.new_engine(),
            loop=loop,
            fallible=fallible,
        )
        return self._add(process)

    def spawn(self, name: str, body: Callable[[], None], *, of: Process) -> Process:
        """A process beside another, in its environment: they die together."""
        return self._add(
            Process(
                world=self,
                name=name,
                body=new_greenlet(body, self.hub),
                at_ms=self.clock.now_ms(),
                engine=of.engine,
                loop=of.loop,
                environment=of.environment,
            )
        )

    def _add(self, process: Process) -> Process:
        process.body.headrace_process = process
        self._processes.append(process)
        if process.environment is not None:
            process.environment.processes.append(process)
        return process

    def forget(self, process: Process) -> None:
        """It does not go on."""
        if process in self._processes:
            self._processes.remove(process)
        if process.environment is not None and process in process.environment.processes:
            process.environment.processes.remove(process)
        if not process.body.dead:
            self._dead.append(process)

    def sleep_outside(self, seconds: float) -> None:
        """The test itself waits: the world goes on meanwhile."""
        raise NotImplementedError

    # ---- faults

    def strikes(self, process: Process, kind: Fault, where: str) -> bool:
        """Whether this fault happens to this process here."""
        if not process.fallible or self.closed:
            return False
        if kind is Fault.CRASH and self._crashes[process.run_id, process.task] >= MOST_CRASHES_A_TASK:
            return False
        return self._drawn(kind, f"{process.name} {WORDS[kind]} {where}, {process.doing}") is not None

    def _drawn(self, kind: Fault, where: str) -> Injected | None:
        fault = self.dice.draw(kind, self.clock.now_ms() - self.began_ms, where)
        if fault is None or fault.skipped:
            return None
        self.faults.append(fault)
        self.watch.tell(where, is_fault=True)
        return fault

    def at_port(self, process: Process, call: str) -> None:
        """A process is about to call a port: others go on first; it may die here, or stand still for a while."""
        self.calls[call] += 1
        if not process.fallible:
            return
        pause(self.random.choice((0, 1, 5, 30)))
        self.may_die(f"before {named(*call.split('.'))}")

    def turn(self, milliseconds: int) -> None:
        """Between two turns of a process's event loop."""
        process = current()
        if process is None:
            self.sleep_outside(milliseconds / 1000)
            return
        pause(milliseconds)
        if process.in_code:
            self.may_die("between two lines that await")

    def may_die(self, where: str) -> None:
        process = current()
        if process is None:
            return
        if self.closed:
            raise GreenletExit
        if self.strikes(process, Fault.CRASH, where):
            self._crash(process)
        if self.strikes(process, Fault.FREEZE, where):
            self._freeze(process)

    def _crash(self, process: Process) -> None:
        """The process ends here. Its greenlets are never gone on with, so no `finally` of its code runs."""
        self._crashes[process.run_id, process.task] += 1
        environment = process.environment
        dying = list(environment.processes) if environment is not None else [process]
        if environment is not None:
            environment.dead = True
        for each in dying:
            if each is not process and each.in_code:
                self._crashes[each.run_id, each.task] += 1
            self.watch.died(each)
            self.forget(each)
        self.hub.switch(None)

    def _freeze(self, process: Process) -> None:
        """All of its environment stands still, past its lease perhaps."""
        milliseconds = self.random.randrange(1_000, 60_000)
        environment = process.environment
        for each in environment.processes if environment is not None else ():
            each.at_ms = max(each.at_ms, self.clock.now_ms() + milliseconds)
        pause(milliseconds)
