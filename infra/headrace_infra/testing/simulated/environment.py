"""A worker's execution environment: its engine, its event loop, its lifespan, and how it runs a task's code in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from headrace.context.lifespan import Lifespan
from headrace.definitions.worker import Worker
from headrace.engine.attempts.ports import Disposition, Host, Raised, Runnable, TaskTimeout, Work
from headrace.engine.engine import Engine
from headrace.engine.runs.claimed import Claimed
from headrace.engine.runs.deliver import deliver
from headrace.errors import QueueUnavailable, StoreUnavailable
from headrace.ports import Received
from headrace.runtime.control import LiveControl
from headrace.runtime.deadline import CANCEL_GRACE_S, Ending, Interrupted, TimedOut, _async_ending
from headrace.runtime.heartbeat import beat_once, look_once
from headrace_handlers import boot
from headrace_infra.testing.simulated.loop import SimulatedLifespan, SimulatedProcessLoop
from headrace_infra.testing.simulated.process import Process, current, pause

if TYPE_CHECKING:
    from headrace_infra.testing.simulated.hub import Hub

BEATS, WAITS = "while it says that its task is alive", "between two beats"


@dataclass(slots=True, eq=False)
class Environment:
    """A Lambda that is warm: one invocation at a time. `generation`: of the deployment that it is of."""

    name: str
    worker: str
    engine: Engine
    loop: SimulatedProcessLoop
    lifespan: Lifespan
    generation: int
    busy: bool = False
    dead: bool = False
    host: Host | None = None
    processes: list[Process] = field(default_factory=list)


def new_environment(world: Hub, worker: Worker | None, name: str, queue: str, generation: int) -> Environment:
    loop = SimulatedProcessLoop(world.clock, world.turn)
    lifespan = SimulatedLifespan(worker.lifespan_fn if worker is not None else None, loop)
    return Environment(
        name=name,
        worker=queue,
        engine=world.new_engine(),
        loop=loop,
        lifespan=lifespan,
        generation=generation,
    )


def deliver_in(world: Hub, environment: Environment, received: Received) -> Disposition:
    """One message, by the library's own delivery."""
    if environment.host is None:
        visibility_s = world.deployed.visibility_s[environment.worker]
        environment.host = boot.host_for(world.app, environment.worker, visibility_s=visibility_s)
    began_ms = world.clock.now_ms()
    timeout_ms = world.deployed.timeout_s[environment.worker] * 1000
    host = replace(
        boot.ready(world.app, environment.host),
        time_left_ms=lambda: timeout_ms - (world.clock.now_ms() - began_ms),
    )
    return deliver(environment.engine, host, received, runner=run_code)


def run_code(
    engine: Engine, host: Host, claimed: Claimed, control: LiveControl, runnable: Runnable, work: Work
) -> Ending:
    """A task's code to its end or its limit, with its heartbeat beside it."""
    process = current()
    assert process is not None
    world, before = process.world, process.doing
    process.run_id, process.task = work.record.run_id, work.task
    process.doing = f"while it runs {work.task}"
    process.is_async = runnable.is_async
    ended = [False]
    beats = _beats(engine, claimed, control, ended)
    heart = world.spawn(f"{process.name}'s heartbeat", beats, of=process)
    world.watch.began(process, engine, claimed)
    process.control = control
    ending: Ending | None = None
    try:
        run = _run_async if runnable.is_async else _run_sync
        ending = run(process, host, control, runnable, work)
        return ending
    finally:
        process.control = None
        process.doing = f"once it has run {work.task}" if ending is not None else before
        ended[0] = True
        while heart.doing == BEATS and not heart.body.dead and not world.closed:
            pause(1)  # a beat under way writes before the commit does
        world.forget(heart)
        world.watch.ended(process, claimed, ending)


def _run_sync(process: Process, host: Host, control: LiveControl, runnable: Runnable, work: Work) -> Ending:
    try:
        outcome = host.context().run(runnable.call, work)
    except TaskTimeout:
        return TimedOut(control.limit_s)
    return TimedOut(control.limit_s) if control.remaining_s() <= 0 else outcome


def _run_async(process: Process, host: Host, control: LiveControl, runnable: Runnable, work: Work) -> Ending:
    loop = process.loop
    ended = loop.submit(runnable.acall(work), context=host.context())
    control.on_cancel(process.wake)
    loop.loop.drive(lambda: ended.done() or control.is_cancelled(), control.remaining_s)
    if not ended.done() and control.is_cancelled():
        until_s = loop.loop.time() + min(CANCEL_GRACE_S, max(control.remaining_s(), 0))
        loop.loop.drive(ended.done, lambda: until_s - loop.loop.time())
    if ended.done():
        return _async_ending(ended, control)
    timed_out = not control.is_cancelled()
    ended.cancel()
    grace_until_s = loop.loop.time() + process.engine.limits.grace_s
    loop.loop.drive(loop.loop.is_at_rest, lambda: grace_until_s - loop.loop.time())
    return TimedOut(control.limit_s) if timed_out else Interrupted()


def _beats(engine: Engine, claimed: Claimed, control: LiveControl, ended: list[bool]) -> Callable[[], None]:
    keep = claimed.keep_lease or (
        lambda told: beat_once(engine, claimed.received, claimed.attempt, told)  # the record's own lease
    )

    def look() -> bool:
        if claimed.keep_lease is not None:
            return True
        return not look_once(engine, claimed.record, control, first=True, attempt=claimed.attempt)

    def beats() -> None:
        limits = engine.limits
        process = current()
        assert process is not None
        process.doing = WAITS
        pause(int(limits.first_look_s * 1000))
        acts: list[tuple[float, Callable[[], bool]]] = [
            (limits.first_beat_s - limits.first_look_s, look),
        ]
        act: Callable[[], bool]
        while not ended[0]:
            pause_s, act = acts.pop() if acts else (limits.beat_every_s, lambda: keep(control))
            process.doing = BEATS
            try:
                if not act():
                    return
            except (StoreUnavailable, QueueUnavailable):
                pause_s = 1.0
            finally:
                process.doing = WAITS
            pause(int(pause_s * 1000))

    return beats


def error_of(ending: Ending | None) -> str:
    """The error of an attempt, for the story; "" where there is none."""
    if isinstance(ending, Raised):
        return f"{ending.error.type}: {ending.error.message}"
    return ""
