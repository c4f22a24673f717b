"""User code by its script, in virtual time, with its heartbeats and its deadline."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from support.families import Family

from headrace.core.run.record import ErrorInfo, TaskStatus
from headrace.engine.attempts.ports import Outcome, Raised, Succeeded, Work
from headrace.engine.engine import Engine
from headrace.engine.runs.claimed import Claimed
from headrace.errors import QueueUnavailable, StoreUnavailable
from headrace.runtime.control import LiveControl
from headrace.runtime.deadline import Ending, Interrupted, TimedOut
from headrace.runtime.heartbeat import beat_once
from simulation.processes import pause
from simulation.workload import Flow, Script

if TYPE_CHECKING:
    from simulation.world import Simulation


@dataclass(frozen=True, slots=True)
class Scripted:
    """A task's code by its script."""

    sim: Simulation
    task: str
    is_async: bool = False

    def flow(self, work: Work) -> Flow:
        """The flow that this run was started with, whatever is deployed by now."""
        return self.sim.flow_of(work.record.run_id)

    def script(self, work: Work) -> Script:
        return self.flow(work).scripts[self.task]

    def run(self, engine: Engine, claimed: Claimed, control: LiveControl, work: Work) -> Ending:
        """The attempt to its end."""
        script = self.script(work)
        fate = script.fate(work.record.tasks[work.task].app_retry_count)
        limit_ms = claimed.plan.execution_timeout_ms
        left_ms = limit_ms + 1 if fate == "slow" else script.duration_ms
        beat_in_ms = int(engine.limits.first_beat_s * 1000)
        while left_ms > 0:
            pause_ms = min(left_ms, beat_in_ms)
            pause(pause_ms)
            left_ms -= pause_ms
            if left_ms > 0:
                beat_in_ms = _beat(engine, claimed, control)
                if control.is_cancelled():
                    return Interrupted()
        return TimedOut(limit_ms / 1000) if fate == "slow" else self.call(work)

    def call(self, work: Work) -> Outcome:
        script = self.script(work)
        for parent in work.record.plan.task(self.task).parents:
            self._sees(work, parent)
        if script.children:
            return Family(self.sim.engine(), self.sim.child.plan, script.children).call(work)
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
        if seen.get("skipped") is not True and seen["n"] != expected - self._lost_children(work, parent):
            raise AssertionError(f"{self.task} sees {seen} of {parent}, not {expected}")

    def _lost_children(self, work: Work, parent: str) -> int:
        """How many runs that the parent spawned failed because their workers, or their messages, were lost."""
        children = (
            each
            for each in self.sim.store.records()
            if each.parent is not None
            and (each.parent.run_id, each.parent.task) == (work.record.run_id, parent)
        )
        return sum(any(row.status is TaskStatus.FAILED for row in each.tasks.values()) for each in children)

    async def acall(self, work: Work) -> Outcome:
        return self.call(work)


def _beat(engine: Engine, claimed: Claimed, control: LiveControl) -> int:
    try:
        beat_once(engine, claimed.received, claimed.attempt, control)
    except (StoreUnavailable, QueueUnavailable):
        return 1_000
    return int(engine.limits.beat_every_s * 1000)
