"""Handle an event: store it with the runs that it starts, start them, satisfy the tasks that wait for it.

Delivered again, it does the same again: the runs stand in the item, their ids follow from the event, a subscription is satisfied once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from headrace.core.events.event import Event, Page, Trigger, encode_message
from headrace.core.events.match import decide
from headrace.core.run.request import Event as EventOrigin
from headrace.core.run.request import StartOptions, StartRun, derived_run_id
from headrace.core.table import run_key
from headrace.core.values import dataclass
from headrace.engine.catalog.workflows import all_published
from headrace.engine.engine import Engine
from headrace.engine.events import records
from headrace.engine.events.filters import by_workflow
from headrace.engine.events.push import EVENTS_QUEUE
from headrace.engine.events.subscriptions import Wake, satisfy
from headrace.errors import (
    BulkTriggerIdempotencyCollisionError,
    IdempotencyCollisionError,
)
from headrace.ports import Outgoing

logger = logging.getLogger("headrace.events")

Start = Callable[[Sequence[StartRun]], Sequence[str]]
"""Starts runs and returns their ids: `triggers.start.start` of an app."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handled:
    """What came of an event: runs started now, runs that idempotency keys kept out, runs that could not be started."""

    started: int = 0
    collided: int = 0
    refused: int = 0


def handle(
    engine: Engine, event: Event, page: Page | None, *, start: Start, wake: Wake, until_ms: int | None = None
) -> Handled:
    """Handle one event, or go on with one whose runs are started (`page`). What is left at `until_ms` goes on in a message of its own."""
    event = records.with_payload(engine, event)
    done, came_ms = (Handled(), None) if page is not None else _trigger(engine, event, start)
    rest = satisfy(engine, event, wake, page=page, until_ms=until_ms, came_ms=came_ms)
    if rest is not None:
        engine.queues.send(EVENTS_QUEUE, [Outgoing(body=encode_message(_light(event), rest))])
    return done


def _light(event: Event) -> Event:
    """As its message carries it: a payload that is stored does not ride along."""
    return replace(event, payload=None) if event.stored else event


def _trigger(engine: Engine, event: Event, start: Start) -> tuple[Handled, int | None]:
    """Start its runs. Of one that was delivered before: also when it was."""
    patterns = [(name, each.on_events) for name, each in sorted(all_published(engine).items())]
    decided = decide(event, patterns, by_workflow(engine), engine.expressions.evaluate)
    for problem in decided.problems:
        logger.warning("event %s (%s): %s", event.event_id, event.key, problem)
    triggers, came_ms = records.put_once(engine, _light(event), decided.triggers)
    wanted = [start_of(event, each) for each in triggers]
    done = _start(event, wanted if came_ms is None else _missing(engine, wanted), start)
    if done.collided:
        records.note_collisions(engine, event.event_id, done.collided)
    return done, came_ms


def start_of(event: Event, trigger: Trigger) -> StartRun:
    """The run that an event starts by one of its triggers."""
    return StartRun(
        workflow=trigger.workflow,
        input=event.payload if event.payload != "{}" else None,
        options=StartOptions(metadata=event.metadata, priority=event.priority),
        origin=EventOrigin(
            event_id=event.event_id,
            event_key=event.key,
            filter_id=trigger.filter_id,
            filter_payload=trigger.payload,
            source=event.source,
        ),
    )


def run_id_of(event: Event, trigger: Trigger) -> str:
    return derived_run_id(trigger.workflow, start_of(event, trigger).origin) or ""


def _missing(engine: Engine, wanted: list[StartRun]) -> list[StartRun]:
    """Those whose run has no record yet: an earlier delivery may have started the others."""
    ids = [derived_run_id(each.workflow, each.origin) or "" for each in wanted]
    found = engine.store.get_many([run_key(run_id) for run_id in ids]) if ids else []
    return [each for each, item in zip(wanted, found, strict=True) if item is None]


def _start(event: Event, wanted: list[StartRun], start: Start) -> Handled:
    """Start the runs, together; one by one where something is wrong with one of them."""
    if not wanted:
        return Handled()
    try:
        return Handled(started=len(start(wanted)))
    except BulkTriggerIdempotencyCollisionError as error:
        collided = len(error.collisions)
        return Handled(started=len(wanted) - collided, collided=collided)
    except IdempotencyCollisionError:
        return Handled(collided=1)
    except (ValueError, TypeError) as error:
        if len(wanted) == 1:
            logger.error(
                "event %s (%s) starts no run of %s: %s",
                event.event_id,
                event.key,
                wanted[0].workflow,
                error,
            )
            return Handled(refused=1)
    parts = [_start(event, [each], start) for each in wanted]
    return Handled(
        started=sum(each.started for each in parts),
        collided=sum(each.collided for each in parts),
        refused=sum(each.refused for each in parts),
    )
