"""Events on a deployed stack, with the policies of its roles enforced: pushed, by webhook, and of AWS."""

from __future__ import annotations

import hashlib
import hmac
import json
import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deployed.conftest import Stack
from deployed.waiting import until
from headrace import V1WebhookHMACAuth
from headrace.clients.models.events import V1Event
from headrace.engine.catalog.workflows import all_published

pytestmark = [pytest.mark.deployed, pytest.mark.timeout(280)]


@pytest.fixture(scope="module")
def published(eventful: Stack) -> Stack:
    """The clock has published what the stack's workflows are."""
    until(
        lambda: len(all_published(eventful.app.engine)) == 3, within_s=75, what="the workflows are published"
    )
    time.sleep(6)  # the events function believes what it read before for 5 seconds
    return eventful


def handled(stack: Stack, event_id: str, runs: int) -> V1Event:
    """The event, once so many of its runs have completed."""

    def look() -> V1Event | None:
        try:
            found = stack.app.event.get(event_id)
        except ValueError:
            return None
        return found if found.workflow_run_summary.succeeded == runs else None

    return until(look, within_s=40, what=f"{runs} runs of event {event_id} completed")


def test_an_event_starts_its_runs_and_a_task_pushes_another(published: Stack) -> None:
    hatchet = published.app
    pushed = hatchet.event.push("user:created", {"admin": True}, scope="staff")
    found = handled(published, pushed.event_id, 2)
    assert len(found.triggered_runs) == 2
    [by_filter] = [each for each in found.triggered_runs if each.filter_id is not None]
    inner = hatchet.runs.get_result(by_filter.workflow_run_id)["audit"]["pushed"]
    told = handled(published, inner, 1)
    assert told.payload == {"level": 2}
    assert told.additional_metadata is not None
    assert told.additional_metadata["hatchet__source_workflow_run_id"] == by_filter.workflow_run_id
    assert {each.key for each in hatchet.event.list().rows} >= {"user:created", "audit:done"}


def test_a_payload_over_a_message_comes_through(published: Stack) -> None:
    pushed = published.app.event.push("user:large", {"text": "y" * 400_000})
    found = handled(published, pushed.event_id, 1)
    assert found.payload == {"text": "y" * 400_000}


def test_an_event_of_aws_comes_in_by_the_rule(published: Stack) -> None:
    entry = {"Source": "acme.billing", "DetailType": "Invoice Closed", "Detail": '{"invoice": 7}'}
    published.client("events").put_events(Entries=[entry])
    key, since = "acme.billing:Invoice Closed", datetime.now(UTC) - timedelta(seconds=2)
    found = until(
        lambda: published.app.event.list(keys=[key], since=since).rows,
        within_s=30,
        what="the event came in by the rule",
    )
    assert handled(published, found[0].metadata.id, 1).payload == {"invoice": 7}


def test_a_signed_webhook_starts_a_run_and_a_forged_one_nothing(published: Stack) -> None:
    hatchet, secret = published.app, "do not tell"
    hatchet.webhooks.create(
        "GITHUB", "repo", "'github:' + headers['x-github-event']", V1WebhookHMACAuth(signing_secret=secret)
    )
    function = f"{published.name}-webhooks"
    body = json.dumps({"action": "opened"}).encode()

    def invoke(signature: str) -> dict[str, Any]:
        request = {
            "rawPath": f"/api/v1/stable/tenants/{published.name}/webhooks/repo",
            "requestContext": {"http": {"method": "POST"}},
            "headers": {
                "content-type": "application/json",
                "x-github-event": "issues",
                "x-hub-signature-256": signature,
            },
            "body": body.decode(),
            "isBase64Encoded": False,
        }
        answer = published.client("lambda").invoke(FunctionName=function, Payload=json.dumps(request))
        out: dict[str, Any] = json.loads(answer["Payload"].read())
        return out

    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    assert invoke("sha256=" + "0" * 64)["statusCode"] == 403
    taken = invoke(f"sha256={digest}")
    assert taken["statusCode"] == 200, taken
    event = json.loads(taken["body"])["event"]
    found = handled(published, event["eventId"], 1)
    assert (found.key, found.triggering_webhook_name) == ("github:issues", "repo")
    names = [
        each["Name"]
        for each in published.client("ssm").describe_parameters()["Parameters"]
        if each["Type"] == "SecureString"
    ]
    assert any(name.startswith(f"/{published.name}/webhooks/repo-") for name in names)
    hatchet.webhooks.delete("repo")


def test_from_push_to_user_code(published: Stack, record_property: Any) -> None:
    spans: list[float] = []
    for n in range(15):
        pushed = published.app.event.push("user:timed", {"n": n})
        found = handled(published, pushed.event_id, 1)
        run = published.app.runs.get(found.triggered_runs[0].workflow_run_id).run
        assert run.started_at is not None
        spans.append((run.started_at - pushed.event_timestamp).total_seconds() * 1000)
    record_property("told", f"{statistics.median(spans):.0f} ms from push to user code at the median")
    assert statistics.median(spans) < 2_000
