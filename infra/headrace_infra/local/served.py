"""An app's workers against an emulated AWS in another process: what `headrace dev` starts, and starts again after a change.

    python -m headrace_infra.local.served app:hatchet

The endpoint and the stack come from the environment; the resources exist already.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import ExitStack

from headrace.engine.clock.tick import tick
from headrace.errors import HeadraceError
from headrace_infra.cli.apps import app_named
from headrace_infra.compile import compile_app, units_of
from headrace_infra.local.dispatcher import Dispatcher
from headrace_infra.local.resources import described
from headrace_infra.local.stack import EventCounter, targets_of

CONCURRENCY = 8
IDLE_PAUSE_S = 0.03
TICK_S = 60


def serve(path: str) -> int:
    """Deliver until SIGTERM or SIGINT. 1, with the reason on stderr, where the app cannot be loaded or compiled."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        app = app_named(path)
        template = compile_app(app, app_path=path)
        deployed = described(template, units_of(app), stack=app.settings.stack)
        engine = app.engine
        app.publish()
    except HeadraceError as error:
        print(f"headrace dev: {error}", file=sys.stderr)
        return 1
    with ExitStack() as stack:
        dispatcher = Dispatcher(
            engine.queues,
            targets_of(app, deployed, EventCounter()),
            region=os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
            concurrency=CONCURRENCY,
            idle_pause_s=IDLE_PAUSE_S,
        )
        for worker in app.fleet():
            stack.callback(worker.lifespan.stop)
        dispatcher.start()
        stack.callback(dispatcher.stop)
        while not stopped.wait(TICK_S):
            tick(engine)
    return 0


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1]))
