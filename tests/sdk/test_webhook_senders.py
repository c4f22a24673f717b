"""Each kind of sender against the webhooks function: what it signed, and every way in which a request is none of its own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from headrace import Context, EmptyModel, Headrace
from headrace.clients.models.events import V1WebhookAPIKeyAuth, V1WebhookBasicAuth, V1WebhookHMACAuth
from headrace.core.events.webhook import TOLERANCE_S
from headrace_handlers import webhooks as handlers
from headrace_infra.local.stack import LocalStack
from headrace_infra.testing import local

SECRET = "do not tell"
SVIX_KEY = base64.b64encode(b"of svix: 24 bytes of key").decode()
BODY = b'{"id": 7,\n "said": "\xc3\xbc"}'
LARGEST = 4_194_304

Headers = dict[str, str]
Signs = Callable[[bytes, str, int], Headers]
"""What a sender puts in its headers: of the body, its secret, and its time in seconds."""


def mac(secret: str | bytes, message: bytes, algorithm: str = "sha256") -> bytes:
    key = secret.encode() if isinstance(secret, str) else secret
    return hmac.new(key, message, getattr(hashlib, algorithm)).digest()


def github(body: bytes, secret: str, at_s: int) -> Headers:
    return {"X-Hub-Signature-256": "sha256=" + mac(secret, body).hex()}


def stripe(body: bytes, secret: str, at_s: int) -> Headers:
    return {"Stripe-Signature": f"t={at_s},v1={mac(secret, f'{at_s}.'.encode() + body).hex()}"}


def slack(body: bytes, secret: str, at_s: int) -> Headers:
    signature = "v0=" + mac(secret, f"v0:{at_s}:".encode() + body).hex()
    return {"X-Slack-Request-Timestamp": str(at_s), "X-Slack-Signature": signature}


def linear(body: bytes, secret: str, at_s: int) -> Headers:
    return {"Linear-Signature": mac(secret, body).hex()}


def svix(body: bytes, secret: str, at_s: int) -> Headers:
    signature = base64.b64encode(mac(base64.b64decode(secret), f"msg_1.{at_s}.".encode() + body)).decode()
    return {"svix-id": "msg_1", "svix-timestamp": str(at_s), "svix-signature": f"v1,{signature}"}


def generic(algorithm: str, encode: Callable[[bytes], str]) -> Signs:
    return lambda body, secret, at_s: {"X-Signature": encode(mac(secret, body, algorithm.lower()))}


def api_key(body: bytes, secret: str, at_s: int) -> Headers:
    return {"X-Key": secret}


def basic(body: bytes, secret: str, at_s: int) -> Headers:
    return {"Authorization": "Basic " + base64.b64encode(f"ada:{secret}".encode()).decode()}


@dataclass(frozen=True, kw_only=True)
class Sender:
    """`timed`: whether the time is in what is signed. `signed`: whether the body is, or a secret is in a header."""

    source: str
    auth: Any
    signs: Signs
    secret: str = SECRET
    timed: bool = False
    signed: bool = True


def of(source: str, signs: Signs, **given: Any) -> Sender:
    secret = given.get("secret", SECRET)
    return Sender(source=source, auth=V1WebhookHMACAuth(signing_secret=secret), signs=signs, **given)


def hmac_of(algorithm: str, encoding: str, encode: Callable[[bytes], str]) -> Sender:
    auth = V1WebhookHMACAuth(
        algorithm=algorithm, encoding=encoding, signature_header_name="X-Signature", signing_secret=SECRET
    )
    return Sender(source="GENERIC", auth=auth, signs=generic(algorithm, encode))


ENCODINGS: dict[str, Callable[[bytes], str]] = {
    "HEX": bytes.hex,
    "BASE64": lambda digest: base64.b64encode(digest).decode(),
    "BASE64URL": lambda digest: base64.urlsafe_b64encode(digest).decode(),
}
SENDERS: dict[str, Sender] = {
    "github": of("GITHUB", github),
    "stripe": of("STRIPE", stripe, timed=True),
    "slack": of("SLACK", slack, timed=True),
    "linear": of("LINEAR", linear),
    "svix": of("SVIX", svix, secret=SVIX_KEY, timed=True),
    "api key": Sender(
        source="GENERIC",
        auth=V1WebhookAPIKeyAuth(header_name="X-Key", api_key=SECRET),
        signs=api_key,
        signed=False,
    ),
    "basic": Sender(
        source="GENERIC", auth=V1WebhookBasicAuth(username="ada", password=SECRET), signs=basic, signed=False
    ),
    **{
        f"hmac {algorithm} {encoding}": hmac_of(algorithm, encoding, encode)
        for algorithm in ("MD5", "SHA1", "SHA256", "SHA512")
        for encoding, encode in ENCODINGS.items()
    },
}


@dataclass(frozen=True)
class Door:
    """A local stack with a webhook of each sender, and what came through so far."""

    hatchet: Headrace
    stack: LocalStack

    @property
    def now_s(self) -> int:
        return self.hatchet.engine.clock.now_ms() // 1000

    def post(self, sender: str, body: bytes, headers: Headers) -> tuple[int, Any]:
        return self.stack.post_webhook(sender.replace(" ", "-"), body, headers)

    def signed(self, sender: str, body: bytes = BODY) -> Headers:
        found = SENDERS[sender]
        return found.signs(body, found.secret, self.now_s)

    def pushed(self) -> list[Any]:
        self.stack.drain()
        return [event.payload for event in self.hatchet.event.list(limit=1_000).rows]


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    hatchet = Headrace()

    @hatchet.task(on_events=["sent"])
    def takes(input: EmptyModel, ctx: Context) -> None: ...

    hatchet.worker("takes", workflows=[takes], webhooks=True)
    with local(hatchet, backend="memory", background=False) as stack:
        for name, sender in SENDERS.items():
            hatchet.webhooks.create(sender.source, name.replace(" ", "-"), "'sent'", sender.auth)
        yield Door(hatchet, stack)


@pytest.mark.parametrize("name", SENDERS)
def test_what_it_signed_is_pushed_once_and_what_it_did_not_is_not(door: Door, name: str) -> None:
    sender, before = SENDERS[name], len(door.pushed())
    status, answer = door.post(name, BODY, door.signed(name))
    assert (status, answer["message"]) == (200, "ok")
    door.stack.drain()
    assert door.hatchet.event.get(answer["event"]["eventId"]).payload == {"id": 7, "said": "ü"}
    guess = base64.b64encode(b"another key of 24 bytes!").decode()
    refused = [
        ({}, BODY),
        (sender.signs(BODY, guess, door.now_s), BODY),
        (dict.fromkeys(door.signed(name), ""), BODY),
        ({header: value[:-4] for header, value in door.signed(name).items()}, BODY),
        *([(door.signed(name), BODY + b" "), (door.signed(name, b"{}"), BODY)] if sender.signed else []),
    ]
    for headers, body in refused:
        assert door.post(name, body, headers) == (403, {"message": "Forbidden"}), headers
    assert len(door.pushed()) == before + 1


@pytest.mark.parametrize("name", SENDERS)
def test_what_it_signed_but_no_webhook_takes_is_the_right_4xx(door: Door, name: str) -> None:
    before = len(door.pushed())
    good = door.signed(name)
    assert door.post(name, BODY, {**good, "Content-Type": "text/plain"})[0] == 415
    assert door.post(name, BODY, {**good, "Content-Type": "multipart/form-data; boundary=x"})[0] == 415
    for body in (b"no json", b"[7]", b"{", b"\xff"):
        status, answer = door.post(name, body, door.signed(name, body))
        # Linear's time is in the body: one in which none can be read is not authentic
        assert status == (403 if name == "linear" else 400), (body, answer)
        assert answer["message"]
    path = f"/api/v1/stable/tenants/headrace/webhooks/{name.replace(' ', '-')}"
    for method in ("GET", "PUT", "DELETE", "HEAD"):
        request = {
            "rawPath": path,
            "requestContext": {"http": {"method": method}},
            "headers": {key.lower(): value for key, value in good.items()},
            "body": BODY.decode(),
        }
        assert handlers.make_handler(door.hatchet)(request, None)["statusCode"] == 405
    assert len(door.pushed()) == before


def test_a_body_that_is_too_large_is_refused_whatever_its_signature(door: Door) -> None:
    before = len(door.pushed())
    large = json.dumps({"x": "x" * LARGEST}).encode()
    for name in SENDERS:
        assert door.post(name, large, {})[0] == 413
    assert door.post("github", large, door.signed("github", large))[0] == 413
    assert len(door.pushed()) == before


@pytest.mark.parametrize("name", [name for name, sender in SENDERS.items() if sender.timed])
def test_how_far_the_sender_s_clock_may_be_off(door: Door, name: str) -> None:
    sender, before = SENDERS[name], len(door.pushed())
    for off_s, status in (
        (-TOLERANCE_S - 2, 403),
        (TOLERANCE_S + 2, 403),
        (-TOLERANCE_S + 5, 200),
        (TOLERANCE_S - 5, 200),
    ):
        headers = sender.signs(BODY, sender.secret, door.now_s + off_s)
        assert door.post(name, BODY, headers)[0] == status, off_s
    assert len(door.pushed()) == before + 2


@pytest.mark.parametrize("name", [name for name, sender in SENDERS.items() if sender.timed])
def test_a_recorded_request_of_before_is_refused_and_its_time_cannot_be_changed(
    door: Door, name: str
) -> None:
    recorded, then_s = door.signed(name), door.now_s
    door.hatchet.engine.clock.advance((TOLERANCE_S + 2) * 1000)  # type: ignore[attr-defined]  # in virtual time
    before = len(door.pushed())
    assert door.post(name, BODY, recorded)[0] == 403
    renewed = {key: value.replace(str(then_s), str(door.now_s)) for key, value in recorded.items()}
    assert renewed != recorded
    assert door.post(name, BODY, renewed)[0] == 403
    assert len(door.pushed()) == before


def test_slack_s_question_is_answered_to_slack_alone(door: Door) -> None:
    before = len(door.pushed())
    asks = b'{"type": "url_verification", "challenge": "3eZb"}'
    assert door.post("slack", asks, door.signed("slack", asks)) == (200, {"challenge": "3eZb"})
    assert door.post("slack", asks, slack(asks, "guess", door.now_s))[0] == 403
    assert len(door.pushed()) == before
    status, answer = door.post("github", asks, door.signed("github", asks))
    assert (status, answer["message"]) == (200, "ok")  # an event as any other
    assert len(door.pushed()) == before + 1
