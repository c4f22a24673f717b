"""Webhooks as users set them up, and as their senders meet them: on a local stack."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from headrace import Context, DefinitionError, EmptyModel, Headrace
from headrace.clients.models.events import (
    V1WebhookAPIKeyAuth,
    V1WebhookBasicAuth,
    V1WebhookHMACAlgorithm,
    V1WebhookHMACAuth,
    V1WebhookSourceName,
)
from headrace.core.table import webhook_key
from headrace.memory.secrets import MemorySecrets
from headrace_handlers import webhooks as handlers
from headrace_infra.testing import local

SECRET = "do not tell"
HMAC = V1WebhookHMACAuth(signing_secret=SECRET)


def app() -> Headrace:
    hatchet = Headrace()

    @hatchet.task(on_events=["github:*", "fixed"])
    def triage(input: EmptyModel, ctx: Context) -> dict[str, Any]:
        return {"key": ctx.triggering_event_key}

    hatchet.worker("triage", workflows=[triage], webhooks=True)
    return hatchet


def github(body: bytes, secret: str = SECRET, event: str = "issues") -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={digest}", "X-GitHub-Event": event}


def test_a_signed_request_starts_a_run_and_is_told_of_its_event() -> None:
    hatchet = app()
    with local(hatchet, backend="memory", background=False) as stack:
        made = hatchet.webhooks.create(
            V1WebhookSourceName.GITHUB,
            "repo",
            "'github:' + headers['x-github-event']",
            HMAC,
            scope_expression="input.repository",
            static_payload={"via": "webhook"},
        )
        assert made.path == "/api/v1/stable/tenants/headrace/webhooks/repo"
        assert SECRET not in made.model_dump_json()
        body = b'{"action": "opened",\n "repository": "headrace"}'
        status, answer = stack.post_webhook("repo", body, github(body))
        assert status == 200
        assert answer["message"] == "ok"
        assert answer["event"]["key"] == "github:issues"
        stack.drain()
        event = hatchet.event.get(answer["event"]["eventId"])
        assert event.triggering_webhook_name == "repo"
        assert event.scope == "headrace"
        assert event.payload == {"action": "opened", "repository": "headrace", "via": "webhook"}
        assert event.workflow_run_summary.succeeded == 1
        item = hatchet.engine.store.get(webhook_key("repo"))
        assert item is not None
        assert SECRET not in json.dumps(item)


def test_what_is_refused_is_told_so_and_nothing_is_pushed() -> None:
    hatchet = app()
    with local(hatchet, backend="memory", background=False) as stack:
        hatchet.webhooks.create("GITHUB", "repo", "'github:' + headers['x-github-event']", HMAC)
        hatchet.webhooks.create(
            "GENERIC", "star", "input.key", V1WebhookAPIKeyAuth(header_name="X-Key", api_key="k")
        )
        good, key = b"{}", {"X-Key": "k"}
        rows: list[tuple[str, bytes, dict[str, str], int, str]] = [
            ("repo", good, {}, 403, "Forbidden"),
            ("repo", good, github(good, "guess"), 403, "Forbidden"),
            ("repo", b"{ }", github(good), 403, "Forbidden"),
            ("repo", b"no json", github(b"no json"), 400, "the body is not JSON"),
            ("repo", b"[]", github(b"[]"), 400, "a JSON list"),
            ("repo", good, {**github(good), "content-type": "text/plain"}, 415, "send JSON"),
            ("repo", b"x" * 5_000_000, {}, 413, "over 4,194,304 bytes"),
            ("other", good, github(good), 404, "Not found"),
            ("star", b'{"key": 1}', key, 400, "non-empty text"),
            ("star", b"{}", key, 400, "no such key"),
            ("star", b'{"key": "a:*"}', key, 400, "has '\\*'"),
        ]
        for name, body, headers, status, message in rows:
            found, answer = stack.post_webhook(name, body, headers)
            assert found == status, (name, body[:20], answer)
            assert message.replace("\\", "") in answer["message"]
        assert stack.depth_of_all() == 0
        assert hatchet.event.list().rows == []


def request(path: str, method: str = "POST") -> dict[str, Any]:
    return {"rawPath": path, "requestContext": {"http": {"method": method}}, "headers": {}, "body": "{}"}


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/api/v1/stable/tenants/headrace/webhooks/open", "GET", 405),
        ("/api/v1/stable/tenants/other/webhooks/open", "POST", 404),
        ("/", "POST", 404),
        ("/api/v1/stable/tenants/headrace/webhooks/open/more", "POST", 404),
        ("/api/v1/stable/tenants/headrace/webhooks/open", "POST", 403),
    ],
)
def test_paths_and_methods(path: str, method: str, status: int) -> None:
    hatchet = app()
    with local(hatchet, backend="memory", background=False):
        hatchet.webhooks.create("GENERIC", "open", "'fixed'", V1WebhookBasicAuth(username="u", password="p"))
        assert handlers.make_handler(hatchet)(request(path, method), None)["statusCode"] == status


def test_without_its_secret_or_its_queue_a_request_is_to_be_sent_again() -> None:
    hatchet = app()
    with local(hatchet, backend="memory", background=False) as stack:
        hatchet.webhooks.create(
            "GENERIC", "open", "'fixed'", V1WebhookAPIKeyAuth(header_name="k", api_key="ssm:/elsewhere")
        )
        assert stack.post_webhook("open", {}, {"k": "v"}) == (503, {"message": "not now: send it again"})
        secrets = hatchet.engine.secrets
        assert isinstance(secrets, MemorySecrets)
        secrets.values["ssm:/elsewhere"] = "v"
        assert stack.post_webhook("open", {}, {"k": "v"})[0] == 200


def test_slack_is_answered_its_challenge_if_it_signed() -> None:
    hatchet = app()
    with local(hatchet, backend="memory", background=False) as stack:
        hatchet.webhooks.create("SLACK", "slack", "'slack'", HMAC)
        at = str(hatchet.engine.clock.now_ms() // 1000)
        body = b'{"type": "url_verification", "challenge": "3eZb"}'
        digest = hmac.new(SECRET.encode(), f"v0:{at}:".encode() + body, hashlib.sha256).hexdigest()
        headers = {"X-Slack-Request-Timestamp": at, "X-Slack-Signature": f"v0={digest}"}
        assert stack.post_webhook("slack", body, headers) == (200, {"challenge": "3eZb"})
        assert stack.post_webhook("slack", body, {})[0] == 403
        assert stack.depth_of_all() == 0


def test_list_update_delete() -> None:
    hatchet = app()
    with local(hatchet, backend="memory", background=False) as stack:
        auth = V1WebhookBasicAuth(username="u", password="p")
        for name in ("b", "a"):
            hatchet.webhooks.create("GENERIC", name, "'fixed'", auth, return_event_as_response_payload=False)
        assert [each.name for each in hatchet.webhooks.list().rows] == ["a", "b"]
        assert [each.name for each in hatchet.webhooks.list(webhook_names=["b", "c"]).rows] == ["b"]
        assert hatchet.webhooks.list(source_names=[V1WebhookSourceName.GITHUB]).rows == []
        headers = {"Authorization": "Basic " + base64.b64encode(b"u:p").decode()}
        assert stack.post_webhook("a", {}, headers) == (200, {"message": "ok"})
        changed = hatchet.webhooks.update("a", return_event_as_response_payload=True, static_payload={"x": 1})
        assert changed.event_key_expression == "'fixed'"
        status, answer = stack.post_webhook("a", {}, headers)
        assert (status, answer["event"]["payload"]) == (200, {"x": 1})
        hatchet.webhooks.delete("a")
        with pytest.raises(ValueError, match="Webhook a not found"):
            hatchet.webhooks.get("a")
        assert stack.post_webhook("a", {}, headers)[0] == 404
        secrets = hatchet.engine.secrets
        assert isinstance(secrets, MemorySecrets)
        assert len(secrets.values) == 1


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"name": "a/b"}, DefinitionError, "webhook 'a/b': the name is part of a URL"),
    ({"name": "taken"}, ValueError, "there is a webhook 'taken' already"),
    ({"source_name": "GITLAB"}, DefinitionError, "source_name is 'GITLAB': give one of GENERIC, GITHUB"),
    ({"event_key_expression": "1 +"}, DefinitionError, "webhook w: event_key_expression"),
    ({"event_key_expression": ""}, DefinitionError, "webhook w: event_key_expression is ''"),
    ({"scope_expression": "1 +"}, DefinitionError, "webhook w: scope_expression"),
    ({"auth": None}, DefinitionError, "webhook w: auth is None"),
    ({"auth": V1WebhookHMACAuth(signing_secret="")}, DefinitionError, "anybody could send"),
    ({"auth": HMAC, "source_name": "GENERIC"}, DefinitionError, "the header is ''"),
    ({"auth": V1WebhookBasicAuth(username="u", password="p")}, DefinitionError, "GITHUB signs its requests"),
    ({"static_payload": {"x": object()}}, TypeError, "'x'"),
]


@pytest.mark.parametrize(("given", "error", "message"), BAD)
def test_webhooks_that_cannot_work(given: dict[str, Any], error: type[Exception], message: str) -> None:
    hatchet = app()
    with local(hatchet, backend="memory", background=False):
        hatchet.webhooks.create("GITHUB", "taken", "'fixed'", HMAC)
        wanted = {
            "source_name": "GITHUB",
            "name": "w",
            "event_key_expression": "'fixed'",
            "auth": HMAC,
            **given,
        }
        with pytest.raises(error, match=message):
            hatchet.webhooks.create(**wanted)
        assert [each.name for each in hatchet.webhooks.list().rows] == ["taken"]
        secrets = hatchet.engine.secrets
        assert isinstance(secrets, MemorySecrets)
        assert len(secrets.values) == 1


def test_hatchets_enums_are_texts() -> None:
    assert V1WebhookSourceName("GITHUB") == "GITHUB"
    assert V1WebhookHMACAlgorithm("SHA512") == "SHA512"
