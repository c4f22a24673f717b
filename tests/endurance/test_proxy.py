"""The proxy's faults, seen by boto3: a lost response is of what took place, a reset and a throttle are of what did not."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from endurance.proxy import Faults, Proxy, proxied

DID: list[str] = []


class Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        DID.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def upstream() -> Iterator[int]:
    DID.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def ask(proxy: Proxy, body: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.server_port, timeout=10)
    try:
        connection.request("POST", "/", body=body, headers={"X-Amz-Target": "DynamoDB_20120810.PutItem"})
        found = connection.getresponse()
        return found.status, found.read()
    finally:
        connection.close()


def test_what_is_passed_on_is_answered(upstream: int) -> None:
    with proxied(upstream, Faults(delayed=1.0, delay_s=0.01)) as proxy:
        assert ask(proxy, "one") == (200, b"ok")
        assert (DID, dict(proxy.counts)) == (["one"], {"delayed": 1})


@pytest.mark.parametrize(("fault", "done"), [("reset", []), ("lost", ["one"])])
def test_a_connection_that_breaks_off(upstream: int, fault: str, done: list[str]) -> None:
    with proxied(upstream, Faults(**{fault: 1.0})) as proxy:
        with pytest.raises((http.client.HTTPException, OSError)):
            ask(proxy, "one")
        assert done == DID


def test_a_throttle_is_said_as_dynamodb_says_it(upstream: int) -> None:
    with proxied(upstream, Faults(throttled=1.0)) as proxy:
        status, body = ask(proxy, "one")
    assert (status, DID) == (400, [])
    assert b"ThrottlingException" in body
