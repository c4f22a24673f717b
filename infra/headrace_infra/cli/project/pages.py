"""The dashboard inside `headrace dev`, where its extra is installed."""

from __future__ import annotations

import importlib
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.app import Headrace

HOST = "127.0.0.1"
USUAL_PORT = 8123


def serve_in_background(app: Headrace, ready: Callable[[str], None]) -> None:
    """Serve the pages from a thread of their own; `ready` is told their address. Without the extra `ui` there are none."""
    threading.Thread(target=_serve, args=(app, ready), name="headrace-pages", daemon=True).start()


def _serve(app: Headrace, ready: Callable[[str], None]) -> None:
    try:
        server: Any = importlib.import_module("headrace_dashboard.server")
        security: Any = importlib.import_module("headrace_dashboard.security")
    except ImportError:
        return
    with _listening() as listening:
        access = security.Access()
        found = server.server_for(app, access=access, may_act=True)
        ready(f"http://{HOST}:{listening.getsockname()[1]}/?token={access.session}")
        found.run(sockets=[listening])


def _listening() -> socket.socket:
    """On the usual port, so that a page that is open goes on after a restart; on a free one where that is taken."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with suppress(OSError):
        listening.bind((HOST, USUAL_PORT))
        return listening
    listening.bind((HOST, 0))
    return listening
