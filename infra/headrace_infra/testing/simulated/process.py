"""Processes of a simulated world: cooperating greenlets, each of which goes on when its time has come."""

from __future__ import annotations

import asyncio.events
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from greenlet import GreenletExit, getcurrent, greenlet

from headrace.memory.clock import VirtualClock

if TYPE_CHECKING:
    from headrace.engine.engine import Engine
    from headrace.runtime.control import LiveControl
    from headrace_infra.testing.simulated.environment import Environment
    from headrace_infra.testing.simulated.hub import Hub
    from headrace_infra.testing.simulated.loop import SimulatedProcessLoop


@dataclass(slots=True, eq=False)
class Process:
    """A client, an invocation, a heartbeat or the clock.

    environment: the Lambda that it is part of; None: it is no worker's. fallible: whether faults strike it. doing: for the story.
    """

    world: Hub
    name: str
    body: greenlet
    at_ms: int
    engine: Engine
    loop: SimulatedProcessLoop
    environment: Environment | None = None
    fallible: bool = True
    doing: str = "as it begins"
    control: LiveControl | None = None  # while a task's code runs
    is_async: bool = False
    run_id: str = ""
    task: str = ""

    @property
    def in_code(self) -> bool:
        return self.control is not None

    def wake(self) -> None:
        self.at_ms = min(self.at_ms, self.world.clock.now_ms())


def new_greenlet(body: Callable[[], None], hub: greenlet) -> greenlet:
    return greenlet(body, parent=hub)


def current() -> Process | None:
    """The running process; None outside of simulated worlds, and in the world itself."""
    return getattr(getcurrent(), "headrace_process", None)


def pause(milliseconds: int) -> None:
    """Give way, and go on after so much virtual time. Each process has an event loop of its own, which is set aside meanwhile."""
    process = current()
    assert process is not None, "only a simulated process can pause"
    if process.world.closed:
        raise GreenletExit
    running, hooks = asyncio.events._get_running_loop(), sys.get_asyncgen_hooks()
    asyncio.events._set_running_loop(None)
    try:
        process.world.hub.switch(max(0, milliseconds))
    finally:
        asyncio.events._set_running_loop(running)
        sys.set_asyncgen_hooks(*hooks)
    if process.world.closed:
        raise GreenletExit


@dataclass(slots=True)
class SkewedClock:
    """A process's own idea of the time. Where no process runs, to sleep is to let the world go on."""

    base: VirtualClock
    skew_ms: int
    sleep_outside: Callable[[float], None]

    def now_ms(self) -> int:
        return self.base.now_ms() + self.skew_ms

    def sleep(self, seconds: float) -> None:
        if current() is None:
            self.sleep_outside(seconds)
        else:
            sleep(seconds)


def sleep(seconds: float) -> None:
    """Sleep in virtual time; sync code whose limit comes first is interrupted there, as an alarm would."""
    from headrace.engine.attempts.ports import TaskTimeout

    process = current()
    assert process is not None
    left_ms = int(seconds * 1000)
    while True:
        control = process.control if not process.is_async else None
        if control is not None and control.remaining_s() <= 0:
            raise TaskTimeout
        step_ms = left_ms if control is None else min(left_ms, int(control.remaining_s() * 1000) + 1)
        pause(step_ms)
        left_ms -= step_ms
        if process.in_code:
            process.world.may_die("in its sleep")
        if left_ms <= 0:
            return
