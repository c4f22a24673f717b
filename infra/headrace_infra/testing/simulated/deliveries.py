"""What AWS does in a simulated world: messages to functions, deployments, the clock once a minute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.core.run.message import FiringKind
from headrace.core.table import TIMERS, timer_minute
from headrace.engine.attempts.ports import Done
from headrace.engine.clock.tick import skip_to, tick
from headrace.memory.queues import DEAD_LETTERS
from headrace.ports import NEXT, Received
from headrace_handlers import dead_letters
from headrace_handlers import events as events_handler
from headrace_infra.local.clock import CRON_TICK
from headrace_infra.local.dispatcher import LambdaContext, event_of
from headrace_infra.local.resources import Deployed
from headrace_infra.local.running import unreported
from headrace_infra.local.stack import MINUTE_MS
from headrace_infra.testing.simulated.environment import Environment, deliver_in, new_environment
from headrace_infra.testing.simulated.faults import MOST_CRASHES_A_TASK, Fault
from headrace_infra.testing.simulated.hub import Hub
from headrace_infra.testing.simulated.process import Process, current, new_greenlet

if TYPE_CHECKING:
    from headrace.app import Headrace

SUPPORT_VISIBILITY_S = 360


class Deliveries(Hub):
    """A world whose messages are delivered, twice at times, and whose clock ticks."""

    def __init__(self, app: Headrace, deployed: Deployed, seed: int, **given: Any) -> None:
        super().__init__(app, deployed, seed, **given)
        self._environments: list[Environment] = []
        self._generation = 0
        self._made = 0
        self._next_tick_ms = self.clock.now_ms() + MINUTE_MS

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
                else events_handler.make_handler(self.app, report=unreported)
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
