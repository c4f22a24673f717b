"""Durable tasks as users write them on the ports of a World: processes that die, deliveries that come twice, all in virtual time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from headrace import Headrace
from headrace.core.run.record import RunRecord
from headrace.engine.attempts.ports import Done, Host, Runnable, Work
from headrace.engine.engine import Engine, Limits
from headrace.engine.events.push import EVENTS_QUEUE
from headrace.engine.runs.claimed import Claimed
from headrace.engine.runs.dead_letter import fail_dead_letter
from headrace.engine.runs.deliver import deliver
from headrace.memory.queues import DEAD_LETTERS
from headrace.ports import Ports
from headrace.runtime.control import LiveControl
from headrace.runtime.deadline import Ending
from headrace.runtime.loop import ProcessLoop
from headrace_handlers.boot import host_for
from support.events import EventWorld
from support.world import KillAt, Killed, World

LOOP = ProcessLoop()


@dataclass(slots=True)
class Dies(KillAt):
    """Kills the process at its n-th port call, and whatever else it calls before its message comes back: it is dead.

    Only what a client and workers do counts: an empty receive is no place to lose anything, and the clock has its own tests.
    """

    dead: bool = False
    idle: bool = False

    def before(self, port: str, call: str) -> None:
        if self.dead:
            raise Killed(self.hit)
        if not self.idle and call != "receive":
            KillAt.before(self, port, call)

    def after(self, port: str, call: str) -> None:
        if self.dead:
            raise Killed(self.hit)
        if not self.idle and call != "receive":
            KillAt.after(self, port, call)

    def _kill(self, port: str, call: str) -> None:
        self.dead = True
        KillAt._kill(self, port, call)


@dataclass(slots=True)
class DurableWorld(EventWorld):
    """An app's workers on the memory ports. `keeps_code`: suspended code goes on where it stands. `zombies`: how many attempts were left to go on beside who took over from them."""

    of: Headrace = field(default_factory=Headrace)
    keeps_code: bool = False
    limits: Limits = field(default_factory=lambda: Limits(hold_s=0))

    def __post_init__(self) -> None:
        self.plans = {name: workflow.plan() for name, workflow in self.of._workflows_by_name.items()}
        EventWorld.__post_init__(self)
        self.app = self.of
        self.app.use(Ports(store=self.store, queues=self.queues, clock=self.clock, ids=self.engine.ids))

    def begin(self, workflow: str, value: Any = None) -> str:
        """Start a run as a client does."""
        return (
            str(self.app._workflows_by_name[workflow].run(value, wait_for_result=False).workflow_run_id)
            if value
            else self.start(workflow)
        )

    def deliver_next(self) -> bool:
        self.clock.advance(1)  # nothing takes no time
        if not isinstance(self.faults, Dies):
            return World.deliver_next(self)
        self.faults.idle = False
        found = World.deliver_next(self)
        self.faults.idle, self.faults.dead = True, False  # another process has the message when it comes back
        return found

    def host(self, worker: str) -> Host:
        return host_for(self.app, worker, visibility_s=60, keeps_code=self.keeps_code)

    def _deliver_from(self, queue: str) -> bool:
        if queue == EVENTS_QUEUE:
            return EventWorld._deliver_from(self, queue)
        for received in self.queues.receive(queue, limit=1, wait_s=0):
            if queue == DEAD_LETTERS:
                fail_dead_letter(self.engine, received, reason="delivered too often")
                self.queues.delete(received)
            elif isinstance(deliver(self.engine, self.host(queue), received, runner=self.run_code), Done):
                self.queues.delete(received)
            return True
        return False

    def run_code(
        self,
        engine: Engine,
        host: Host,
        claimed: Claimed,
        control: LiveControl,
        runnable: Runnable,
        work: Work,
    ) -> Ending:
        """Code on an event loop, as in a process, with no deadline; a process that died in it returns nothing."""
        ending: Ending = LOOP.run(runnable.acall(work)) if runnable.is_async else runnable.call(work)
        if isinstance(self.faults, Dies) and self.faults.dead:
            raise Killed(self.faults.hit)
        return ending

    def records(self) -> list[RunRecord]:
        """All runs, by the time at which they were made."""
        ids = [str(item["pk"]).removeprefix("run#") for item in self.store.items() if item["sk"] == "run"]
        return sorted((self.record(run_id) for run_id in ids), key=lambda each: each.created_at_ms)
