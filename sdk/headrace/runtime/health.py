"""A worker process's health endpoint."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from headrace.runtime.loop import ProcessLoop, process_loop

if TYPE_CHECKING:
    from headrace.definitions.worker import Worker
    from headrace.settings.settings import Settings
    from headrace.telemetry.prometheus import Counts

ANSWERS_WITHIN_S = 0.05
"""How long one look waits for a loop that is free."""


class LoopWatch:
    """Whether code blocks the event loop: a call that was put on it has not run for `limit_s`.

    A loop that is asked for the first time while it is blocked is found so by a look `limit_s` later: health checks come every few seconds.
    """

    def __init__(self, loop: Callable[[], ProcessLoop], *, limit_s: float) -> None:
        self._loop = loop
        self._limit_s = limit_s
        self._asked_at: float | None = None
        self._lock = threading.Lock()

    def is_blocked(self) -> bool:
        with self._lock:
            asked_at = self._asked_at
            answered = self._ask() if asked_at is None else None
        if answered is not None:
            answered.wait(ANSWERS_WITHIN_S)
            return False
        return asked_at is not None and monotonic() - asked_at >= self._limit_s

    def _ask(self) -> threading.Event:
        answered = threading.Event()
        self._asked_at = monotonic()

        def answer() -> None:
            self._asked_at = None
            answered.set()

        self._loop().loop.call_soon_threadsafe(answer)
        return answered


class Watched(Protocol):
    """A worker process, as its health is told."""

    settings: Settings
    worker: Worker
    slots: int
    counts: Counts
    stopping: threading.Event


def serve_health(process: Watched) -> ThreadingHTTPServer:
    """`GET /health`: 200 while the worker takes work, 503 while it drains or its event loop is blocked; `GET /metrics`."""
    config = process.settings.healthcheck
    watch = LoopWatch(process_loop, limit_s=config.event_loop_block_threshold_seconds.total_seconds())

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/health":
                blocked = watch.is_blocked()
                status = "draining" if process.stopping.is_set() else "blocked" if blocked else "healthy"
                body = {"status": status, "worker": process.worker.name, "slots": process.slots}
                self._answer(200 if status == "healthy" else 503, "application/json", json.dumps(body))
            elif self.path == "/metrics":
                self._answer(200, "text/plain; version=0.0.4", process.counts.text())
            else:
                self._answer(404, "text/plain", "there are /health and /metrics\n")

        def _answer(self, status: int, kind: str, body: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *arguments: object) -> None:
            """Health checks are not worth a line."""

    server = ThreadingHTTPServer((config.bind_address, config.port), Answers)
    threading.Thread(target=server.serve_forever, name="headrace-health", daemon=True).start()
    return server
