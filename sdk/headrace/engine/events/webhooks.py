"""Webhooks as they are stored, and what a request to one becomes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, assert_never

from headrace.core.changes import ITEM_EXISTS, ITEM_MISSING, Applied, Delete, Item, Put
from headrace.core.events.event import MAX_KEY_BYTES, Event, event_id_at
from headrace.core.events.webhook import (
    Algorithm,
    ApiKey,
    Auth,
    BadRequest,
    Basic,
    Encoding,
    Headers,
    Hmac,
    Source,
    Webhook,
    body_of,
    challenge_of,
    event_of,
    is_authentic,
)
from headrace.core.run.plans.plan import Json
from headrace.core.table import WEBHOOKS, webhook_key
from headrace.core.values import dataclass
from headrace.engine.engine import Engine
from headrace.engine.events.push import push
from headrace.errors import ExpressionError


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the sender of a request is told."""

    status: int
    body: Mapping[str, Json]


FORBIDDEN = Answer(status=403, body={"message": "Forbidden"})
NOT_FOUND = Answer(status=404, body={"message": "Not found"})


def accept(
    engine: Engine,
    webhook: Webhook,
    secret: str,
    headers: Headers,
    body: bytes,
    *,
    namespaced: Callable[[str], str],
    tenant: str,
) -> Answer:
    """Push the event that a request is. Its answer is given when the queue has it; nothing is pushed on any other answer than 200.

    A request that is not authentic is told nothing but that. `headers`: names in lower case.
    """
    now_ms = engine.clock.now_ms()
    if len(body) > engine.limits.payload_bytes:
        return Answer(status=413, body={"message": f"the body is over {engine.limits.payload_bytes:,} bytes"})
    if not is_authentic(webhook, secret, headers, body, now_s=now_ms / 1000):
        return FORBIDDEN
    try:
        payload = body_of(headers, body)
        challenge = challenge_of(webhook, payload)
        if challenge is not None:
            return Answer(status=200, body={"challenge": challenge})
        key, scope, payload = event_of(webhook, headers, payload, engine.expressions.evaluate)
        if "*" in key or len(key.encode()) > MAX_KEY_BYTES:
            raise BadRequest(f"the key of the event has '*' or is over {MAX_KEY_BYTES} bytes")
    except (BadRequest, ExpressionError) as error:
        return Answer(status=400, body={"message": str(error)})
    event = Event(
        event_id=event_id_at(now_ms, engine.ids.run_id().encode()),
        key=namespaced(key),
        pushed_at_ms=now_ms,
        payload=json.dumps(payload, separators=(",", ":"), ensure_ascii=False),
        scope=scope,
        webhook=webhook.name,
    )
    push(engine, [event])
    return Answer(status=200, body=_said(webhook, event, payload, tenant))


def _said(webhook: Webhook, event: Event, payload: Mapping[str, Json], tenant: str) -> dict[str, Json]:
    if not webhook.returns_event:
        return {"message": "ok"}
    shown: dict[str, Json] = {
        "eventId": event.event_id,
        "tenantId": tenant,
        "key": event.key,
        "payload": dict(payload),
        "scope": event.scope,
    }
    return {"message": "ok", "event": shown}


# ---------------------------------------------------------------- stored


def create(engine: Engine, webhook: Webhook) -> bool:
    """Store a webhook; False where there is one of that name."""
    put = Put(key=webhook_key(webhook.name), item=_encode(webhook), require=ITEM_MISSING)
    return isinstance(engine.store.write(put), Applied)


def replace(engine: Engine, webhook: Webhook) -> bool:
    """Store a webhook in place of that of its name; False where there is none."""
    put = Put(key=webhook_key(webhook.name), item=_encode(webhook), require=ITEM_EXISTS)
    return isinstance(engine.store.write(put), Applied)


def delete(engine: Engine, name: str) -> None:
    """Forget a webhook. Doing it twice is harmless."""
    engine.store.write(Delete(key=webhook_key(name)))


def get(engine: Engine, name: str) -> Webhook | None:
    item = engine.store.get(webhook_key(name))
    return _decode(item) if item is not None else None


def all_webhooks(engine: Engine) -> list[Webhook]:
    """Every webhook, by name."""
    return [_decode(item) for item in engine.store.query(WEBHOOKS)]


def _encode(webhook: Webhook) -> Item:
    item: Item = {
        "source": webhook.source.value,
        "auth": json.dumps(_auth(webhook.auth)),
        "secret": webhook.secret,
        "key": webhook.key,
        "static": json.dumps(dict(webhook.static_payload), separators=(",", ":"), ensure_ascii=False),
        "returns": webhook.returns_event,
        "created": webhook.created_at_ms,
        "updated": webhook.updated_at_ms,
    }
    if webhook.scope is not None:
        item["scope"] = webhook.scope
    return item


def _auth(auth: Auth) -> list[str]:
    match auth:
        case Basic():
            return ["BASIC", auth.username]
        case ApiKey():
            return ["API_KEY", auth.header]
        case Hmac():
            return ["HMAC", auth.header, auth.algorithm.value, auth.encoding.value]
        case _:
            assert_never(auth)


def kind_of(auth: Auth) -> str:
    """Hatchet's name of the way to authenticate."""
    return _auth(auth)[0]


def _decode(item: Item) -> Webhook:
    return Webhook(
        name=str(item["sk"]),
        source=Source(str(item["source"])),
        auth=_read_auth(json.loads(str(item["auth"]))),
        secret=str(item["secret"]),
        key=str(item["key"]),
        scope=str(item["scope"]) if "scope" in item else None,
        static_payload=json.loads(str(item["static"])),
        returns_event=bool(item["returns"]),
        created_at_ms=int(str(item["created"])),
        updated_at_ms=int(str(item["updated"])),
    )


def _read_auth(raw: list[Any]) -> Auth:
    match raw:
        case ["BASIC", username]:
            return Basic(username=username)
        case ["API_KEY", header]:
            return ApiKey(header=header)
        case ["HMAC", header, algorithm, encoding]:
            return Hmac(header=header, algorithm=Algorithm(algorithm), encoding=Encoding(encoding))
        case _:
            raise ValueError(f"no way to authenticate: {raw!r}")
