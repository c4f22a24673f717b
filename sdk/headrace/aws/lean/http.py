"""HTTP/1.1 as far as AWS's JSON services speak it: a request in one write, an answer by length, in chunks or to the end.

`http.client` parses headers through `email`, which is most of a request's CPU; a property test holds this reader to it.
"""

from __future__ import annotations

import select
import socket
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from headrace.aws.transport import Unreachable
from headrace.core.values import dataclass

if TYPE_CHECKING:
    import ssl

CONNECT_S = 3.0
READ_S = 30.0
"""A long poll lasts 20 s, so a read may last 30."""

MAX_HEAD_BYTES = 65_536
RECEIVE_BYTES = 65_536


class Stale(Unreachable):
    """A kept-alive connection that the server closed before it answered anything: another one may be tried at once."""


class Untrusted(Unreachable):
    """The server's certificate was not accepted: trying again changes nothing."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers by their lower-case names, body."""

    status: int
    headers: dict[str, str]
    body: bytes


def connect(host: str, port: int, context: ssl.SSLContext | None) -> socket.socket:
    """A connected socket; Unreachable where there is none to be had."""
    try:
        plain = socket.create_connection((host, port), timeout=CONNECT_S)
    except OSError as error:
        raise Unreachable(f"could not connect to {host}:{port}: {error}") from error
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        found = plain if context is None else context.wrap_socket(plain, server_hostname=host)
        found.settimeout(READ_S)
        return found
    except OSError as error:  # ssl.SSLError among them
        plain.close()
        kind = Untrusted if type(error).__name__ == "SSLCertVerificationError" else Unreachable
        raise kind(f"no secure connection to {host}:{port}: {error}") from error


class Connection:
    """One connection: a request, then its answer, again and again while `reusable`."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._is_readable = _looking_at(opened)
        ending = weakref.finalize(self, opened.close)  # a pool that ends leaves no ResourceWarning
        ending.atexit = False  # what runs at exit may still make requests
        self._rest = b""
        self._used = self._answered = False
        self.reusable = False

    def close(self) -> None:
        self._socket.close()

    def is_dropped(self) -> bool:
        """Whether the server has closed it (or said something unasked) since the last answer."""
        if not self._is_readable():
            return False
        if not hasattr(self._socket, "context"):
            return True
        self._socket.settimeout(0)  # TLS: what can be read may be a session ticket, which is no data
        try:
            self._socket.recv(1)
        except OSError as error:
            return type(error).__name__ != "SSLWantReadError"
        finally:
            self._socket.settimeout(READ_S)
        return True

    def exchange(self, request: bytes) -> Answer:
        """Send and read the whole answer. Unreachable where the answer does not come whole."""
        was_used, self._used, self.reusable = self._used, True, False
        self._answered = False
        try:
            self._socket.sendall(request)
            head = self._head()
            while head.status < 200:
                head = self._head()
            body = self._body(head)
        except TimeoutError as error:
            raise Unreachable(f"no answer within {READ_S:g} s") from error
        except _Closed as error:
            if was_used and not self._answered:
                raise Stale("the connection was closed while it was kept") from error
            raise Unreachable(str(error)) from error
        except ValueError as error:
            raise Unreachable(f"not an answer of HTTP: {error}") from error
        except OSError as error:
            kind = (
                Stale
                if was_used and isinstance(error, (ConnectionResetError, BrokenPipeError))
                else Unreachable
            )
            raise kind(f"the connection broke: {error}") from error
        self.reusable = head.keeps_alive and not self._rest
        return Answer(head.status, head.headers, body)

    def _more(self) -> None:
        got = self._socket.recv(RECEIVE_BYTES)
        if not got:
            raise _Closed("the server closed the connection before the end of its answer")
        self._answered = True
        self._rest = self._rest + got if self._rest else got

    def _head(self) -> _Head:
        while (end := self._rest.find(b"\r\n\r\n")) < 0:
            if len(self._rest) > MAX_HEAD_BYTES:
                raise ValueError(f"its head is over {MAX_HEAD_BYTES} bytes")
            self._more()
        text, self._rest = self._rest[:end].decode("latin-1"), self._rest[end + 4 :]
        return _parse_head(text)

    def _body(self, head: _Head) -> bytes:
        if head.status in (204, 304):
            return b""
        if head.headers.get("transfer-encoding", "").lower() == "chunked":
            return self._chunks()
        length = head.headers.get("content-length")
        if length is None:
            head.keeps_alive = False
            return self._to_the_end()
        if not length.isdecimal():
            raise ValueError(f"its length is {length!r}")
        return self._take(int(length))

    def _take(self, size: int) -> bytes:
        if len(self._rest) < size:
            parts, have = [self._rest], len(self._rest)
            while have < size:
                got = self._socket.recv(min(RECEIVE_BYTES * 16, size - have))
                if not got:
                    raise _Closed(f"the answer is cut off: {have} of {size} bytes")
                parts.append(got)
                have += len(got)
            self._rest = b"".join(parts)
        body, self._rest = self._rest[:size], self._rest[size:]
        return body

    def _chunks(self) -> bytes:
        parts: list[bytes] = []
        while True:
            size = int(self._line().split(b";")[0].strip(), 16)
            if size < 0:
                raise ValueError("a chunk of negative size")
            if size == 0:
                while self._line():  # trailers
                    pass
                return b"".join(parts)
            parts.append(self._take(size))
            if self._line():
                raise ValueError("a chunk that is longer than it says")

    def _line(self) -> bytes:
        while (end := self._rest.find(b"\r\n")) < 0:
            if len(self._rest) > MAX_HEAD_BYTES:
                raise ValueError("a line without an end")
            self._more()
        line, self._rest = self._rest[:end], self._rest[end + 2 :]
        return line

    def _to_the_end(self) -> bytes:
        parts = [self._rest]
        while got := self._socket.recv(RECEIVE_BYTES):
            parts.append(got)
        self._rest = b""
        return b"".join(parts)


class _Closed(Exception):
    """The server closed the connection."""


def _looking_at(opened: socket.socket) -> Callable[[], bool]:
    """Whether there is something to be read from it."""
    if not hasattr(select, "poll"):
        return lambda: bool(select.select([opened], [], [], 0)[0])
    poll = select.poll()
    poll.register(opened, select.POLLIN | select.POLLPRI)
    return lambda: bool(poll.poll(0))


@dataclass(slots=True)
class _Head:
    status: int
    headers: dict[str, str]
    keeps_alive: bool


def _parse_head(text: str) -> _Head:
    first, *lines = text.split("\r\n")
    version, _, rest = first.partition(" ")
    status = rest[:3]
    if version not in ("HTTP/1.1", "HTTP/1.0") or len(status) != 3 or not status.isdecimal():
        raise ValueError(f"it begins with {first[:60]!r}")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError(f"a header line is {line[:60]!r}")
        headers.setdefault(name.strip().lower(), value.strip())
    closes = version == "HTTP/1.0" or "close" in headers.get("connection", "").lower()
    return _Head(int(status), headers, not closes)


Connect = Callable[[], "socket.socket"]


class Pool:
    """Connections to one server that may be used again, the latest first. Thread-safe: lists give and take whole."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._idle: list[Connection] = []

    def exchange(self, request: bytes) -> Answer:
        """One request over a kept connection, or a new one. One that the server closed meanwhile is replaced at once."""
        while True:
            connection = self._kept() or Connection(self._connect())
            try:
                answer = connection.exchange(request)
            except Stale:
                connection.close()
                continue
            except BaseException:
                connection.close()
                raise
            if connection.reusable:
                self._idle.append(connection)
            else:
                connection.close()
            return answer

    def _kept(self) -> Connection | None:
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread took it
                return None
            if not connection.is_dropped():
                return connection
            connection.close()
        return None

    def forget(self) -> None:
        """Keep none: a forked child must not share its parent's connections."""
        self._idle = []
