"""The Lambda of the events queue: starts the runs that events trigger, and wakes the tasks that wait for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from headrace.app import Headrace
from headrace.core.events.envelopes import events_of
from headrace.core.events.event import BadEvent
from headrace.engine.attempts.ports import Disposition, Done, Later
from headrace.engine.events.handle import Handled, handle
from headrace.engine.events.push import EVENTS_QUEUE
from headrace.engine.waits.conditions import wake_suspended
from headrace.ports import Received
from headrace.triggers.start import start
from headrace_handlers import boot, logs
from headrace_handlers.batches import answer
from headrace_handlers.observing import event_metrics
from headrace_handlers.records import received

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]
Report = Callable[[Sequence[Handled]], None]
RESERVE_MS = 20_000
"""What is left of an invocation when an event that many wait for goes on in a message of its own."""


def make_handler(app: Headrace, *, report: Report = event_metrics) -> Handler:
    """The events function of an app. It needs nothing of the app's code: workflows are those that are published.

    `report` is told what came of an invocation's events.
    """

    def take(record: dict[str, Any], left_ms: int, done: list[Handled]) -> Disposition:
        message = app.engine.opened(received(record, EVENTS_QUEUE))
        try:
            return deliver_message(app, message, left_ms, done)
        except BadEvent as error:
            logs.error(
                "dropped a message that is not an event", reason=str(error), message_id=record["messageId"]
            )
            return Done()

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        done: list[Handled] = []
        left = getattr(context, "get_remaining_time_in_millis", lambda: RESERVE_MS)
        try:
            return answer(event, lambda record: take(record, left(), done))
        finally:
            report(done)

    return handler


def deliver_message(app: Headrace, message: Received, left_ms: int, done: list[Handled]) -> Disposition:
    """Handle the events of a message, and say whether it may be deleted. `done`: what came of those that were handled is added to it."""
    handled = handle_message(app, message, left_ms)
    done += [each for each in handled if not each.later_s]
    later_s = max((each.later_s for each in handled), default=0)
    if not later_s:
        return Done()
    app.engine.queues.hide(message, later_s)
    return Later(later_s, "another delivery of the event may be at work")


def handle_message(app: Headrace, message: Received, left_ms: int) -> list[Handled]:
    """Handle the events of a message, in at most `left_ms` and a reserve. BadEvent where it holds none."""
    engine = app.engine
    until_ms = engine.clock.now_ms() + max(0, left_ms - RESERVE_MS)
    found = events_of(message.body, app.settings.apply_namespace, now_ms=message.sent_at_ms)
    begin = partial(start, app)
    return [
        handle(engine, event, page, start=begin, wake=wake_suspended, until_ms=until_ms)
        for event, page in found
    ]


def __getattr__(name: str) -> Any:
    if name == "handler":
        logs.set_up()
        found = globals()["handler"] = make_handler(boot.app_without_code())
        return found
    raise AttributeError(name)
