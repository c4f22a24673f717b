"""The dashboard on this machine: `headrace ui`."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from headrace.app import Headrace
from headrace.errors import NotConfigured
from headrace_dashboard.app import Dashboard
from headrace_dashboard.security import Access

HOST = "127.0.0.1"


def serve(hatchet: Headrace, *, port: int, may_act: bool, ready: Callable[[str], None]) -> None:
    """Serve on loopback until Ctrl-C. `ready` is told the link that lets a browser in. `port` 0: a free one.

    NotConfigured where the port is taken.
    """
    listening = _listen(port)
    access = Access()
    server = server_for(hatchet, access=access, may_act=may_act)
    ready(f"http://{HOST}:{listening.getsockname()[1]}/?token={access.session}")
    server.run(sockets=[listening])


def server_for(hatchet: Headrace, *, access: Access, may_act: bool) -> uvicorn.Server:
    """A server that is not started; `run(sockets=…)` starts it."""
    app = Dashboard(hatchet=hatchet, access=access, may_act=may_act).app()
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, lifespan="off")
    return uvicorn.Server(config)


def _listen(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except OSError as error:
        listening.close()
        raise NotConfigured(
            f"port {port} is taken ({error.strerror}): give another one with --port"
        ) from error
    return listening
