"""Whatever stands between a process and AWS does to its requests, both transports end in the same error: one table.

A server on the loopback plays the trouble for every try; the pauses between tries are left out.
"""

from __future__ import annotations

import gc
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from unittest import mock

import pytest

from aws.world import KEYS, only
from headrace.aws.clients import BotoTransport, Clients
from headrace.aws.dynamodb.store import AwsStore
from headrace.aws.lean import http as lean_http
from headrace.aws.lean.configuration import Served, from_botocore
from headrace.aws.lean.transport import LeanTransport
from headrace.aws.queues import AwsQueues
from headrace.aws.transport import Transport
from headrace.core.changes import Key, Put
from headrace.errors import (
    AccessDenied,
    HeadraceError,
    NotConfigured,
    QueueUnavailable,
    RequestRefused,
    StackNotFound,
    StoreUnavailable,
)
from headrace.ports import Outgoing

pytestmark = [  # urllib3 leaves a broken connection to the garbage collector
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
    ),
]


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Here, and not in the middle of another test."""
    yield
    gc.collect()


Handle = Callable[[socket.socket], None]


def read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        got = connection.recv(65536)
        if not got:
            return b""
        data += got
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head + body


def says(status: int, body: str, *, kind: str = "application/x-amz-json-1.0", extra: str = "") -> Handle:
    def handle(connection: socket.socket) -> None:
        while read_request(connection):
            head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nx-amzn-RequestId: REQ42\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body.encode())

    return handle


def raw(answer: bytes) -> Handle:
    def handle(connection: socket.socket) -> None:
        if read_request(connection):
            connection.sendall(answer)

    return handle


def resets(connection: socket.socket) -> None:
    read_request(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


def is_silent(connection: socket.socket) -> None:
    read_request(connection)
    connection.settimeout(10)
    with suppress(OSError):
        connection.recv(1)


def code(name: str, status: int = 400) -> Handle:
    return says(status, f'{{"__type":"com.amazonaws.x#{name}","message":"of AWS"}}')


HTML = "<html><body>Please sign in to the network</body></html>"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What happens to every request, and the error of a write to the store. Its text names the thing, or says `hint`."""

    handle: Handle
    kind: type[HeadraceError]
    hint: str = "table shop"


TROUBLES = {
    "closes": Trouble(lambda connection: None, StoreUnavailable),
    "resets": Trouble(resets, StoreUnavailable),
    "delays": Trouble(is_silent, StoreUnavailable),
    "truncates the head to its status": Trouble(raw(b"HTTP/1.1 200 OK\r\n\r\n"), StoreUnavailable),
    "truncates the head": Trouble(raw(b"HTTP/1.1 200 OK\r\nConte"), StoreUnavailable),
    "truncates the body": Trouble(
        raw(b'HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"a":'), StoreUnavailable
    ),
    "says a length that is too short": Trouble(
        raw(b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{"Attributes": {}}'), StoreUnavailable
    ),
    "says a length that is no number": Trouble(
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}"), StoreUnavailable
    ),
    "says no HTTP": Trouble(raw(b"220 mail.example.com ESMTP\r\n\r\n"), StoreUnavailable),
    "says HTML for 200": Trouble(says(200, HTML, kind="text/html"), StoreUnavailable),
    "says HTML for 502": Trouble(says(502, HTML, kind="text/html"), StoreUnavailable),
    "says HTML for 403": Trouble(says(403, HTML, kind="text/html"), StoreUnavailable),
    "says nothing for 503": Trouble(says(503, ""), StoreUnavailable),
    "fails inside": Trouble(code("InternalServerError", 500), StoreUnavailable),
    "throttles": Trouble(code("ProvisionedThroughputExceededException"), StoreUnavailable),
    "slows by 429": Trouble(says(429, ""), StoreUnavailable),
    "expired token": Trouble(code("ExpiredTokenException"), NotConfigured, "sso login"),
    "unknown key": Trouble(code("UnrecognizedClientException"), NotConfigured, "aws configure"),
    "bad signature": Trouble(code("InvalidSignatureException"), NotConfigured, "aws configure"),
    "no table": Trouble(code("ResourceNotFoundException"), StackNotFound),
    "no permission": Trouble(code("AccessDeniedException"), AccessDenied, "dynamodb:PutItem"),
    "invalid": Trouble(code("ValidationException"), RequestRefused, "ValidationException"),
    "something new": Trouble(code("BrandNewException"), StoreUnavailable, "BrandNewException"),
}


@contextmanager
def server(handle: Handle) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def one(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                handle(connection)

        def serve() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=one, args=(listening.accept()[0],), daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@contextmanager
def transport(name: str, **environment: str) -> Iterator[Transport]:
    """Impatient: it reads for half a second and does not pause between tries."""
    with (
        only(KEYS | environment),
        mock.patch.object(lean_http, "READ_S", 0.5),
        mock.patch("headrace.aws.clients.CONFIG", _impatient()),
        mock.patch("time.sleep"),
        mock.patch("headrace.aws.lean.retries.random.random", return_value=0.0),
    ):
        clients = Clients()
        served = from_botocore(clients)
        assert isinstance(served, Served)
        try:
            yield BotoTransport(clients) if name == "boto3" else LeanTransport(served, lambda: clients)
        finally:
            clients.dynamodb.close()
            clients.sqs.close()


def _impatient() -> object:
    from headrace.aws.clients import CONFIG

    return CONFIG.merge(type(CONFIG)(read_timeout=0.5))


def store_of(over: Transport) -> AwsStore:
    return AwsStore(over, table="shop", bucket=lambda: "b", stack="shop", pause=lambda _: None)


PUT = Put(key=Key("run#1", "run"), item={})
TRANSPORTS = pytest.mark.parametrize("name", ["boto3", "lean"])


@TRANSPORTS
@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
def test_the_same_error_over_both_transports(trouble: Trouble, name: str) -> None:
    with (
        server(trouble.handle) as url,
        transport(name, AWS_ENDPOINT_URL=url) as over,
        pytest.raises(HeadraceError) as error,
    ):
        store_of(over).write(PUT)
    assert type(error.value) is trouble.kind
    assert trouble.hint in str(error.value)


@TRANSPORTS
def test_an_error_names_its_request(name: str) -> None:
    with (
        server(code("ValidationException")) as url,
        transport(name, AWS_ENDPOINT_URL=url) as over,
        pytest.raises(HeadraceError, match="request REQ42"),
    ):
        store_of(over).write(PUT)


@TRANSPORTS
def test_the_older_code_of_a_queue_that_is_nowhere(name: str) -> None:
    answer = says(
        400,
        '{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no"}',
        extra="x-amzn-query-error: AWS.SimpleQueueService.NonExistentQueue;Sender\r\n",
    )
    with server(answer) as url, transport(name, AWS_ENDPOINT_URL=url) as over:
        queues = AwsQueues(over, stack="shop", urls={"work": f"{url}/1/shop-work"})
        with pytest.raises(StackNotFound, match="queue work"):
            queues.send("work", [Outgoing(body="x")])


@TRANSPORTS
def test_a_queue_out_of_reach(name: str) -> None:
    with server(resets) as url, transport(name, AWS_ENDPOINT_URL=url) as over:
        queues = AwsQueues(over, stack="shop", urls={"work": f"{url}/1/shop-work"})
        with pytest.raises(QueueUnavailable, match="queue work"):
            queues.receive("work", limit=1, wait_s=0)


@TRANSPORTS
def test_a_region_that_does_not_exist(name: str) -> None:
    """Its name resolves nowhere."""
    nowhere = socket.gaierror(-2, "Name or service not known")
    with (
        transport(name, AWS_DEFAULT_REGION="eu-nowhere-9") as over,
        mock.patch("socket.getaddrinfo", side_effect=nowhere),
        pytest.raises(StoreUnavailable, match="eu-nowhere-9"),
    ):
        store_of(over).write(PUT)


@TRANSPORTS
def test_no_credentials(name: str) -> None:
    with only({variable: value for variable, value in KEYS.items() if not variable.endswith(("KEY", "ID"))}):
        clients = Clients()
        served = from_botocore(clients)
        assert isinstance(served, Served)
        over = BotoTransport(clients) if name == "boto3" else LeanTransport(served, lambda: clients)
        with pytest.raises(NotConfigured, match="aws configure"):
            store_of(over).write(PUT)


@TRANSPORTS
def test_trouble_that_passes_is_not_seen(name: str) -> None:
    """A reset, an internal error and a throttle, then the answer: one write, no error."""
    troubles = [
        resets,
        code("InternalServerError", 500),
        code("ThrottlingException"),
    ]

    def handle(connection: socket.socket) -> None:
        (troubles.pop(0) if troubles else says(200, "{}"))(_Once(connection))  # type: ignore[arg-type]  # as much of a socket as it needs

    with server(handle) as url, transport(name, AWS_ENDPOINT_URL=url) as over:
        store_of(over).write(PUT)
    assert troubles == []


class _Once:
    """A connection that carries one request and is then closed."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._read = False
        self.sendall = connection.sendall
        self.setsockopt = connection.setsockopt

    def recv(self, size: int) -> bytes:
        if self._read:
            return b""
        data = self._connection.recv(size)
        self._read = data.endswith(b"}")
        return data
