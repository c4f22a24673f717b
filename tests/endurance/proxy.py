"""A proxy before the emulated AWS: it resets connections, delays, throttles, and loses responses of what took place."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOP = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive"})


@dataclass(slots=True, kw_only=True)
class Faults:
    """Shares of the requests that go wrong. `delay_s`: the longest delay."""

    reset: float = 0.0
    lost: float = 0.0
    throttled: float = 0.0
    delayed: float = 0.0
    delay_s: float = 2.0

    def drawn(self, random: random.Random) -> str:
        """The fault of one request; "" for none."""
        left = random.random()
        for name in ("reset", "lost", "throttled", "delayed"):
            left -= getattr(self, name)
            if left < 0:
                return name
        return ""


class Proxy(ThreadingHTTPServer):
    """Passes requests on to 127.0.0.1:`port`. `faults` may be changed while it runs; `counts`: what happened so far."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, faults: Faults, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = port
        self.faults = faults
        self.counts: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def drawn(self) -> tuple[str, float]:
        """The next request's fault, and for how long it would be delayed (s)."""
        with self._lock:
            fault = self.faults.drawn(self._random)
            self.counts[fault or "passed"] += 1
            return fault, self._random.uniform(0, self.faults.delay_s)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone, as killed ones do, is no error here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: it is counted."""

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault, delay_s = self.server.drawn()
        if fault == "reset":
            self._reset()
        elif fault == "throttled":
            self._answer(400, _throttle(self.headers.get("X-Amz-Target", "")), _JSON)
        else:
            if fault == "delayed":
                time.sleep(delay_s)
            status, answer, headers = self._asked(body)
            if fault == "lost":
                self._reset()
            else:
                self._answer(status, answer, headers)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _pass_on

    def _asked(self, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=120)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
            connection.request(self.command, self.path, body=body, headers=headers)
            found = connection.getresponse()
            return found.status, found.read(), dict(found.getheaders())
        finally:
            connection.close()

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _reset(self) -> None:
        """The connection breaks off, without a word."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


_JSON = {"Content-Type": "application/x-amz-json-1.0"}


def _throttle(target: str) -> bytes:
    """As DynamoDB and SQS say it in their JSON protocols."""
    code = (
        "com.amazonaws.dynamodb.v20120810#ThrottlingException"
        if target.startswith("DynamoDB")
        else "com.amazonaws.sqs#RequestThrottled"
    )
    return json.dumps({"__type": code, "message": "Rate exceeded"}).encode()


@contextmanager
def proxied(port: int, faults: Faults, *, seed: int = 0) -> Iterator[Proxy]:
    """A proxy to that port for the time of the block."""
    proxy = Proxy(port, faults, seed)
    thread = threading.Thread(target=proxy.serve_forever, name="proxy", daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
