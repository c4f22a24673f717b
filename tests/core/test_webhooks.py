"""Signatures of webhooks: published test vectors, what is refused, and what a body may be."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any

import pytest

from headrace.core.events.webhook import (
    TOLERANCE_S,
    Algorithm,
    ApiKey,
    Auth,
    BadRequest,
    Basic,
    Encoding,
    Hmac,
    Source,
    Webhook,
    body_of,
    challenge_of,
    event_of,
    is_authentic,
)
from headrace.values.cel import Cel

NOW = 1_800_000_000
BODY = b'{"a":1,"webhookTimestamp":1800000000000}'
SECRET = "It's a Secret to Everybody"


def hook(source: Source, auth: Auth | None = None, **given: Any) -> Webhook:
    auth = auth or Hmac(header="x-hub-signature-256", algorithm=Algorithm.SHA256, encoding=Encoding.HEX)
    return Webhook(**{"name": "w", "source": source, "auth": auth, "secret": "ref", "key": "'k'", **given})


def signed(key: str | bytes, message: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.new(
        key.encode() if isinstance(key, str) else key, message, getattr(hashlib, algorithm)
    ).digest()


def generic(algorithm: Algorithm, encoding: Encoding) -> Webhook:
    return hook(Source.GENERIC, Hmac(header="X-Signature", algorithm=algorithm, encoding=encoding))


SVIX_KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
RAW_KEY = base64.b64decode(SVIX_KEY.removeprefix("whsec_"))


def stripe(at: int = NOW, body: bytes = BODY) -> dict[str, str]:
    return {"stripe-signature": f"v0=00,t={at},v1={signed(SECRET, f'{at}.'.encode() + body).hex()}"}


def slack(at: int = NOW) -> dict[str, str]:
    signature = "v0=" + signed(SECRET, f"v0:{at}:".encode() + BODY).hex()
    return {"x-slack-request-timestamp": str(at), "x-slack-signature": signature}


def svix(at: int = NOW, prefix: str = "svix") -> dict[str, str]:
    signature = base64.b64encode(signed(RAW_KEY, f"msg_1.{at}.".encode() + BODY)).decode()
    return {
        f"{prefix}-id": "msg_1",
        f"{prefix}-timestamp": str(at),
        f"{prefix}-signature": f"v1,bm90aGluZw== v1,{signature}",
    }


GITHUB = hook(Source.GITHUB)
GOOD: list[tuple[Webhook, str, dict[str, str], bytes]] = [
    # GitHub, "Validating webhook deliveries", testing values
    (
        GITHUB,
        SECRET,
        {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
        b"Hello, World!",
    ),
    (hook(Source.STRIPE), SECRET, stripe(), BODY),
    (hook(Source.STRIPE), SECRET, stripe(NOW - TOLERANCE_S), BODY),
    (hook(Source.SLACK), SECRET, slack(), BODY),
    (hook(Source.SVIX), SVIX_KEY, svix(), BODY),
    (hook(Source.SVIX), SVIX_KEY, svix(prefix="webhook"), BODY),
    (hook(Source.LINEAR), SECRET, {"linear-signature": signed(SECRET, BODY).hex()}, BODY),
    (
        hook(Source.GENERIC, Basic(username="ada")),
        "pass:word",
        {"authorization": "Basic " + base64.b64encode(b"ada:pass:word").decode()},
        BODY,
    ),
    (hook(Source.GENERIC, ApiKey(header="X-Api-Key")), SECRET, {"x-api-key": SECRET}, BODY),
    *[
        (
            generic(algorithm, encoding),
            SECRET,
            {"x-signature": write(signed(SECRET, BODY, algorithm.lower()))},
            BODY,
        )
        for algorithm in Algorithm
        for encoding, write in (
            (Encoding.HEX, lambda digest: digest.hex()),
            (Encoding.HEX, lambda digest: digest.hex()),
            (Encoding.BASE64, lambda digest: base64.b64encode(digest).decode()),
            (Encoding.BASE64URL, lambda digest: base64.urlsafe_b64encode(digest).decode().rstrip("=")),
        )
    ],
]


@pytest.mark.parametrize(("webhook", "secret", "headers", "body"), GOOD)
def test_what_its_sender_signed_is_authentic_and_nothing_else(
    webhook: Webhook, secret: str, headers: dict[str, str], body: bytes
) -> None:
    assert is_authentic(webhook, secret, headers, body, now_s=NOW)
    assert not is_authentic(webhook, secret + "x", headers, body, now_s=NOW)
    assert not is_authentic(webhook, secret, {}, body, now_s=NOW)
    if isinstance(webhook.auth, Hmac):
        assert not is_authentic(webhook, secret, headers, body + b" ", now_s=NOW)
    for name, value in headers.items():
        for other in ("", "x", value[:-1], value + "0", "ü", value.replace("v1", "v2")):
            if other != value:
                changed = is_authentic(webhook, secret, {**headers, name: other}, body, now_s=NOW)
                assert not changed or other.rstrip("=") == value.rstrip("="), (name, other)


@pytest.mark.parametrize("off_s", [-TOLERANCE_S - 1, TOLERANCE_S + 1, 10**9])
@pytest.mark.parametrize("source", [Source.STRIPE, Source.SLACK, Source.SVIX, Source.LINEAR])
def test_a_request_that_was_recorded_cannot_be_sent_again_later(source: Source, off_s: int) -> None:
    secret = SVIX_KEY if source is Source.SVIX else SECRET
    headers = {
        Source.STRIPE: stripe(),
        Source.SLACK: slack(),
        Source.SVIX: svix(),
        Source.LINEAR: {"linear-signature": signed(SECRET, BODY).hex()},
    }[source]
    assert is_authentic(hook(source), secret, headers, BODY, now_s=NOW)
    assert not is_authentic(hook(source), secret, headers, BODY, now_s=NOW + off_s)


@pytest.mark.parametrize("at", ["", "now", "1e9", "²", "-1", "1" * 400, "nan"])
def test_a_time_that_is_none_is_refused(at: str) -> None:
    body = f"{at}.".encode() + BODY
    headers = {"stripe-signature": f"t={at},v1={signed(SECRET, body).hex()}"}
    assert not is_authentic(hook(Source.STRIPE), SECRET, headers, BODY, now_s=NOW)


def test_a_svix_secret_that_is_no_base64_authenticates_no_request() -> None:
    assert not is_authentic(hook(Source.SVIX), "whsec_not base64!", svix(), BODY, now_s=NOW)


# ---------------------------------------------------------------- bodies

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({}, b'{"a": "\xc3\xbc"}', {"a": "ü"}),
        ({"content-type": "application/json; charset=utf-8"}, b"{}", {}),
        ({}, b"", {}),
        (FORM, b"payload=%7B%22a%22%3A1%7D", {"a": 1}),
        (FORM, b"command=%2Fdeploy&text=a+b&x=", {"command": "/deploy", "text": "a b", "x": ""}),
    ],
)
def test_bodies(headers: dict[str, str], body: bytes, expected: dict[str, Any]) -> None:
    assert body_of(headers, body) == expected


@pytest.mark.parametrize(
    ("headers", "body", "message"),
    [
        ({}, b"{", "not JSON"),
        ({}, b"\xff", "not JSON"),
        ({}, b"[1]", "a JSON list"),
        (FORM, b"payload=x", "not JSON"),
        (FORM, b"payload=[1]", "a JSON list"),
        (FORM, b"no form", "not JSON"),
    ],
)
def test_bodies_that_are_no_payload(headers: dict[str, str], body: bytes, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        body_of(headers, body)


def test_slack_asks_whether_the_url_is_ours() -> None:
    asked = {"type": "url_verification", "challenge": "3eZb"}
    assert challenge_of(hook(Source.SLACK), asked) == "3eZb"
    assert challenge_of(hook(Source.GITHUB), asked) is None
    assert challenge_of(hook(Source.SLACK), {"type": "event_callback"}) is None


def test_key_scope_and_payload() -> None:
    webhook = hook(
        Source.GITHUB,
        key="'github:' + headers['x-github-event'] + ':' + input.action",
        scope="input.repository.name",
        static_payload={"action": "fixed", "team": "core"},
    )
    payload = {"action": "opened", "repository": {"name": "r"}}
    made = event_of(webhook, {"x-github-event": "issues"}, payload, Cel().evaluate)
    assert made == ("github:issues:opened", "r", {**payload, "action": "fixed", "team": "core"})
    none = replace(webhook, scope=None, static_payload={})
    assert event_of(none, {"x-github-event": "issues"}, payload, Cel().evaluate)[1] is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"key": "1"}, "gave 1: it must give a non-empty text"),
        ({"key": "''"}, "non-empty"),
        ({"scope": "[1]"}, "the scope gave"),
    ],
)
def test_expressions_that_give_no_text(given: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        event_of(hook(Source.GENERIC, **given), {}, json.loads(BODY), Cel().evaluate)
