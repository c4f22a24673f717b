"""An app's workers against an emulated AWS in another process: what `headrace dev` starts, and starts again after a change.

    python -m headrace_infra.local.served app:hatchet DESCRIPTOR

The endpoint and the stack come from the environment. DESCRIPTOR is a socket to the process that supervises: messages are JSON, one a
line. Everything but the app is imported at once; `load` from there loads the app, which is answered by `ready` or `broken`; `go` begins
delivery; and the socket's end, for whatever reason, ends this process.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3  # noqa: F401  # loaded while nothing waits for it

from headrace.engine.clock.tick import tick
from headrace.errors import HeadraceError
from headrace_infra.compile import compile_app, units_of
from headrace_infra.loading import described, load_app
from headrace_infra.local.dispatcher import Dispatcher
from headrace_infra.local.output import capture, install_debugger, show_logging
from headrace_infra.local.resources import Deployed, deploy
from headrace_infra.local.running import targets_of
from headrace_infra.local.sample import example_of
from headrace_infra.local.stack import EventCounter
from headrace_infra.local.supervising import VISIBILITY_S

if TYPE_CHECKING:
    from headrace.app import Headrace

CONCURRENCY = 8
IDLE_PAUSE_S, LONGEST_PAUSE_S = 0.03, 0.2
"""Between two looks at the queues: after a message, and once nothing has come for some ten seconds."""

FIRST_TICK_S = 5
TICK_S = 60


class Supervisor:
    """The other end of the socket."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._lock = threading.Lock()
        self.load = threading.Event()
        self.go = threading.Event()
        self.stop = threading.Event()
        self.terminal_is_free = threading.Event()
        threading.Thread(target=self._listen, name="headrace-supervisor", daemon=True).start()

    def tell(self, **message: Any) -> None:
        with self._lock, suppress(OSError):
            self._socket.sendall(json.dumps(message).encode() + b"\n")

    def debugging(self, begins: bool) -> None:
        """Ask for the terminal, and wait until it is free; or give it back."""
        self.terminal_is_free.clear()
        self.tell(debugger=begins)
        if begins:
            self.terminal_is_free.wait()

    def _listen(self) -> None:
        named = {"load": self.load, "go": self.go, "terminal": self.terminal_is_free}
        with suppress(OSError), self._socket.makefile() as lines:
            for line in lines:
                event = named.get(line.strip())
                if event is not None:
                    event.set()
        self.end()  # told to stop, or the supervisor is gone

    def end(self) -> None:
        """Deliver no more."""
        for event in (self.stop, self.load, self.go, self.terminal_is_free):
            event.set()


def serve(path: str, descriptor: int) -> int:
    """Load the app, make its resources, and deliver to it until the supervisor ends. 1 where the app cannot be served."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the supervisor, which then ends this
    lines = capture()
    supervisor = Supervisor(descriptor)
    signal.signal(signal.SIGTERM, lambda *_: supervisor.end())
    install_debugger(supervisor.debugging)
    supervisor.load.wait()
    if supervisor.stop.is_set():
        return 0
    try:
        app = load_app(path)
        show_logging()
        _move_here(app)
        deployed = _deploy(app, path)
        app._publish(every_zone=True)
    except HeadraceError as error:
        supervisor.tell(broken=str(error))
        return 1
    except Exception as error:  # noqa: BLE001  # of the user's code, at whatever place: told with its line
        supervisor.tell(broken=described(error, Path.cwd()))
        return 1
    supervisor.tell(ready=_summary(app))
    supervisor.go.wait()
    try:
        if not supervisor.stop.is_set():
            _deliver(app, deployed, supervisor)
    finally:
        lines.finish()
    return 0


def _move_here(app: Headrace) -> None:
    """Whatever stack the app's own config names, it works on the one of `headrace dev`."""
    settings = app.settings
    settings.zone = ""
    settings.stack, settings.table, settings.bucket, settings.queues = (
        os.environ["HEADRACE_STACK"],
        None,
        None,
        {},
    )


def _deploy(app: Headrace, path: str) -> Deployed:
    """Create what is not there yet; messages come back soon after their process has died."""
    deployed = deploy(
        compile_app(app, app_path=path, one_table=True),
        units_of(app),
        stack=app.settings.stack,
        account=os.environ["HEADRACE_DEV_ACCOUNT"],
        region=os.environ["AWS_REGION"],
    )
    app.settings.queues = dict(deployed.urls)  # of every zone: no queue here is named for one
    return replace(deployed, visibility_s=dict.fromkeys(deployed.visibility_s, VISIBILITY_S))


def _summary(app: Headrace) -> dict[str, Any]:
    return {
        "workflows": sorted(workflow.name for workflow in app._served()),
        "workers": [worker.name for worker in app._fleet()],
        "example": example_of(app),
    }


def _deliver(app: Headrace, deployed: Deployed, supervisor: Supervisor) -> None:
    with ExitStack() as stack:
        dispatcher = Dispatcher(
            app.engine.queues,
            targets_of(app, deployed, EventCounter()),
            region=os.environ["AWS_REGION"],
            concurrency=CONCURRENCY,
            idle_pause_s=IDLE_PAUSE_S,
            longest_pause_s=LONGEST_PAUSE_S,
        )
        for worker in app._fleet():
            stack.callback(worker.lifespan.stop)
        dispatcher.start()
        stack.callback(dispatcher.stop)
        while not supervisor.stop.wait(TICK_S):
            with suppress(
                HeadraceError
            ):  # the emulator did not answer: the next tick does what this one did not
                tick(app.engine)


if __name__ == "__main__":
    code = serve(sys.argv[1], int(sys.argv[2]))
    sys.stdout.flush()
    os._exit(code)  # threads of tasks that do not end must not hold the process
