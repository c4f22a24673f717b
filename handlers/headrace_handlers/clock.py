"""The Lambda of the clock, once a minute: publishes what the app declares and sends the timers that are due soon."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from headrace.app import Headrace
from headrace.engine.clock.tick import tick
from headrace.engine.clock.turn import has_ticked
from headrace_handlers import boot, deployment
from headrace_handlers.observing import gate_metrics

RESERVE_MS = 15_000
"""What is left of an invocation when the sweep over the gates stops: more than a page of them takes."""

UNKNOWN_LEFT_MS = 60_000

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


def make_handler(app: Headrace) -> Handler:
    """The clock of an app."""
    published = False

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        nonlocal published
        if not published:
            app._publish()
            published = True
        left_ms = getattr(context, "get_remaining_time_in_millis", lambda: UNKNOWN_LEFT_MS)()
        now_ms = app.engine.clock.now_ms()
        done = tick(app.engine, until_ms=now_ms + max(0, left_ms - RESERVE_MS))
        has_ticked(app.engine)
        gate_metrics(done.lines, now_ms)
        return {"sent": done.sent}

    return handler


@cache
def _clock() -> Handler:
    return make_handler(boot.app_from_environment())


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """A tick; or, while the stack is deployed, what CloudFormation asks. The app is imported here, so that CloudFormation is told
    where that fails."""
    if deployment.is_asked(event):
        deployment.answer(event, lambda: boot.app_from_environment()._publish())
        return {}
    return _clock()(event, context)
