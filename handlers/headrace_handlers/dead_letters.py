"""The Lambda of the dead-letter queue: a message that could not be processed ends its task as FAILED, with the reason.

An event that could not be handled is handled here: it stays in the queue until it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from headrace.app import Headrace
from headrace.engine.attempts.ports import Disposition, Done, Poison
from headrace.engine.owed.dead_letters import keep_message
from headrace.engine.runs.dead_letter import fail_dead_letter
from headrace.ports import Received
from headrace_handlers import boot, logs
from headrace_handlers.batches import answer
from headrace_handlers.records import received

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]
QUEUE = "dead-letters"
REASON = (
    "its message was delivered too often without being processed: its worker kept dying, or could not read it"
)


def make_handler(app: Headrace) -> Handler:
    """Ends what failed for good. A message that names no run and is no event is logged, and kept for `headrace dead-letters`."""

    def end(record: dict[str, Any]) -> Disposition:
        message = app.engine.opened(received(record, QUEUE))
        if message.source is not None:
            message = replace(message, source=message.source.removeprefix(f"{app.settings.home}-"))
        outcome = fail_dead_letter(app.engine, message, reason=REASON)
        if isinstance(outcome, Poison):
            handled = _handled_as_event(app, message)
            if handled is not None:
                return handled
            keep_message(app.engine, message, outcome.reason)
            logs.error(
                "kept a dead letter that names no run", reason=outcome.reason, message_id=record["messageId"]
            )
            return Done()
        return outcome

    return lambda event, context: answer(event, end)


def _handled_as_event(app: Headrace, message: Received) -> Disposition | None:
    """What to do with the message, once its events are handled; None where it holds none."""
    from headrace.core.events.event import BadEvent
    from headrace_handlers.events import deliver_message

    try:
        return deliver_message(app, message, 0, [])
    except BadEvent:
        return None


def __getattr__(name: str) -> Any:
    if name == "handler":
        logs.set_up()
        found = globals()["handler"] = make_handler(boot.app_from_environment())
        return found
    raise AttributeError(name)
