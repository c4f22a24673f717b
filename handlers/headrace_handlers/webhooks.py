"""The Lambda behind the function URL of webhooks, or an HTTP API (payload format 2.0): a request becomes an event."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from headrace.app import Headrace
from headrace.engine.events.webhooks import NOT_FOUND, Answer, accept, get
from headrace.errors import HeadraceError
from headrace_handlers import boot, logs

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]
PATH = re.compile(r"/api/v1/stable/tenants/([^/]+)/webhooks/([^/]+)/?")
SECRET_KEPT_MS = 60_000
"""How long a secret that was read is believed, in milliseconds: a new one holds after that."""


def make_handler(app: Headrace) -> Handler:
    """The webhooks of an app's stack. It needs nothing of the app's code."""
    secrets: dict[str, tuple[int, str]] = {}

    def secret_at(reference: str) -> str:
        now_ms = app.engine.clock.now_ms()
        until_ms, found = secrets.get(reference, (0, ""))
        if now_ms >= until_ms:
            if app.engine.secrets is None:
                raise HeadraceError("these ports have no place for secrets")
            found = app.engine.secrets.read(reference)
            secrets[reference] = (now_ms + SECRET_KEPT_MS, found)
        return found

    def answer(request: dict[str, Any]) -> Answer:
        path = PATH.fullmatch(request.get("rawPath", ""))
        tenant = app.settings.stack
        if path is None or unquote(path[1]) != tenant:
            return NOT_FOUND
        if request["requestContext"]["http"]["method"] != "POST":
            return Answer(status=405, body={"message": "send a POST request"})
        webhook = get(app.engine, unquote(path[2]))
        if webhook is None:
            return NOT_FOUND
        headers = {str(name).lower(): str(value) for name, value in request.get("headers", {}).items()}
        kind = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if not (kind.endswith("json") or kind == "application/x-www-form-urlencoded"):
            return Answer(status=415, body={"message": "send JSON"})
        return accept(
            app.engine,
            webhook,
            secret_at(webhook.secret),
            headers,
            _body(request),
            namespaced=app.settings.apply_namespace,
            tenant=tenant,
        )

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        try:
            made = answer(event)
        except HeadraceError as error:
            logs.error("a webhook's request was not taken", error=f"{type(error).__name__}: {error}")
            made = Answer(status=503, body={"message": "not now: send it again"})
        return {
            "statusCode": made.status,
            "headers": {"content-type": "application/json"},
            "body": json.dumps(made.body),
        }

    return handler


def _body(request: dict[str, Any]) -> bytes:
    """The raw bytes of the body: signatures are over them."""
    text = request.get("body") or ""
    if not request.get("isBase64Encoded"):
        return str(text).encode()
    try:
        return base64.b64decode(text)
    except binascii.Error:
        return b""


def __getattr__(name: str) -> Any:
    if name == "handler":
        logs.set_up()
        found = globals()["handler"] = make_handler(boot.app_without_code())
        return found
    raise AttributeError(name)
