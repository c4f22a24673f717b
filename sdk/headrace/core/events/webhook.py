"""Incoming webhooks: whether a request is what its sender signed, and what event it is. Pure.

Signatures are taken over the raw bytes of the body, compared in constant time. A scheme with a time refuses what is older than TOLERANCE_S:
a request that was recorded cannot be sent again later.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import field
from enum import StrEnum
from typing import TypeAlias, assert_never
from urllib.parse import parse_qsl

from headrace.core.run.plans.plan import Json
from headrace.core.values import dataclass

TOLERANCE_S = 300
"""How far the time of a signed request may be from ours, in seconds (Stripe, Slack and Svix recommend five minutes)."""


class Source(StrEnum):
    """The senders of webhooks: each has its own way to sign."""

    GENERIC = "GENERIC"
    GITHUB = "GITHUB"
    STRIPE = "STRIPE"
    SLACK = "SLACK"
    LINEAR = "LINEAR"
    SVIX = "SVIX"


class Algorithm(StrEnum):
    """The hash of an HMAC."""

    SHA1 = "SHA1"
    SHA256 = "SHA256"
    SHA512 = "SHA512"
    MD5 = "MD5"


class Encoding(StrEnum):
    """How a signature is written."""

    HEX = "HEX"
    BASE64 = "BASE64"
    BASE64URL = "BASE64URL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Basic:
    """HTTP basic authentication; the secret is the password."""

    username: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A header that holds the secret."""

    header: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hmac:
    """A header that holds the body's HMAC under the secret."""

    header: str
    algorithm: Algorithm
    encoding: Encoding


Auth: TypeAlias = Basic | ApiKey | Hmac


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Where requests to a name come from and what becomes of them. `secret`: where it is kept, never itself.

    `key` and `scope` are CEL over `input` (the body) and `headers` (names in lower case). `static_payload` is laid over the body.
    """

    name: str
    source: Source
    auth: Auth
    secret: str
    key: str
    scope: str | None = None
    static_payload: Mapping[str, Json] = field(default_factory=dict)
    returns_event: bool = True
    created_at_ms: int = 0
    updated_at_ms: int = 0


Headers: TypeAlias = Mapping[str, str]


def is_authentic(webhook: Webhook, secret: str, headers: Headers, body: bytes, *, now_s: float) -> bool:
    """Whether the sender of the request knows the secret, and signed it recently where its scheme has a time. `headers`: names in lower case."""
    match webhook.source:
        case Source.STRIPE:
            return _stripe(secret, headers.get("stripe-signature", ""), body, now_s)
        case Source.SLACK:
            return _slack(secret, headers, body, now_s)
        case Source.SVIX:
            return _svix(secret, headers, body, now_s)
        case Source.LINEAR:
            return _linear(secret, headers, body, now_s)
        case Source.GITHUB | Source.GENERIC:
            return _by_auth(webhook.auth, secret, headers, body)
        case _:
            assert_never(webhook.source)


def _by_auth(auth: Auth, secret: str, headers: Headers, body: bytes) -> bool:
    match auth:
        case Basic():
            given = headers.get("authorization", "")
            expected = base64.b64encode(f"{auth.username}:{secret}".encode()).decode()
            return given[:6].lower() == "basic " and _same(given[6:].strip(), expected)
        case ApiKey():
            return _same(headers.get(auth.header.lower(), ""), secret)
        case Hmac():
            given = headers.get(auth.header.lower(), "").strip()
            prefix = f"{auth.algorithm.lower()}="
            expected = _encoded(_digest(auth.algorithm, secret.encode(), body), auth.encoding)
            return _same(given.removeprefix(prefix).rstrip("="), expected.rstrip("="))
        case _:
            assert_never(auth)


def _stripe(secret: str, header: str, body: bytes, now_s: float) -> bool:
    """`t=<time>,v1=<hex>,…` over `<time>.<body>` (Stripe, "Verify webhook signatures manually")."""
    parts = [part.strip().partition("=") for part in header.split(",")]
    at = next((value for name, _, value in parts if name == "t"), "")
    if not _recent(at, now_s):
        return False
    expected = _digest(Algorithm.SHA256, secret.encode(), f"{at}.".encode() + body).hex()
    return any(_same(value, expected) for name, _, value in parts if name == "v1")


def _slack(secret: str, headers: Headers, body: bytes, now_s: float) -> bool:
    """`v0=<hex>` over `v0:<time>:<body>` (Slack, "Verifying requests from Slack")."""
    at = headers.get("x-slack-request-timestamp", "")
    if not _recent(at, now_s):
        return False
    expected = _digest(Algorithm.SHA256, secret.encode(), f"v0:{at}:".encode() + body).hex()
    return _same(headers.get("x-slack-signature", ""), f"v0={expected}")


def _svix(secret: str, headers: Headers, body: bytes, now_s: float) -> bool:
    """`v1,<base64> …` over `<id>.<time>.<body>`, the key in base64 after `whsec_` (Svix, "Verifying webhooks manually")."""
    names = ("svix-id", "svix-timestamp", "svix-signature")
    message, at, given = (
        headers.get(name, headers.get(name.replace("svix", "webhook"), "")) for name in names
    )
    if not message or not _recent(at, now_s):
        return False
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        return False
    signed = f"{message}.{at}.".encode() + body
    expected = base64.b64encode(_digest(Algorithm.SHA256, key, signed)).decode()
    pairs = [each.partition(",") for each in given.split()]
    return any(_same(value, expected) for version, _, value in pairs if version == "v1")


def _linear(secret: str, headers: Headers, body: bytes, now_s: float) -> bool:
    """`linear-signature: <hex>` over the body, whose `webhookTimestamp` is in milliseconds (Linear, "Securing webhooks")."""
    expected = _digest(Algorithm.SHA256, secret.encode(), body).hex()
    if not _same(headers.get("linear-signature", ""), expected):
        return False
    try:
        at = json.loads(body).get("webhookTimestamp")
    except (ValueError, AttributeError):
        return False
    return at is None or (isinstance(at, int | float) and abs(now_s - at / 1000) <= TOLERANCE_S)


def _recent(at: str, now_s: float) -> bool:
    return at.isascii() and at.isdigit() and len(at) < 16 and abs(now_s - int(at)) <= TOLERANCE_S


def _digest(algorithm: Algorithm, key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, hashlib.new(algorithm.lower()).name)


def _encoded(digest: bytes, encoding: Encoding) -> str:
    match encoding:
        case Encoding.HEX:
            return digest.hex()
        case Encoding.BASE64:
            return base64.b64encode(digest).decode()
        case Encoding.BASE64URL:
            return base64.urlsafe_b64encode(digest).decode()
        case _:
            assert_never(encoding)


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())


# ---------------------------------------------------------------- what a request says


class BadRequest(ValueError):
    """The request cannot be an event, and why."""


def body_of(headers: Headers, body: bytes) -> dict[str, Json]:
    """The body as an object: JSON, or a form, in which GitHub and Slack send JSON as `payload`. BadRequest where it is neither."""
    kind = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    try:
        text = body.decode()
        if kind == "application/x-www-form-urlencoded":
            fields: dict[str, Json] = dict(parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text)))
            found = json.loads(str(fields["payload"])) if set(fields) == {"payload"} else fields
        else:
            found = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise BadRequest(f"the body is a JSON {type(found).__name__}: an event's payload is an object")
    return found


def challenge_of(webhook: Webhook, payload: Mapping[str, Json]) -> str | None:
    """What Slack asks to be told when a URL is set up; None for every other request."""
    if webhook.source is not Source.SLACK or payload.get("type") != "url_verification":
        return None
    challenge = payload.get("challenge")
    return challenge if isinstance(challenge, str) else None


def event_of(
    webhook: Webhook,
    headers: Headers,
    payload: Mapping[str, Json],
    evaluate: Callable[[str, Mapping[str, Json]], Json],
) -> tuple[str, str | None, dict[str, Json]]:
    """Key, scope and payload of the event. BadRequest where the key's expression gives no text; ExpressionError where one gives nothing."""
    variables: dict[str, Json] = {"input": dict(payload), "headers": dict(headers)}
    key = evaluate(webhook.key, variables)
    if not isinstance(key, str) or not key:
        raise BadRequest(f"the expression of the event's key gave {key!r}: it must give a non-empty text")
    scope: Json = evaluate(webhook.scope, variables) if webhook.scope is not None else None
    if scope is not None and not isinstance(scope, str):
        raise BadRequest(f"the expression of the scope gave {scope!r}: it must give a text")
    return key, scope or None, {**payload, **webhook.static_payload}
