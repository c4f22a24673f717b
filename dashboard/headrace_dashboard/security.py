"""Access to the dashboard. A page in the same browser, and a name that resolves to this machine, have none.

On loopback any program of this machine and any web page in its browser can reach the port. So a request needs a cookie that only
the printed link gives (`?token=…`), the `Host` has to be this machine's (a foreign name that resolves to 127.0.0.1 is refused), and
what changes anything needs a token in its form and, where the browser sends one, an `Origin` of this host.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from hmac import compare_digest
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "headrace"
FORM_COOKIE = "__Host-headrace-form"
"""Sent over HTTPS only, and set by no other host (RFC 6265bis, cookie prefixes)."""
FORM_FIELD = "_token"
MAX_FORM_BYTES = 5 * 1024 * 1024

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """`session`: what the cookie must hold; None where something in front checks access (IAM, a proxy).

    `form_token`: what forms must hold; None where many processes answer: then it is what the browser's own cookie holds (double submit).
    `hosts`: the names, without port, that this server answers to; empty: any."""

    session: str | None = field(default_factory=lambda: secrets.token_urlsafe(24))
    form_token: str | None = field(default_factory=lambda: secrets.token_urlsafe(24))
    hosts: frozenset[str] = frozenset({"127.0.0.1", "localhost", "[::1]"})


class Guard:
    """ASGI middleware: refuses what may not come in, and puts the headers of safety on what goes out."""

    def __init__(self, app: ASGIApp, *, access: Access, may_act: bool) -> None:
        self.app = app
        self.access = access
        self.may_act = may_act

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope, Headers(scope=scope))
        if refusal is not None:
            await refusal(scope, receive, _with_headers(send))
            return
        token = self.access.form_token or _cookie(Headers(scope=scope), FORM_COOKIE)
        if scope["method"] in ("GET", "HEAD"):
            given = token or secrets.token_urlsafe(24)
            scope.setdefault("state", {})["form_token"] = given
            await self.app(scope, receive, _with_headers(send, new_token=None if token else given))
            return
        body = await _body(receive)
        if body is None or not _form_is_ours(Headers(scope=scope), body, token):
            refused = PlainTextResponse("This form is out of date: load the page again.", 403)
            await refused(scope, receive, _with_headers(send))
            return
        scope.setdefault("state", {})["form_token"] = token
        await self.app(scope, _again(body), _with_headers(send))

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        host = headers.get("host", "")
        if self.access.hosts and _name(host) not in self.access.hosts:
            return PlainTextResponse("Unknown host", 421)
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return PlainTextResponse("Another site may not ask this server.", 403)
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return PlainTextResponse("Method not allowed", 405)
        if scope["method"] == "POST" and not self.may_act:
            return PlainTextResponse("This dashboard only shows.", 403)
        return None if self.access.session is None else self._no_session(scope, headers)

    def _no_session(self, scope: Scope, headers: Headers) -> Response | None:
        session = self.access.session or ""
        given = QueryParams(scope["query_string"]).get("token")
        if given is not None and compare_digest(given.encode(), session.encode()):
            response = RedirectResponse(scope["path"], 303)
            response.set_cookie(COOKIE, session, httponly=True, samesite="strict", path="/")
            return response
        found = _cookie(headers, COOKIE)
        if compare_digest(found.encode(), session.encode()):
            return None
        return PlainTextResponse("Open the link that `headrace ui` printed: it lets this browser in.", 403)


def _form_is_ours(headers: Headers, body: bytes, token: str) -> bool:
    if not token or not headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return False
    given = QueryParams(body.decode("utf-8", "replace")).get(FORM_FIELD, "")
    return compare_digest(given.encode(), token.encode())


def _cookie(headers: Headers, name: str) -> str:
    return cookie_parser(headers.get("cookie", "")).get(name, "")


def _name(host: str) -> str:
    """A host header without its port."""
    return host.rsplit(":", 1)[0] if host.rfind(":") > host.rfind("]") else host


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None where it is larger than any form."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > MAX_FORM_BYTES:
            return None
        if not message.get("more_body", False):
            return b"".join(chunks)


def _again(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _with_headers(send: Send, *, new_token: str | None = None) -> Send:
    async def out(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            if "cache-control" not in headers and not headers.get("etag"):
                headers["cache-control"] = "no-store"
            if new_token is not None:
                headers.append(
                    "set-cookie", f"{FORM_COOKIE}={new_token}; Path=/; Secure; HttpOnly; SameSite=Strict"
                )
        await send(message)

    return out
