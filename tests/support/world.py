"""An engine on the memory ports, tasks as plain functions, and delivery as the event source mapping does it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from headrace.core.changes import Item
from headrace.core.run.plans.plan import Json, RunPlan
from headrace.core.run.record import ErrorInfo, RunRecord
from headrace.core.table import TIMERS, run_key, timer_minute
from headrace.engine.attempts.ports import Done, Host, Outcome, Raised, Runnable, Succeeded, Work
from headrace.engine.catalog.plans import record_in
from headrace.engine.clock.tick import skip_to, tick
from headrace.engine.engine import Engine, Limits
from headrace.engine.runs.claimed import Claimed
from headrace.engine.runs.dead_letter import fail_dead_letter
from headrace.engine.runs.deliver import deliver
from headrace.engine.runs.start import NewRun, start
from headrace.engine.timers import HORIZON_S
from headrace.errors import QueueUnavailable, StoreUnavailable
from headrace.memory.clock import SeededIds, VirtualClock
from headrace.memory.faults import Faults, NoFaults
from headrace.memory.queues import DEAD_LETTERS, MemoryQueues
from headrace.memory.store import MemoryStore
from headrace.runtime.control import LiveControl
from headrace.runtime.deadline import Ending

Body = Callable[[Work], Json]
Together = Callable[[Sequence[Callable[[], Any]]], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Code:
    """A task's code as a function of its work; what it raises fails the attempt."""

    body: Body
    is_async: bool = False

    def call(self, work: Work) -> Outcome:
        try:
            value = self.body(work)
        except Exception as error:  # noqa: BLE001  # user code
            return Raised(
                ErrorInfo(type=type(error).__name__, message=str(error)),
                not isinstance(error, PermanentError),
            )
        return Succeeded(None if value is None else json.dumps(value))

    async def acall(self, work: Work) -> Outcome:
        return self.call(work)


class PermanentError(Exception):
    """Not to be retried."""


class Killed(BaseException):
    """The process ends here."""


def run_at_once(
    engine: Engine, host: Host, claimed: Claimed, control: LiveControl, runnable: Runnable, work: Work
) -> Ending:
    """A runner without deadline and heartbeat: time stands still."""
    return runnable.call(work)


@dataclass(slots=True)
class World:
    """One engine; a host for each worker; `ran` is what user code was started, in order."""

    plans: Mapping[str, RunPlan]
    code: Mapping[str, Body]
    faults: Faults | None = None
    limits: Limits = field(default_factory=Limits)
    seed: int = 0
    ran: list[str] = field(default_factory=list)
    clock: VirtualClock = field(default_factory=VirtualClock)
    max_receive_count: int = 12
    more: dict[tuple[str, str], Runnable] = field(default_factory=dict)
    is_async: bool = False
    together: Together | None = None
    store_type: type[MemoryStore] = MemoryStore
    engine: Engine = field(init=False)
    store: MemoryStore = field(init=False)
    queues: MemoryQueues = field(init=False)
    _hosted: dict[tuple[str, int, int], dict[tuple[str, str], Runnable]] = field(
        default_factory=dict, init=False
    )

    def __post_init__(self) -> None:
        self.store = self.store_type(self.faults)
        self.queues = MemoryQueues(self.clock, faults=self.faults, max_receive_count=self.max_receive_count)
        self.engine = Engine(
            store=self.store,
            queues=self.queues,
            clock=self.clock,
            ids=SeededIds(self.seed),
            limits=self.limits,
            expressions=PythonExpressions(),
        )

    # ---- the client

    def start(self, workflow: str, value: Json = None, **options: object) -> str:
        text = None if value is None else json.dumps(value)
        new = NewRun(plan=self.plans[workflow], input=text, **options)  # type: ignore[arg-type]  # NewRun's fields
        return start(self.engine, new).run_id

    def record(self, run_id: str) -> RunRecord:
        item = self.store.get(run_key(run_id))
        assert item is not None, f"run {run_id} has no record"
        return record_in(self.engine, item)

    # ---- the workers

    def host(self, worker: str) -> Host:
        runnables = {**self._noted_code(worker), **self.runnables(worker)}
        return Host(worker=worker, runnables=runnables, visibility_s=60, together=self.together)

    def _noted_code(self, worker: str) -> dict[tuple[str, str], Runnable]:
        """The code of a worker, made once as a process makes it, or again where plans or code were added."""
        key = (worker, len(self.plans), len(self.code))
        if key not in self._hosted:
            self._hosted[key] = {
                (plan.workflow, task.name): Code(self._noted(task.name), self.is_async)
                for plan in self.plans.values()
                for task in plan.tasks
                if task.worker == worker and task.name in self.code
            }
        return self._hosted[key]

    def runnables(self, worker: str) -> dict[tuple[str, str], Runnable]:
        """More code, by (workflow, task): set `more` to give a task's outcome itself."""
        return {
            key: code for key, code in self.more.items() if self.plans[key[0]].task(key[1]).worker == worker
        }

    def _noted(self, name: str) -> Body:
        def body(work: Work) -> Json:
            self.ran.append(name)
            return self.code[name](work)

        return body

    def deliver_next(self) -> bool:
        """Receive and process one message of any queue, as Lambda would. False: none is visible."""
        try:
            return any(self._deliver_from(queue) for queue in (*self.queues.known(), DEAD_LETTERS))
        except (Killed, StoreUnavailable, QueueUnavailable):
            return True  # the message comes back

    def _deliver_from(self, queue: str) -> bool:
        for received in self.queues.receive(queue, limit=1, wait_s=0):
            if queue == DEAD_LETTERS:
                verdict = fail_dead_letter(self.engine, received, reason="delivered too often")
            else:
                verdict = deliver(self.engine, self.host(queue), received, runner=run_at_once)
            if isinstance(verdict, Done) or queue == DEAD_LETTERS:
                self.queues.delete(received)
            return True
        return False

    def drain(self, *, limit: int = 10_000) -> None:
        """Deliver until nothing is left, moving time to whatever is due next."""
        for _ in range(limit):
            if self.deliver_next():
                continue
            due_ms = self.queues.next_visible_ms()
            if due_ms is None and not self._timers():
                return
            if due_ms is None or due_ms - self.clock.now_ms() > 60_000:
                due_ms = self.clock.now_ms() + 60_000
            self.clock.advance_to(due_ms)
            with contextlib.suppress(Killed, StoreUnavailable, QueueUnavailable):
                self._tick()
        raise AssertionError(f"not quiet after {limit} deliveries: {self.queues.depth()} messages left")

    def _tick(self) -> None:
        """A tick that looks at no minute before that of the first timer: a call for each shard of each minute is most of what would be done, and
        most of the calls that could fail, otherwise."""
        faults, self.store.faults = self.store.faults, NoFaults()
        until = (self.clock.now_ms() + HORIZON_S * 1000) // 60_000
        minutes = (timer_minute(str(item["pk"])) for item in self._timers())
        skip_to(self.engine, min([*minutes, until]))
        self.store.faults = faults
        tick(self.engine)

    def _timers(self) -> list[Item]:
        return self.store.items(TIMERS)


class PythonExpressions:
    """Conditions as Python over `output`: a stand-in for CEL where only truth matters."""

    def evaluate(self, expression: str, variables: Mapping[str, Json]) -> Json:
        from headrace.errors import ExpressionError

        try:
            value: Json = eval(expression, {"__builtins__": {}}, dict(variables))
        except Exception as error:
            raise ExpressionError(f"{expression!r}: {error}") from error
        return value


@dataclass(slots=True)
class KillAt:
    """Kills the process at the n-th port call (counting from 0), before or after its effect; once."""

    n: int
    after_effect: bool
    calls: int = 0
    armed: bool = True
    hit: str = ""

    def before(self, port: str, call: str) -> None:
        if self.armed and not self.after_effect and self.calls == self.n:
            self._kill(port, call)
        if self.armed and not self.after_effect:
            self.calls += 1

    def after(self, port: str, call: str) -> None:
        if self.armed and self.after_effect and self.calls == self.n:
            self._kill(port, call)
        if self.armed and self.after_effect:
            self.calls += 1

    def _kill(self, port: str, call: str) -> None:
        self.armed, self.hit = False, f"{port}.{call}"
        raise Killed(self.hit)


__all__ = ["Code", "KillAt", "Killed", "PermanentError", "World", "replace", "run_at_once"]
