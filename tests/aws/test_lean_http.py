"""The reader of answers agrees with http.client on whatever a server may send, however it is cut into packets."""

from __future__ import annotations

import http.client
import io
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.aws.lean.http import Answer, Connection, Pool, connect
from headrace.aws.transport import Unreachable

SDK = Path(__file__).parents[2] / "sdk"


def exchanged(answer: bytes, cuts: list[int] | None = None) -> Answer:
    """What a connection makes of these bytes, sent in these pieces before the server closes."""
    ours, theirs = socket.socketpair()
    ours.settimeout(5)

    def serve() -> None:
        with theirs, suppress(OSError):  # we may have read enough
            theirs.recv(100)
            start = 0
            for cut in [*sorted(cuts or []), len(answer)]:
                if cut > start:
                    theirs.sendall(answer[start:cut])
                    start = cut

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with ours:
            return Connection(ours).exchange(b"POST / HTTP/1.1\r\n\r\n")
    finally:
        thread.join()


class _Sock:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, *_: object) -> io.BytesIO:
        return io.BytesIO(self._data)


def by_http_client(answer: bytes) -> Answer:
    response = http.client.HTTPResponse(_Sock(answer), method="POST")  # type: ignore[arg-type]  # as much of a socket as it needs
    response.begin()
    body = response.read()
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body)


TOKEN = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,15}", fullmatch=True).filter(
    lambda name: name.lower() not in ("content-length", "transfer-encoding", "connection")
)
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30)
HEADERS = st.dictionaries(TOKEN, TEXT, max_size=6).map(
    lambda headers: list({name.lower(): (name, value) for name, value in headers.items()}.values())
)
BODY = st.binary(max_size=400)


def framed(body: bytes, framing: str, sizes: list[int]) -> tuple[str, bytes]:
    if framing == "length":
        return f"Content-Length: {len(body)}\r\n", body
    if framing == "end":
        return "Connection: close\r\n", body
    out, rest = b"", body
    for size in sizes:
        if rest:
            part, rest = rest[:size], rest[size:]
            out += f"{len(part):X};note=1\r\n".encode() + part + b"\r\n"
    if rest:
        out += f"{len(rest):x}\r\n".encode() + rest + b"\r\n"
    return "Transfer-Encoding: chunked\r\n", out + b"0\r\n\r\n"


@settings(deadline=None)  # it connects and starts a thread
@given(
    status=st.sampled_from([200, 400, 403, 404, 413, 500, 503]),
    headers=HEADERS,
    body=BODY,
    framing=st.sampled_from(["length", "end", "chunked"]),
    sizes=st.lists(st.integers(1, 90), max_size=5),
    cuts=st.lists(st.integers(0, 600), max_size=4),
    continues=st.booleans(),
)
def test_answers_are_read_as_http_client_reads_them(
    status: int,
    headers: list[tuple[str, str]],
    body: bytes,
    framing: str,
    sizes: list[int],
    cuts: list[int],
    continues: bool,
) -> None:
    frame, content = framed(body, framing, sizes)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    answer = f"HTTP/1.1 {status} Reason\r\n{lines}{frame}\r\n".encode() + content
    if continues:
        answer = b"HTTP/1.1 100 Continue\r\n\r\n" + answer
    found = exchanged(answer, cuts)
    assert found == by_http_client(answer)
    assert found.body == body


BROKEN: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "closed the connection"),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-Le", "closed the connection"),
    "half a body": (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "3 of 10 bytes"),
    "half a chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc", "3 of 9 bytes"),
    "no last chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "closed"),
    "a long chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", "longer than it says"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "not an answer of HTTP"),
    "no status": (b"HTTP/1.1 fine\r\n\r\n", "not an answer of HTTP"),
    "no length": (b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n", "its length is 'ten'"),
    "a negative length": (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "its length is '-1'"),
    "no header": (b"HTTP/1.1 200 OK\r\nwhat\r\n\r\n", "a header line is 'what'"),
    "an endless head": (b"HTTP/1.1 200 OK\r\n" + b"x" * 70_000, "over 65536 bytes"),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "says"), BROKEN.values(), ids=BROKEN)
def test_an_answer_that_is_not_whole_is_none(answer: bytes, says: str) -> None:
    with pytest.raises(Unreachable, match=says):
        exchanged(answer)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
LAST_CENTURY = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@contextmanager
def server(handle: Callable[[socket.socket, int], None]) -> Iterator[tuple[int, list[int]]]:
    """A server that handles each connection in turn; its port, and the numbers of the connections it has seen."""
    seen: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                seen.append(len(seen))
                with connection:
                    handle(connection, seen[-1])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1], seen
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@pytest.mark.parametrize(("answer", "connections"), [(OK, 1), (CLOSING, 3), (LAST_CENTURY, 3)])
def test_a_connection_is_kept_where_the_server_keeps_it(answer: bytes, connections: int) -> None:
    def handle(connection: socket.socket, _: int) -> None:
        while connection.recv(1000):
            connection.sendall(answer)

    with server(handle) as (port, seen):
        pool = Pool(lambda: connect("127.0.0.1", port, None))
        for _ in range(3):
            assert pool.exchange(b"POST").body == b"{}"
        pool.forget()
    assert len(seen) == connections


@pytest.mark.parametrize("reads_before_it_closes", [False, True], ids=["idle", "as the next request arrives"])
def test_a_kept_connection_that_the_server_closed_is_replaced(reads_before_it_closes: bool) -> None:
    closed = threading.Event()

    def handle(connection: socket.socket, number: int) -> None:
        connection.recv(1000)
        connection.sendall(OK)
        if number == 0 and reads_before_it_closes:
            connection.recv(1000)
        connection.close()
        closed.set()

    with server(handle) as (port, seen):
        pool = Pool(lambda: connect("127.0.0.1", port, None))
        assert pool.exchange(b"POST").body == b"{}"
        if not reads_before_it_closes:
            assert closed.wait(5)
        assert pool.exchange(b"POST").body == b"{}"
    assert len(seen) == 2


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unreachable, match="could not connect"):
        connect("127.0.0.1", port, None)


AT_EXIT = """
import atexit, os
from headrace.aws.lean.transport import choose
transport = choose("lean")
atexit.register(lambda: print(transport.call("sqs", "GetQueueUrl", {"QueueName": "last"})["QueueUrl"]))
transport.call("sqs", "GetQueueUrl", {"QueueName": "first"})
"""


class KeepsAlive(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"QueueUrl":"https://queue"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None: ...


def test_what_runs_at_exit_may_still_make_requests() -> None:
    """The kept connection was closed before it, by weakref's own work at exit."""
    with ThreadingHTTPServer(("127.0.0.1", 0), KeepsAlive) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = {
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
            "PYTHONPATH": str(SDK),
        }
        done = subprocess.run(
            [sys.executable, "-c", AT_EXIT], env=environment, capture_output=True, text=True, timeout=30
        )
        server.shutdown()
    assert done.stdout == "https://queue\n", done.stderr
