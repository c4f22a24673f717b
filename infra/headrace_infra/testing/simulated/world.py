"""The world of one seed: an app's workers, clients and clock as cooperating processes, and faults at every place where one can happen."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from random import Random
from typing import TYPE_CHECKING, Any

from greenlet import GreenletExit, getcurrent

from headrace.core.changes import Item, Key, Put
from headrace.core.run.message import FiringKind
from headrace.core.table import TIMERS, timer_minute
from headrace.engine.clock.tick import skip_to, tick
from headrace.engine.engine import Engine
from headrace.engine.events.push import EVENTS_QUEUE
from headrace.engine.runs.ports import Done
from headrace.errors import HeadraceError, QueueUnavailable, StoreUnavailable
from headrace.memory.clock import SeededIds, VirtualClock
from headrace.memory.queues import DEAD_LETTERS
from headrace.memory.secrets import MemorySecrets
from headrace.ports import NEXT, Ports, Received
from headrace.runtime import loop as runtime_loop
from headrace.runtime.durable import kept as suspended
from headrace.triggers import mailbox
from headrace_handlers import dead_letters
from headrace_handlers import events as events_handler
from headrace_infra.local.clock import CRON_TICK
from headrace_infra.local.dispatcher import LambdaContext, event_of
from headrace_infra.local.resources import Deployed
from headrace_infra.local.stack import _quietly
from headrace_infra.testing.simulated.environment import Environment, deliver_in, new_environment
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
from headrace_infra.testing.simulated.patching import replaced, users_modules, virtual_time
from headrace_infra.testing.simulated.process import Process, SkewedClock, current, new_greenlet, pause
from headrace_infra.testing.simulated.watch import Watch, status_of

if TYPE_CHECKING:
    from headrace.app import Headrace

MAX_STEPS = 200_000
CALM_AFTER_STEPS = 30_000
"""From here on nothing goes wrong any more: what is left has to end."""

MINUTE_MS = 60_000
HORIZON_MS = 20 * MINUTE_MS
REPAIR_MINUTES = 15
"""For how long the clock comes by where runs are not over and nothing else will happen: what it repairs, it repairs by then."""

SUPPORT_VISIBILITY_S = 360


class NotAtRest(AssertionError):
    """The world goes on and on: its seed, and what is left."""


class World:
    """One seed's world. `start` asks for runs, `run` lets everything happen until nothing is left to happen.

    only: the ordinals of the faults that happen, of those that are drawn; None: all. faults: False for a calm world, which is what
    others are held against.
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
        self._environments: list[Environment] = []
        self._dead: list[Process] = []
        self._loops: list[SimulatedProcessLoop] = []
        self._crashes: Counter[tuple[str, str]] = Counter()
        self._generation = 0
        self._made = 0
        self._steps = 0
        self._next_tick_ms = self.clock.now_ms() + MINUTE_MS
        self.engine = self.new_engine(skew_ms=0)
        self._workers = {worker.name: worker for worker in app._fleet()}
        self._own_lifespans = {name: worker.lifespan for name, worker in self._workers.items()}

    # ---- what a test asks of it

    def start(self, workflow: Any, input: Any = None, **options: Any) -> str:
        """Start a run, now and without a fault on its way: its id. `workflow`: a task or workflow, or its name."""
        flow = self._flow(workflow)
        ref = flow.run(input if input is not None else {}, wait_for_result=False, **options)
        self.watch.name_run(ref.workflow_run_id, flow.name)
        self.watch.tell(f"a client starts {self.watch.names[ref.workflow_run_id]}")
        return str(ref.workflow_run_id)

    def client(self, call: Callable[[], Any], *, after_ms: int = 0) -> None:
        """Have a client process do something, under the same faults as workers: it may see errors of AWS, or die on the way."""
        self._spawn("a client", self._as_client(call), after_ms=after_ms)

    def _as_client(self, call: Callable[[], Any]) -> Callable[[], None]:
        def body() -> None:
            value = call()
            process = current()
            if asyncio.iscoroutine(value) and process is not None:
                process.loop.run(value)

        return body

    def effect(self, name: str, key: object = "") -> None:
        """Note that code did something outside that is to be done once: for fakes of other systems."""
        self.watch.effect(name, str(key))

    def count(self, name: str, key: object = None) -> int:
        """How often an effect was noted, or a function named by `once` was called and returned; of one key, where it is given."""
        return sum(
            count
            for (_, each, at), count in self.watch.effects.items()
            if each == name and (key is None or at == str(key))
        )

    @property
    def broken(self) -> tuple[str, ...]:
        """What must not be, whatever the app: limits that were exceeded, durable tasks that are not deterministic. Each in words."""
        return tuple(dict.fromkeys(self.watch.broken))

    def executions(self, run_id: str, task: str) -> int:
        """How often a task's code was started for a run."""
        return self.watch.executions[run_id, task]

    def status(self, run_id: str) -> str:
        """COMPLETED, FAILED, CANCELLED, RUNNING, QUEUED, or WAITING where only an event can end it."""
        record = self.watch.record(run_id)
        return status_of(record) if record is not None else "UNKNOWN"

    def story(self) -> str:
        """What happened, in order, a line each; faults begin with `!!`."""
        return "\n".join(str(line) for line in self.watch.story)

    def _flow(self, workflow: Any) -> Any:
        if not isinstance(workflow, str):
            return workflow
        return self.app._workflows_by_name[self.app.settings.apply_namespace(workflow)]

    # ---- processes

    def new_engine(self, *, skew_ms: int | None = None) -> Engine:
        skew = self.random.randrange(-400, 400) if skew_ms is None else skew_ms
        ports = Ports(
            store=self.store,
            queues=self.queues,
            clock=SkewedClock(self.clock, skew, self._sleep_outside),
            ids=self._ids,
            secrets=self._secrets,
        )
        engine = self.app._engine_on(ports)
        self._engines.append(engine)
        return engine

    def _sleep_outside(self, seconds: float) -> None:
        """The test itself waits: the world goes on meanwhile."""
        until_ms = self.clock.now_ms() + int(seconds * 1000)
        while self.clock.now_ms() < until_ms and self._step(until_ms):
            pass
        self.clock.advance_to(until_ms)

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
        if fault is None:
            return None
        if fault.skipped:
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
            self._sleep_outside(milliseconds / 1000)
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

    # ---- the course of it

    def run(self) -> World:
        """Until no message, timer or process is left. NotAtRest where that does not come."""
        if self._generation == 0:
            self._generation = 1
            if self._drawn(Fault.DEPLOYMENT, "a deployment takes place") is not None:
                after_ms = self.random.randrange(0, 3_000)
                self._spawn("a deployment", self._deploy, after_ms=after_ms, fallible=False)
        looks, invoked = 0, self.invocations
        while True:
            if self._step():
                continue
            if self.invocations > invoked:
                looks, invoked = 0, self.invocations
            if looks >= REPAIR_MINUTES or not self._open_runs():
                return self
            looks += 1
            self.clock.advance_to(self._next_tick_ms)

    def _open_runs(self) -> bool:
        return any(
            status_of(record) in ("QUEUED", "RUNNING", "WAITING") for record in self.watch.outcomes().values()
        )

    def _step(self, until_ms: int | None = None) -> bool:
        """The next thing that happens, not after `until_ms`. False: nothing is left, or not by then."""
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise NotAtRest(
                f"seed {self.seed}: not at rest after {MAX_STEPS:,} steps: {self.queues.depth()} messages are left"
            )
        self.dice.calm = self.dice.calm or self._steps > CALM_AFTER_STEPS
        self._tick_if_due()
        if self._advance() or self._receive():
            return True
        due_ms = self._next_ms()
        if due_ms is None or (until_ms is not None and due_ms > until_ms):
            return False
        ahead_ms = due_ms - self.clock.now_ms()
        if not self._processes and ahead_ms > HORIZON_MS:  # of a long wait only its last minutes are ticked
            self.clock.advance(ahead_ms - 2 * MINUTE_MS)
            self._skip_minutes()
            return True
        self.clock.advance_to(min(due_ms, self._next_tick_ms))
        return True

    def _advance(self) -> bool:
        now_ms = self.clock.now_ms()
        ready = [process for process in self._processes if process.at_ms <= now_ms]
        if not ready:
            return False
        self._switch_to(self.random.choice(ready))
        self.clock.advance(self.random.choice((0, 0, 1, 3)))
        return True

    def _switch_to(self, process: Process) -> None:
        with self._installed(process.engine, process.loop, process.environment):
            try:
                wait_ms = process.body.switch()
            except (StoreUnavailable, QueueUnavailable) as error:
                self.watch.tell(f"{process.name} gave up: {error}")
                wait_ms = None
            except HeadraceError as error:
                self.watch.tell(f"{process.name} ended with an error: {error}")
                wait_ms = None
        if process.body.dead:
            self.forget(process)
            if process.environment is not None and not process.environment.processes:
                process.environment.busy = False
        elif process in self._processes:
            process.at_ms = max(process.at_ms, self.clock.now_ms() + int(wait_ms or 0))

    @contextmanager
    def _installed(
        self, engine: Engine, loop: SimulatedProcessLoop, environment: Environment | None
    ) -> Iterator[None]:
        """The library's places for what a process has one of, while this one runs."""
        connection = self.app._connection
        before = connection.engine, runtime_loop._current
        worker = self._workers.get(environment.worker) if environment is not None else None
        connection.engine, runtime_loop._current = engine, loop
        if worker is not None and environment is not None:
            worker.lifespan = environment.lifespan
        try:
            yield
        finally:
            connection.engine, runtime_loop._current = before
            if worker is not None:
                worker.lifespan = self._own_lifespans[worker.name]

    def _receive(self) -> bool:
        names = [*self.queues.known(), DEAD_LETTERS]
        self.random.shuffle(names)
        for queue in names:
            if not self.queues.depth(queue):
                continue
            visibility_s = self.deployed.visibility_s.get(queue.removesuffix(NEXT), SUPPORT_VISIBILITY_S)
            for received in self.queues.receive(queue, limit=1, wait_s=0, visibility_s=visibility_s):
                self._invoke(received)
                if self._drawn(Fault.DUPLICATE, f"a message of {queue} is delivered twice") is not None:
                    self._invoke(received)
                return True
        return False

    def _invoke(self, received: Received) -> None:
        environment = self._free_environment(received.queue.removesuffix(NEXT))
        environment.busy = True
        self.invocations += 1
        process = Process(
            world=self,
            name=environment.name,
            body=new_greenlet(lambda: self._lambda(environment, received), self.hub),
            at_ms=self.clock.now_ms() + self.random.choice((0, 0, 10, 500)),
            engine=environment.engine,
            loop=environment.loop,
            environment=environment,
            doing="while it claims a message",
        )
        self._add(process)

    def _free_environment(self, queue: str) -> Environment:
        for each in self._environments:
            if each.worker == queue and not (each.busy or each.dead) and each.generation == self._generation:
                return each
        self._made += 1
        worker = self._workers.get(queue)
        name = f"{queue}/{self._made}"
        made = new_environment(self, worker, name, queue, self._generation)
        self._environments = [each for each in self._environments if not each.dead]
        self._environments.append(made)
        self._loops.append(made.loop)
        return made

    def _lambda(self, environment: Environment, received: Received) -> None:
        if received.queue.removesuffix(NEXT) in self._workers:
            verdict = deliver_in(self, environment, received)
            settled = isinstance(verdict, Done)
        else:
            handler = (
                dead_letters.make_handler(self.app)
                if received.queue == DEAD_LETTERS
                else events_handler.make_handler(self.app, report=_quietly)
            )
            context = LambdaContext(received.queue, SUPPORT_VISIBILITY_S)
            answer = handler(event_of([received], "us-east-1"), context)
            settled = not answer["batchItemFailures"]
        if settled:
            process = current()
            if process is not None:
                process.doing = "once it is done"
            self.queues.delete(received)

    def _deploy(self) -> None:
        self._generation += 1
        self.app._publish(every_zone=True)
        self.watch.tell("deployed: from here on invocations start in new environments")

    # ---- the clock

    def _tick_if_due(self) -> None:
        if self.clock.now_ms() >= self._next_tick_ms:
            self._next_tick_ms = self.clock.now_ms() + MINUTE_MS
            self._spawn("the clock", self._tick)

    def _tick(self) -> None:
        process = current()
        if process is not None:
            process.doing = "while it ticks"
            process.fallible = self._crashes["", ""] < MOST_CRASHES_A_TASK
            tick(process.engine)

    def _skip_minutes(self) -> None:
        now = self.clock.now_ms() // MINUTE_MS
        first = min((timer_minute(str(item["pk"])) for item in self.store.items(TIMERS)), default=now)
        skip_to(self.engine, min(first, now))
        self._next_tick_ms = self.clock.now_ms()

    def _next_ms(self) -> int | None:
        times = [process.at_ms for process in self._processes]
        visible_ms = self.queues.next_visible_ms(lambda body: not body.startswith(CRON_TICK))
        timers = [
            int(str(item["due"]))
            for item in self.store.items(TIMERS)
            if item.get("look") != FiringKind.CRON.value
        ]
        if visible_ms is not None:
            times.append(visible_ms)
        if timers:
            times.append(max(min(timers), self._next_tick_ms if min(timers) <= self.clock.now_ms() else 0))
        return min(times, default=None)

    # ---- its end

    def close(self) -> None:
        """Let go of everything. From here on no simulated process can call anything."""
        self.closed = True
        for process in [*self._processes, *self._dead]:
            with contextlib.suppress(BaseException):
                process.body.throw(GreenletExit)
        for loop in self._loops:
            for task in asyncio.all_tasks(loop.loop):
                with contextlib.suppress(BaseException):
                    task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio's own switch
                    task.get_coro().close()
            loop.loop.close()
        loops = {id(loop.loop) for loop in self._loops}
        for key, (_, task) in list(suspended._kept.items()):
            if id(task.get_loop()) in loops:
                del suspended._kept[key]
        engines = {id(engine) for engine in self._engines}
        for place in [place for place in mailbox._mailboxes if place[1] in engines]:
            del mailbox._mailboxes[place]


@contextmanager
def _silent() -> Iterator[None]:
    """What the library logs of faults is in the story."""
    loggers = [logging.getLogger(name) for name in ("headrace", "asyncio")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


_published: dict[int, tuple[Headrace, int, list[Item]]] = {}


def published(app: Headrace, deployed: Deployed) -> list[Item]:
    """What a deployment of the app leaves in the table. Every world begins at the same time, so it is the same for all; made once a
    process, as long as no workflow is added."""
    app_of, size, items = _published.get(id(app), (app, -1, []))
    if size == len(app._served()):
        return items
    world, before = World(app_of, deployed, 0, faults=False), app._connection.engine
    app._connection.engine = world.engine
    try:
        app._publish(every_zone=True)
    finally:
        app._connection.engine = before
        world.close()
    _published[id(app)] = app, len(app._served()), world.store.items()
    return _published[id(app)][2]


@contextmanager
def opened(
    app: Headrace,
    deployed: Deployed,
    seed: int,
    *,
    faults: bool = True,
    only: frozenset[int] | None = None,
    once: Sequence[str] = (),
    closing: bool = True,
) -> Iterator[World]:
    """A world with the app on it, as it was afterwards. `once`: functions that are to be done once, by name. closing: False where this
    process ends next: then nothing of what was cut off is unwound."""
    world = World(app, deployed, seed, faults=faults, only=only)
    before = app._connection.engine
    with ExitStack() as stack:
        stack.enter_context(_silent())
        stack.enter_context(virtual_time(world.clock, seed))
        stack.enter_context(_noting(world, once))
        stack.callback(setattr, app._connection, "engine", before)
        if closing:
            stack.callback(world.close)
        app._connection.engine = world.engine
        for item in published(app, deployed):
            world.store.write(Put(key=Key(str(item["pk"]), str(item["sk"])), item=item))
        yield world


@contextmanager
def _noting(world: World, once: Sequence[str]) -> Iterator[None]:
    from headrace_infra.testing.simulated.once import found_at

    with ExitStack() as stack:
        for name in once:
            owner, attribute, function = found_at(name)
            noted = world.watch.once(function, name.rpartition(":")[2])
            stack.callback(setattr, owner, attribute, function)
            setattr(owner, attribute, noted)
            stack.enter_context(replaced({function: noted}, users_modules()))
        yield
