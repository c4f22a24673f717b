"""The world of one seed: an app's workers, clients and clock as cooperating processes, and faults at every place where one can happen."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from greenlet import GreenletExit

from headrace.engine.engine import Engine
from headrace.errors import HeadraceError, QueueUnavailable, StoreUnavailable
from headrace.runtime import loop as runtime_loop
from headrace.runtime.durable import kept as suspended
from headrace.triggers.results import mailbox
from headrace_infra.local.resources import Deployed
from headrace_infra.local.stack import HORIZON_MS, MINUTE_MS
from headrace_infra.testing.simulated.deliveries import Deliveries
from headrace_infra.testing.simulated.environment import Environment
from headrace_infra.testing.simulated.faults import Fault
from headrace_infra.testing.simulated.loop import SimulatedProcessLoop
from headrace_infra.testing.simulated.process import Process, current
from headrace_infra.testing.simulated.watch import status_of

if TYPE_CHECKING:
    from headrace.app import Headrace

MAX_STEPS = 200_000
CALM_AFTER_STEPS = 30_000
"""From here on nothing goes wrong any more: what is left has to end."""

REPAIR_MINUTES = 15
"""For how long the clock comes by where runs are not over and nothing else will happen: what it repairs, it repairs by then."""


class NotAtRest(AssertionError):
    """The world goes on and on: its seed, and what is left."""


class World(Deliveries):
    """One seed's world. `start` asks for runs, `run` lets everything happen until nothing is left to happen.

    only: the ordinals of the faults that happen, of those that are drawn; None: all. faults: False for a calm world, which is what
    others are held against.
    """

    def __init__(self, app: Headrace, deployed: Deployed, seed: int, **given: Any) -> None:
        super().__init__(app, deployed, seed, **given)
        self._steps = 0

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

    def sleep_outside(self, seconds: float) -> None:
        """The test itself waits: the world goes on meanwhile."""
        until_ms = self.clock.now_ms() + int(seconds * 1000)
        while self.clock.now_ms() < until_ms and self._step(until_ms):
            pass
        self.clock.advance_to(until_ms)

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
            suspended.forget_loop(loop.loop)
        engines = {id(engine) for engine in self._engines}
        for place in [place for place in mailbox._mailboxes if place[1] in engines]:
            del mailbox._mailboxes[place]
