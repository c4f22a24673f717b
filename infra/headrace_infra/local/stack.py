"""A running local stack: delivered to, watched, its time moved."""

from __future__ import annotations

import base64
import json
import logging
import threading
from collections.abc import Mapping
from datetime import timedelta
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from headrace.app import Headrace
from headrace.core.run.record import RunRecord
from headrace.engine.catalog.plans import record_in
from headrace.engine.clock.tick import skip_to, tick
from headrace.engine.engine import Engine
from headrace.engine.events.push import EVENTS_QUEUE
from headrace.errors import HeadraceError, NotSupportedError
from headrace.ports import NEXT, Outgoing
from headrace.telemetry.prometheus import Counts
from headrace_handlers import webhooks
from headrace_infra.local.backends import Backend
from headrace_infra.local.clock import OffsetClock
from headrace_infra.local.dispatcher import Dispatcher
from headrace_infra.local.resources import DEAD_LETTERS_QUEUE, Deployed

if TYPE_CHECKING:
    from headrace.triggers.refs import TaskRunRef

logger = logging.getLogger("headrace.local")
POLL_S = 0.004
LONGEST_POLL_S = 0.02
MINUTE_MS = 60_000
HORIZON_MS = 20 * MINUTE_MS
"""Longer than SQS can delay: what is due later is a timer of the clock."""
MINISTACK_PAUSE_S = 0.01


class EventCounter(Counts):
    """What happened to tasks, counted by name."""

    def flush(self) -> None:
        """Nothing is held back."""


class LocalStack:
    """A running local stack. `drain` delivers until nothing is left; time can be moved."""

    def __init__(
        self,
        app: Headrace,
        deployed: Deployed,
        clock: OffsetClock,
        dispatcher: Dispatcher,
        events: EventCounter,
        backend: Backend,
    ) -> None:
        self.app = app
        self.deployed = deployed
        self.clock = clock
        self.events = events
        self._dispatcher = dispatcher
        self._backend = backend
        self._next_tick_ms = clock.now_ms() + MINUTE_MS
        self._ticking = threading.Lock()

    @property
    def engine(self) -> Engine:
        return self.app.engine

    def advance(self, by: timedelta) -> None:
        """Move time forward: delays, visibility timeouts and schedule timeouts pass, and each tick of a cron on the way fires at its time.

        Where crons tick, what can be received at that time is delivered, on the calling thread if there are no background threads.
        Everything else that falls due is delivered afterwards: in the background, or by `drain`. NotSupportedError on MiniStack.
        """
        if not self._backend.moves_time:
            raise NotSupportedError(
                "MiniStack runs in real time: local(app) can advance in memory and on moto"
            )
        until_ms = self.clock.now_ms() + int(by.total_seconds() * 1000)
        while (due_ms := self._backend.next_cron_ms()) is not None and due_ms <= until_ms:
            self._pass_tick_of_cron(due_ms)
        self.clock.advance(until_ms - self.clock.now_ms())
        self._tick()

    def _pass_tick_of_cron(self, due_ms: int) -> None:
        """A tick that is a timer becomes a message in the minute before; its message is received when it is due."""
        self.clock.advance(due_ms - MINUTE_MS - self.clock.now_ms())
        self._tick(at_once=True)
        self.clock.advance(due_ms - self.clock.now_ms())
        self._tick()
        while self._is_delivering():
            if self._dispatcher.running:
                sleep(0.002)
            else:
                self._dispatcher.deliver_one()

    def _is_delivering(self) -> bool:
        next_ms = self._backend.next_visible_ms(self.clock)
        return self._dispatcher.is_busy() or (next_ms is not None and next_ms <= self.clock.now_ms())

    def drain(self, timeout: timedelta | float = 60.0) -> None:
        """Deliver until no message, delayed message or timer is left, moving time to whatever is due next.

        Crons go on for ever, so their ticks to come are not waited for: `advance` moves time to them.

        Without background threads everything happens on the calling thread, in the order of the queues. TimeoutError after
        `timeout` (seconds of real time), with what is left.
        """
        limit_s = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        deadline = monotonic() + limit_s
        while monotonic() < deadline:
            if not self._dispatcher.running and self._dispatcher.deliver_one():
                continue
            if self._dispatcher.is_busy():
                sleep(0.002)
                continue
            due_ms = self._next_due_ms()
            if due_ms is None:
                return
            ahead_ms = due_ms - self.clock.now_ms()
            if ahead_ms > 0 and self._backend.moves_time:
                # nothing is due before: of a long wait only its last minute passes in the clock's own steps
                self.clock.advance(
                    ahead_ms - MINUTE_MS if ahead_ms > HORIZON_MS else min(ahead_ms, MINUTE_MS)
                )
                self._tick()
            elif ahead_ms > 0:
                sleep(min(ahead_ms / 1000, 1.0))
                self._tick()
            else:
                sleep(0.001)
        raise TimeoutError(
            f"not drained after {limit_s:g} s: the next message or timer is due at {self._next_due_ms()}"
        )

    @property
    def invocations(self) -> int:
        """Invocations so far."""
        return self._dispatcher.invocations

    def deliver_all(self) -> None:
        """Deliver every visible message, and those that follow from it, on the calling thread; time stands still."""
        while self.depth_of_all() and self._dispatcher.deliver_one():
            pass

    def depth_of_all(self) -> int:
        """Messages in all queues, visible or not, as the emulator holds them: costs no request."""
        return self._backend.queued()

    def _next_due_ms(self) -> int | None:
        times = [
            time
            for time in (self._backend.next_visible_ms(self.clock), self._backend.next_timer_ms())
            if time is not None
        ]
        return min(times, default=None)

    def _tick(self, *, at_once: bool = False) -> None:
        """The clock, where a minute has passed since it came by, or at once."""
        with self._ticking:
            if at_once or self.clock.now_ms() >= self._next_tick_ms:
                if self._backend.moves_time:
                    self._pass_over_minutes_without_timers()
                tick(self.engine)
                self._next_tick_ms = self.clock.now_ms() + MINUTE_MS

    def _pass_over_minutes_without_timers(self) -> None:
        """A jump of a day would else be looked through minute by minute, shard by shard."""
        now_minute = self.clock.now_ms() // MINUTE_MS
        first = self._backend.first_timer_minute()
        skip_to(self.engine, now_minute if first is None else min(first, now_minute))

    def keep_ticking(self, stop: threading.Event) -> None:
        """The clock comes by once a minute, until `stop`: for who waits and is told of nothing else."""
        while not stop.wait(1.0):
            try:
                self._tick()
            except HeadraceError as error:
                logger.warning("a tick failed: %s", error)

    def push_event(
        self,
        key: str,
        payload: Any = None,
        *,
        scope: str | None = None,
        additional_metadata: Mapping[str, Any] | None = None,
        priority: int | None = None,
    ) -> str:
        """Push an event, as `hatchet.event.push` does; its id. With background threads it is handled at once, else by `drain`."""
        pushed = self.app.event.push(
            key, payload, additional_metadata=additional_metadata, priority=priority, scope=scope
        )
        return pushed.event_id

    def send_aws_event(self, envelope: Mapping[str, Any]) -> None:
        """Put an envelope of EventBridge, or a notification of S3, into the queue of events, as AWS would."""
        self.engine.queues.send(EVENTS_QUEUE, [Outgoing(body=json.dumps(dict(envelope)))])

    def post_webhook(
        self, name: str, body: Mapping[str, Any] | str | bytes, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """POST to a webhook as its sender would: the status and the answer. A mapping is sent as JSON."""
        raw = (
            body
            if isinstance(body, bytes)
            else (body if isinstance(body, str) else json.dumps(dict(body))).encode()
        )
        request = {
            "rawPath": f"/api/v1/stable/tenants/{self.app.settings.stack}/webhooks/{quote(name, safe='')}",
            "requestContext": {"http": {"method": "POST"}},
            "headers": {
                "content-type": "application/json",
                **{k.lower(): v for k, v in (headers or {}).items()},
            },
            "body": base64.b64encode(raw).decode(),
            "isBase64Encoded": True,
        }
        answer = webhooks.make_handler(self.app)(request, None)
        return answer["statusCode"], json.loads(answer["body"])

    def suspended_at(self, run: str | TaskRunRef[Any, Any], task: str | None = None) -> tuple[int, ...]:
        """The nodes of the operations that durable tasks of the run are suspended on: their places among the operations that the code has
        asked for, from 0. `task`: of this task only. () where none is suspended."""
        run_id = run if isinstance(run, str) else run.workflow_run_id
        return tuple(
            wait.node_id
            for wait in self.app.waits.list(run_id=run_id)
            if wait.node_id is not None and task in (None, wait.task_name)
        )

    def runs(self) -> list[RunRecord]:
        """Every run in the table."""
        return [record_in(self.engine, item) for item in self._backend.run_items()]

    def depth(self, worker: str) -> int:
        """Messages in a worker's queue, visible or not."""
        queues = [worker, worker + NEXT] if worker in self.app._registry.next_queues else [worker]
        return sum(map(self._backend.queued, queues))

    def dead_letters(self) -> int:
        """Messages in the dead-letter queue."""
        return self.depth(DEAD_LETTERS_QUEUE)
