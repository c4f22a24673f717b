"""The Lambda of the dead-letter queue: a message that nobody could process ends its task as FAILED, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.app import Headrace
from headrace.engine.runs.bury import bury
from headrace.engine.runs.ports import Disposition, Done, Poison
from headrace_handlers import boot, logs
from headrace_handlers.batches import answer
from headrace_handlers.records import received

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]
QUEUE = "dead-letters"
REASON = (
    "its message was delivered too often without being processed: its worker kept dying, or could not read it"
)


def make_handler(app: Headrace) -> Handler:
    """The undertaker of an app. What names no run of ours is logged and dropped."""

    def end(record: dict[str, Any]) -> Disposition:
        outcome = bury(app.engine, received(record, QUEUE), reason=REASON)
        if isinstance(outcome, Poison):
            logs.error("dropped a dead letter", reason=outcome.reason, message_id=record["messageId"])
            return Done()
        return outcome

    return lambda event, context: answer(event, end)


def __getattr__(name: str) -> Any:
    if name == "handler":
        logs.set_up()
        found = globals()["handler"] = make_handler(boot.app_from_environment())
        return found
    raise AttributeError(name)
