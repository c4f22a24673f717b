"""The subscriptions of tasks that wait for events by their workflow's conditions: put, looked up, taken away."""

from __future__ import annotations

import json

from headrace.core.events.subscription import Subscription
from headrace.core.run.derived.due import events_of
from headrace.core.run.derived.graph import states
from headrace.core.run.derived.progress import finished
from headrace.core.run.message import Conditions
from headrace.core.run.record import RunRecord, TaskStatus
from headrace.core.table import run_key
from headrace.core.waits.conditions import EventSeen, Facts, Waits, decide
from headrace.engine.catalog.plans import record_in
from headrace.engine.engine import Engine
from headrace.engine.events import subscriptions
from headrace.engine.waits.wake import send_now


def subscriptions_of(record: RunRecord, task: str) -> list[tuple[int, Subscription, int | None]]:
    """The number of each condition on an event, its subscription, and since when earlier events count."""
    return [
        (
            leaf.number,
            Subscription(
                run_id=record.run_id,
                task=task,
                node=0,
                leaf=leaf.number,
                event_key=leaf.event_key,
                scope=leaf.scope,
                expression=leaf.expression,
            ),
            leaf.since_ms,
        )
        for leaf in events_of(record.plan.task(task))
    ]


def arm(engine: Engine, record: RunRecord, task: str) -> None:
    """Have events find the task. Where earlier ones count, the first that fits satisfies its condition at once."""
    wanted = subscriptions_of(record, task)
    if wanted:
        subscriptions.arm(engine, [each for _, each, _ in wanted])
    for _, subscription, since_ms in wanted:
        if since_ms is not None:
            subscriptions.look_back(engine, subscription, since_ms)


def disarm(engine: Engine, record: RunRecord, task: str) -> None:
    subscriptions.disarm(engine, [each for _, each, _ in subscriptions_of(record, task)])


def facts_for(engine: Engine, record: RunRecord, task: str) -> Facts:
    """The clock, and one batched read of the subscriptions where there are any."""
    wanted = subscriptions_of(record, task)
    found = subscriptions.look_up(engine, [each for _, each, _ in wanted]) if wanted else []
    events = {
        number: EventSeen(at_ms=event.at_ms, payload=json.loads(event.payload) if event.payload else {})
        for (number, _, _), event in zip(wanted, found, strict=True)
        if event is not None
    }
    return Facts(now_ms=engine.clock.now_ms(), events=events)


def await_events(engine: Engine, record: RunRecord, task: str) -> None:
    """Its parents are done: have events find the task, and look once more, as an earlier event may have satisfied a condition."""
    if not states(record)[task].pending:
        return
    arm(engine, record, task)
    if not isinstance(decide(record, task, facts_for(engine, record, task)), Waits):
        wake_waiting(engine, record, task)


def wake_waiting(engine: Engine, record: RunRecord, task: str) -> None:
    """Send the first message of a task that waits, by the record at hand. Nothing, where it does not wait."""
    state = states(record).get(task)
    if state is None or not state.pending:
        return
    send_now(engine, record, task, conditions=Conditions.EVENT)


def wake_suspended(engine: Engine, run_id: str, task: str) -> bool:
    """Send the current ticket of a task that is suspended, or the first of one that waits for its conditions. Any other looks for itself.

    False: the run is over or gone, so the task will not wait any more.
    """
    item = engine.store.get(run_key(run_id))
    if item is None:
        return False
    record = record_in(engine, item)
    row = record.tasks.get(task)
    if record.cancelled_at_ms is not None or finished(record):
        return False
    if row is None:
        wake_waiting(engine, record, task)
        return True
    if row.status is not TaskStatus.SUSPENDED:
        return True
    send_now(engine, record, task)
    return True
