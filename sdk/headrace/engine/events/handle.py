"""Handle an event: store it with the runs that it starts, start them, satisfy the tasks that wait for it.

Delivered again, it does the same again: the runs stand in the item, their ids follow from the event, a subscription is satisfied once.
Two deliveries never do it at the same time. What one of them has written, and not yet paid, the other may not have seen; and whichever is done
first deletes the message for both.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from headrace.core.events.event import APART_MS, HANDLED_WITHIN_MS, Event, Page, Trigger, encode_message
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
from headrace.engine.events.records import Stored
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
    """What came of an event: runs started now, runs that idempotency keys kept out, runs that could not be started.

    `later_s`: nothing, as another delivery may be at work on it. Its message has to stay, and to come again after so many seconds.
    """

    started: int = 0
    collided: int = 0
    refused: int = 0
    later_s: int = 0


def handle(
    engine: Engine, event: Event, page: Page | None, *, start: Start, wake: Wake, until_ms: int | None = None
) -> Handled:
    """Handle one event, or go on with one whose runs are started (`page`). What is left at `until_ms` goes on in a message of its own."""
    event = records.with_payload(engine, event)
    if page is not None:
        _satisfy(engine, event, wake, page=page, until_ms=until_ms, came_ms=page.came_ms, again=True)
        return Handled()
    stored = _store(engine, event)
    later_s = _busy_s(engine, stored)
    if later_s:
        return Handled(later_s=later_s)
    done = _trigger(engine, event, stored, start)
    again = stored.earlier_ms is not None
    _satisfy(engine, event, wake, page=None, until_ms=until_ms, came_ms=stored.came_ms, again=again)
    return done


def _busy_s(engine: Engine, stored: Stored) -> int:
    """How long an earlier delivery may still be at work, whatever its clock says; 0 where none can be."""
    if stored.earlier_ms is None:
        return 0
    left_ms = stored.earlier_ms + HANDLED_WITHIN_MS + APART_MS - engine.clock.now_ms()
    return -(-max(0, left_ms) // 1000)


def _satisfy(
    engine: Engine,
    event: Event,
    wake: Wake,
    *,
    page: Page | None,
    until_ms: int | None,
    came_ms: int | None,
    again: bool,
) -> None:
    """Satisfy the tasks that wait. The rest is a message of its own, which comes when all that it may satisfy are there for any delivery of it."""
    rest = satisfy(engine, event, wake, page=page, until_ms=until_ms, came_ms=came_ms if again else None)
    if rest is None:
        return
    delay_ms = max(0, came_ms + 2 * APART_MS - engine.clock.now_ms()) if came_ms is not None else 0
    body = encode_message(_light(event), replace(rest, came_ms=came_ms))
    engine.queues.send(EVENTS_QUEUE, [Outgoing(body=body, delay_s=-(-delay_ms // 1000))])


def _light(event: Event) -> Event:
    """As its message carries it: a payload that is stored does not ride along."""
    return replace(event, payload=None) if event.stored else event


def _store(engine: Engine, event: Event) -> Stored:
    """Store it with the runs that it starts, which are decided once."""
    patterns = [(name, each.on_events) for name, each in sorted(all_published(engine).items())]
    decided = decide(event, patterns, by_workflow(engine), engine.expressions.evaluate)
    for problem in decided.problems:
        logger.warning("event %s (%s): %s", event.event_id, event.key, problem)
    return records.put_once(engine, _light(event), decided.triggers)


def _trigger(engine: Engine, event: Event, stored: Stored, start: Start) -> Handled:
    """Start its runs; of one that was delivered before, those that are missing."""
    wanted = [start_of(event, each) for each in stored.triggers]
    done = _start(event, wanted if stored.earlier_ms is None else _missing(engine, wanted), start)
    if done.collided:
        records.note_collisions(engine, event.event_id, done.collided)
    return done


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
