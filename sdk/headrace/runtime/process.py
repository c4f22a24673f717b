"""A worker as a process: a long poll on its queue, into the same engine that a Lambda runs.

For containers, GPUs, tasks over 15 minutes, and local work.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from headrace.clients.admission.rate_limits import check_limits, register_limits
from headrace.core.values import replace
from headrace.engine.attempts.patience import FIRST_PAUSE_S, LONGEST_PAUSE_S
from headrace.engine.attempts.ports import Done, Host, Poison, Running
from headrace.engine.catalog.workers import RENEW_EVERY_S, publish_workers
from headrace.engine.catalog.workflows import publish_workflows
from headrace.engine.clock.crons import declare_crons
from headrace.engine.clock.tick import tick
from headrace.engine.clock.turn import leaves_turn, takes_turn
from headrace.engine.runs.deliver import deliver, delivery
from headrace.engine.waits.presence import Presence
from headrace.errors import DefinitionError, HeadraceError, QueueUnavailable, StoreUnavailable
from headrace.options.zones import called
from headrace.runtime.blocked import BlockedLoop
from headrace.runtime.capture import capture_logs
from headrace.runtime.deadline import end_process
from headrace.runtime.health import serve_health
from headrace.runtime.loop import stop_process_loop
from headrace.runtime.slots.intake import Deleter, Intake, give_back
from headrace.runtime.slots.loop_slots import LoopSlots, run_on_the_loop
from headrace.runtime.slots.outlasted import await_ends
from headrace.runtime.slots.polls import VISIBILITY_S, Polls
from headrace.runtime.slots.thread_slots import ThreadSlot
from headrace.telemetry.prometheus import Counts
from headrace.triggers.door import door_of

if TYPE_CHECKING:
    from headrace.definitions.worker import Worker
    from headrace.engine.attempts.ports import Disposition
    from headrace.engine.engine import Engine
    from headrace.engine.runs.attempt import Steps
    from headrace.ports import Received
    from headrace.runtime.slots.loop_slots import Deliver

logger = logging.getLogger("headrace.worker")

DEFAULT_SLOTS = 10
BY_DEFAULT = ": the default of a process. A task that waits for its children here keeps its place, so give the worker slots=... where many do"
TICK_EVERY_S = 60.0
START_PATIENCE_S = 120
"""How long a start tries again while AWS throttles or does not answer."""


def serve(worker: Worker) -> None:
    """Work until SIGTERM or SIGINT, then finish what runs and return. A second signal ends the process at once."""
    process = Process(worker)
    previous = {
        number: signal.signal(number, process.on_signal) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        process.run()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _engine_of(worker: Worker) -> Engine:
    """The engine on the table and queues of the worker's zone. DefinitionError where this process has been in another."""
    app = worker.app
    if not app._is_connected:
        app.settings.zone = worker.zone
    if app.engine.zones is not None and app.settings.zone != worker.zone:
        raise DefinitionError(
            f"worker {worker.name} is in {called(worker.zone)}, and this process has reached {called(app.settings.zone)} already: start it in "
            "a process of its own"
        )
    return app.engine


class Process:
    """One worker process: `slots` tasks at once. With one slot tasks run on the main thread, where an alarm ends sync code; with
    more, on the slots' threads, where sync code that does not end at its deadline keeps its slot until it has ended. Where
    some tasks are async, the slots are coroutines of one loop."""

    def __init__(self, worker: Worker, *, slots: int | None = None) -> None:
        self.worker = worker
        self.settings = worker.app.settings
        self.engine = _engine_of(worker)
        self.slots = slots or worker.slots or DEFAULT_SLOTS
        self._by_default = not (slots or worker.slots)
        self.counts = Counts()
        self.stopping = threading.Event()
        self._ended = threading.Event()
        self.done_tasks = 0
        self.id = self.engine.ids.owner()
        self.presence = Presence(self.engine, worker.name, self.id, worker.labels)
        next_queue = self.engine.next_queue(worker.name)
        self.next_queue = next_queue if next_queue != worker.name else None
        self._intake = Intake(self.slots)
        self._polls = Polls(
            self.engine.queues,
            self._intake,
            self.stopping,
            queue=worker.name,
            next_queue=self.next_queue,
        )
        self._deleter: Deleter
        self._lock = threading.Lock()

    def on_signal(self, number: int, frame: object) -> None:
        if self.stopping.is_set():
            end_process(f"a second signal ({signal.Signals(number).name})")
        logger.info("%s: draining", signal.Signals(number).name)
        self.stopping.set()
        if self.settings.force_shutdown_on_shutdown_signal:
            end_process("force_shutdown_on_shutdown_signal is set")

    def run(self) -> None:
        """Register, set up the lifespan, announce the labels, poll until told to stop, drain, clean up."""
        capture_logs(self.settings)
        self.worker.lifespan.start()
        self._until_aws_answers(self._register)
        before, self.worker.labels.changed = self.worker.labels.changed, self.presence.announce
        health = serve_health(self) if self.settings.healthcheck.enabled else None
        clock = threading.Thread(target=self._tick, name="headrace-clock", daemon=True)
        clock.start()
        if any(code.is_async for code in self.worker.runnables().values()):
            limit_s = self.settings.healthcheck.event_loop_block_threshold_seconds.total_seconds()
            BlockedLoop(limit_s=limit_s, is_over=self._ended.wait).start()
        logger.info(
            "worker %s takes work, %d at once%s",
            self.worker.name,
            self.slots,
            BY_DEFAULT if self._by_default else "",
        )
        self._deleter = Deleter(self.engine.queues)
        try:
            self._until_aws_answers(self.presence.announce)
            if self.slots == 1 and self.next_queue is None:
                self._poll_on_this_thread()
            else:
                self._poll_into_slots()
        finally:
            self.stopping.set()
            self._deleter.close()
            self.worker.labels.changed = before
            self._leave()
            if health is not None:
                health.shutdown()
            self.worker.lifespan.stop()
            self._ended.set()
            stop_process_loop()
        logger.info("worker %s has drained", self.worker.name)

    def _until_aws_answers(self, call: Callable[[], None]) -> None:
        """A call of the start, which may take place twice: tried again while AWS throttles or does not answer, for START_PATIENCE_S."""
        until, pause_s = monotonic() + START_PATIENCE_S, FIRST_PAUSE_S
        while True:
            try:
                return call()
            except (StoreUnavailable, QueueUnavailable) as error:
                if self.stopping.is_set() or monotonic() >= until:
                    raise
                logger.warning("the worker cannot start yet, and tries again in %g s: %s", pause_s, error)
            self.stopping.wait(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _register(self) -> None:
        """Store what the worker declares. DefinitionError where a task's rate limit has no limit anywhere."""
        published = [workflow.publishable() for workflow in self.worker.workflows]
        declared = self.worker.app._declared_rate_limits
        check_limits(self.engine, declared, [each.plan for each in published])
        register_limits(self.engine, declared)
        publish_workflows(self.engine, published)
        publish_workers(self.engine, [self.worker.declared()])
        declare_crons(self.engine, published)

    # ---- polling

    def _poll_on_this_thread(self) -> None:
        """One message at a time, here: an alarm can end sync code."""
        host = self._host(end_process_allowed=True)
        while not self.stopping.is_set():
            for received in self._polls.receive(1):
                await_ends(self._deliver(host, received), self.stopping.is_set)

    def _poll_into_slots(self) -> None:
        """The queues' polls have threads, and the slots have threads of their own; a single one is this thread."""
        host = self._host(end_process_allowed=self.slots == 1)
        threads: list[threading.Thread] = []
        if self.slots > 1 and run_on_the_loop(self.worker):
            threads.append(
                threading.Thread(target=self._work_on_the_loop, args=(host,), name="headrace-slots")
            )
        slots: list[ThreadSlot] = []
        if self.slots > 1 and not run_on_the_loop(self.worker):
            slots = [
                ThreadSlot(number, self._intake, self._steps_of(host), self._settle, self.stopping.is_set)
                for number in range(self.slots)
            ]
        self._polls.start()
        for thread in threads:
            thread.start()
        for slot in slots:
            slot.start()
        try:
            if self.slots == 1:
                threading.Thread(target=self._polls.wait, daemon=True).start()
                self._work(host)
        finally:
            self._polls.wait()
            for thread in threads:
                thread.join()
            for slot in slots:
                slot.join()
        if self._polls.broken is not None:
            raise self._polls.broken

    def _work_on_the_loop(self, host: Host) -> None:
        """All slots of async tasks."""
        slots = LoopSlots(self._intake, self.slots, self._steps_of(host), self._settle)
        slots.work(self.stopping.is_set)

    def _steps_of(self, host: Host) -> Deliver:
        def steps(received: Received, left_behind: Callable[[Running], None]) -> Steps[Disposition]:
            return delivery(self.engine, replace(host, left_behind=left_behind), received)

        return steps

    def _work(self, host: Host) -> None:
        """The only slot: one message after the other."""
        while (received := self._intake.take()) is not None:
            began, took_s = monotonic(), 0.0
            try:
                left = self._deliver(host, received)
                took_s = monotonic() - began
                await_ends(left, self.stopping.is_set)
            finally:
                self._intake.done(took_s)

    def _host(self, *, end_process_allowed: bool) -> Host:
        return Host(
            worker=self.worker.name,
            runnables=self.worker.runnables(),
            visibility_s=VISIBILITY_S,
            listeners=(self.counts,),
            stop_process=end_process if end_process_allowed else None,
            time_left_ms=lambda: 10**9,
            stopping=self.stopping.is_set,
            context=self.worker.lifespan.context,
            start=door_of(self.worker.app),
            labels=lambda: self.worker.labels,
            keeps_code=True,
        )

    def _deliver(self, host: Host, received: Received) -> list[Running]:
        """Do what the message asks for. The code that it left behind, which still runs."""
        left: list[Running] = []
        self._settle(received, lambda: deliver(self.engine, replace(host, left_behind=left.append), received))
        return [code for code in left if code.lives]

    def _settle(self, received: Received, step: Callable[[], Disposition | None]) -> bool:
        """Take a step of a delivery; whether it was the last, and the message is dealt with. None: code runs now, on the loop."""
        try:
            outcome = step()
            if outcome is None:
                return False
            if isinstance(outcome, Done):
                self._deleter.add(received)
            elif isinstance(outcome, Poison):
                logger.error("a message that cannot be processed: %s", outcome.reason)
        except (StoreUnavailable, QueueUnavailable) as error:
            logger.warning("a delivery failed and will be repeated: %s", error)
        except HeadraceError as error:
            logger.error("a delivery failed: %s", error)
        except (
            Exception
        ):  # the message comes back: nothing of it may end this worker, or be lost without a word
            logger.exception("a delivery failed")
        self._count_task()
        return True

    def _count_task(self) -> None:
        most = self.settings.terminate_worker_after_num_tasks
        with self._lock:
            self.done_tasks += 1
            if most is not None and self.done_tasks >= most:
                self.stopping.set()

    # ---- labels

    def _leave(self) -> None:
        try:
            self.presence.leave()
        except HeadraceError as error:
            logger.warning(
                "could not say that this process leaves, so it counts as alive for a while: %s", error
            )

    # ---- the clock

    def _tick(self) -> None:
        """Of all processes of the stack one ticks, and none where its clock is deployed and does."""
        tick_at = monotonic()
        renew_at = tick_at + RENEW_EVERY_S
        while not self.stopping.is_set():
            try:
                if monotonic() >= tick_at:
                    tick_at += TICK_EVERY_S
                    if takes_turn(self.engine, self.id):
                        tick(self.engine)
                give_back(self.engine.queues, self._intake.overdue())
                if monotonic() >= renew_at:
                    renew_at += RENEW_EVERY_S
                    self.presence.announce()
            except HeadraceError as error:
                logger.warning("a tick failed: %s", error)
            except Exception:  # the next one may succeed, and the process's lease is renewed here
                logger.exception("a tick failed")
            self.stopping.wait(1)
        self._leave()  # after this thread's last announcement, which may have come after `run` had left
        with suppress(HeadraceError):  # another one takes the turn a little later
            leaves_turn(self.engine, self.id)
