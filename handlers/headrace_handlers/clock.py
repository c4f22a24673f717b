"""The Lambda of the clock, once a minute: publishes what the app declares and sends the timers that are due soon."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.app import Headrace
from headrace.engine.clock.tick import tick
from headrace_handlers import boot
from headrace_handlers.observing import gate_metrics

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


def make_handler(app: Headrace) -> Handler:
    """The clock of an app."""
    published = False

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        nonlocal published
        if not published:
            app.publish()
            published = True
        sent = tick(app.engine)
        gate_metrics(app.engine)
        return {"sent": sent}

    return handler


def __getattr__(name: str) -> Any:
    if name == "handler":
        found = globals()["handler"] = make_handler(boot.app_from_environment())
        return found
    raise AttributeError(name)
