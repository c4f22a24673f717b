"""A firing arrives: look whether it is still due, and start its run. It may arrive twice, and any of it may be done again."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import assert_never

from headrace.core.run.message import FireMessage, FiringKind
from headrace.core.run.request import Call, Cron, Schedule, StartOptions, StartRun
from headrace.engine.attempts.starts import Start
from headrace.engine.clock.crons import get_cron
from headrace.engine.clock.scheduled import (
    ScheduledRun,
    chase,
    forget_debounced,
    get_scheduled,
    mark_problem,
    mark_started,
)
from headrace.engine.engine import Engine
from headrace.engine.waits.kinds.pause import pause_of
from headrace.errors import IdempotencyCollisionError, QueueUnavailable, StoreUnavailable

logger = logging.getLogger("headrace.clock")


def fire(engine: Engine, start: Start, message: FireMessage) -> None:
    """Start what is due, through `start`. What can never start is logged, and kept where a scheduled run is read; only a store or queue
    that does not answer raises."""
    match message.kind:
        case FiringKind.CRON:
            _fire_cron(engine, start, message)
        case FiringKind.SCHEDULE:
            _fire_scheduled(engine, start, message)
        case FiringKind.DEBOUNCE:
            _fire_debounced(engine, start, message)
        case _:
            assert_never(message.kind)


def give_up(engine: Engine, message: FireMessage, reason: str) -> None:
    """A firing that no worker could handle, however often it was delivered. The next tick of a cron is another message."""
    logger.error(
        "%s %s, due at %d ms, could not be started: %s", message.kind, message.id, message.due_ms, reason
    )
    if message.kind is FiringKind.CRON:
        return
    run = get_scheduled(engine, message.id, message.kind)
    if run is not None and run.due_ms == message.due_ms:
        mark_problem(engine, run, reason)


def _fire_cron(engine: Engine, start: Start, message: FireMessage) -> None:
    job = get_cron(engine, message.id)
    if job is None or message.due_ms < job.created_at_ms:
        return  # deleted, or made anew since
    paused = pause_of(engine, job.workflow)
    if paused is not None and paused.crons == "DROP":
        return
    due_at = datetime.fromtimestamp(message.due_ms / 1000, UTC).isoformat().replace("+00:00", "Z")
    origin = Cron(
        cron_id=job.id,
        name=job.name,
        expression=job.cron.expression,
        due_at_ms=message.due_ms,
        due_at=due_at,
    )
    options = StartOptions(metadata=job.metadata, priority=job.priority)
    problem = _start(start, StartRun(workflow=job.workflow, input=job.input, options=options, origin=origin))
    if problem is not None:
        logger.error(
            "cron %s (%s) of workflow %s, due at %s: %s", job.id, job.cron, job.workflow, due_at, problem
        )


def _fire_scheduled(engine: Engine, start: Start, message: FireMessage) -> None:
    run = get_scheduled(engine, message.id)
    if run is None or run.due_ms != message.due_ms or run.problem is not None:
        return  # deleted, or moved: then it has another message
    paused = pause_of(engine, run.workflow)
    if paused is not None and paused.schedules == "DROP" and not run.started:
        mark_problem(engine, run, f"workflow {run.workflow} was paused, and scheduled runs are dropped")
        return
    marked = mark_started(engine, run)
    if marked is not None:
        start_scheduled(engine, start, marked)


def start_scheduled(engine: Engine, start: Start, run: ScheduledRun) -> None:
    """Start a run that was marked. Starting it again is harmless."""
    options = StartOptions(metadata=run.metadata, priority=run.priority)
    origin = Schedule(schedule_id=run.id, run_id=run.run_id)
    problem = _start(start, StartRun(workflow=run.workflow, input=run.input, options=options, origin=origin))
    if problem is not None:
        logger.error("scheduled run %s of workflow %s: %s", run.id, run.workflow, problem)
        mark_problem(engine, run, problem)


def _fire_debounced(engine: Engine, start: Start, message: FireMessage) -> None:
    run = get_scheduled(engine, message.id, FiringKind.DEBOUNCE)
    if run is None:
        return
    if run.due_ms > engine.clock.now_ms():  # put off meanwhile: go after it
        chase(engine, run)
        return
    marked = mark_started(engine, run)
    if marked is None:
        _fire_debounced(engine, start, message)  # put off between our two looks
        return
    start_scheduled(engine, start, marked)
    forget_debounced(engine, marked)


def _start(start: Start, wanted: StartRun) -> str | None:
    """None: it was started, or its idempotency key is held, as events have it too; else why it cannot be."""
    try:
        start([wanted])
    except (StoreUnavailable, QueueUnavailable):
        raise
    except IdempotencyCollisionError as collision:
        return (
            None
            if isinstance(wanted.origin, Cron | Call)
            else f"its idempotency key is held by run {collision.existing_run_external_id}"
        )
    except Exception as error:  # noqa: BLE001  # whatever the definition, its labels or its expressions make of it
        return f"{type(error).__name__}: {error}"
    return None
