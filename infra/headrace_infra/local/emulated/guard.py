"""Access to an emulated AWS on this machine: for programs that have its key. No web page, and no other user.

A page that is open in a browser can send requests to 127.0.0.1, also under a name of its own that it has pointed there; other users of the
machine can connect to any port. So a request needs the key of this start, and the name and port of this server; what a browser sends for a
page is refused whatever it has. The key is the access key id of the credentials, which no emulator checks by itself.

MiniStack's server loads this file by its path: it imports the standard library only.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs

HEADER = "x-headrace-key"
"""For requests that are no calls of AWS."""

OF_A_PAGE = ("origin", "sec-fetch-site", "referer")
"""Headers that browsers send for pages, and SDKs of AWS do not."""

_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/")


def new_key() -> str:
    """A key for one start: 128 random bits, in the form of an access key id."""
    return f"HR{secrets.token_hex(16).upper()}"


def refusal(headers: Mapping[str, str], query: str, *, key: str, port: int) -> str | None:
    """Why a request is refused; None where it is not. `headers`: by their names in lower case."""
    if headers.get("host", "") not in (f"127.0.0.1:{port}", f"localhost:{port}"):
        return "the Host header names another server"
    if any(name in headers for name in OF_A_PAGE):
        return "web pages may not call it"
    given = _given(headers, query)
    if given is None:
        return "the request has no credentials"
    if not hmac.compare_digest(given.encode(), key.encode()):
        return "the credentials are not those of this start: .headrace/dev.json has them"
    return None


def _given(headers: Mapping[str, str], query: str) -> str | None:
    if HEADER in headers:
        return headers[HEADER]
    found = _CREDENTIAL.search(headers.get("authorization", ""))
    if found is not None:
        return found[1]
    signed = parse_qs(query).get("X-Amz-Credential")
    return signed[0].partition("/")[0] if signed else None


# ---------------------------------------------------------------- in front of a server

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Asgi = Callable[[Any, Any, Any], Awaitable[None]]


def guarded_wsgi(app: Wsgi, *, key: str, port: int) -> Wsgi:
    """A WSGI app (moto's) that answers 403 to what is refused."""

    def guarded(environment: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        headers = {
            name.removeprefix("HTTP_").replace("_", "-").lower(): str(value)
            for name, value in environment.items()
            if name.startswith("HTTP_")
        }
        why = refusal(headers, environment.get("QUERY_STRING", ""), key=key, port=port)
        if why is None:
            return app(environment, start)
        start("403 Forbidden", [("Content-Type", "text/plain")])
        return [f"{why}\n".encode()]

    return guarded


def guarded_asgi(app: Asgi, *, key: str, port: int) -> Asgi:
    """An ASGI app (MiniStack's) that answers 403 to what is refused, and takes no web socket."""

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        query = scope.get("query_string", b"").decode("latin-1")
        why = refusal(headers, query, key=key, port=port)
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif why is None:
            await app(scope, receive, send)
        else:
            plain = [(b"content-type", b"text/plain")]
            await send({"type": "http.response.start", "status": 403, "headers": plain})
            await send({"type": "http.response.body", "body": f"{why}\n".encode()})

    return guarded
