"""The examples of what starts runs, deployed as one stack: onboarding by events, a nightly cron, a webhook of GitHub, an upload to S3, a
search index that waits for quiet. The same programs run on `local` in tests/examples."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import boto3
import pytest

from github_webhook import signed
from headrace import Debounce, Headrace, V1WebhookHMACAuth, V1WebhookSourceName
from nightly import NIGHTLY

from .straight import REPOSITORY, deployed
from .waiting import until

pytestmark = [pytest.mark.ministack, pytest.mark.timeout(180)]
STACK = "triggering"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Headrace]:
    log = tmp_path_factory.mktemp("ministack") / "log"
    folders = (Path(__file__).parent / "triggering", REPOSITORY / "examples")
    with deployed(STACK, *folders, log=log) as client:
        yield client


def results(client: Headrace, event_id: str, runs: int) -> list[dict[str, Any]]:
    """What the runs of an event gave, once so many have completed."""

    def look() -> list[dict[str, Any]] | None:
        try:
            event = client.event.get(event_id)
        except ValueError:
            return None  # not handled yet
        if event.workflow_run_summary.succeeded != runs:
            return None
        return [client.runs.get_result(run.workflow_run_id) for run in event.triggered_runs]

    return until(look, within_s=60, what=f"{runs} runs of event {event_id} completed")


def test_onboarding(client: Headrace) -> None:
    created = client.event.push("user:created", {"name": "Edsger", "plan": "pro"}, scope="eu")
    upgraded = client.event.push("user:upgraded", {"name": "Barbara", "plan": "team"}, scope="eu")
    texts = {
        text
        for result in results(client, created.event_id, 2)
        for output in result.values()
        for text in output.values()
    }
    assert texts == {"Welcome, Edsger!", "Grace looks after Edsger"}
    [barbara] = results(client, upgraded.event_id, 1)
    assert barbara == {"assign_person": {"person": "Alan looks after Barbara"}}


def test_a_nightly_cron(client: Headrace) -> None:
    """The declared one is due at three in Berlin; one of every five seconds shows that the clock starts the task."""
    [declared] = client.cron.list(workflow_name="report").rows
    assert (declared.cron, declared.timezone) == (
        NIGHTLY.removeprefix("CRON_TZ=Europe/Berlin "),
        "Europe/Berlin",
    )
    often = client.cron.create("report", "often", "*/5 * * * * *", {}, {})

    def nights() -> list[str]:
        rows = client.runs.list(workflow_ids=["report"]).rows
        return [row.output["night"] for row in rows if row.status == "COMPLETED"]

    found = until(nights, within_s=90, what="a tick was fired")
    client.cron.delete(often.metadata.id)
    assert found[0].endswith(datetime.now(ZoneInfo("Europe/Berlin")).strftime("in %Z"))


def test_a_webhook_of_github(client: Headrace) -> None:
    client.webhooks.create(
        source_name=V1WebhookSourceName.GITHUB,
        name="repository",
        event_key_expression="'github:' + headers['x-github-event'] + ':' + input.action",
        auth=V1WebhookHMACAuth(signing_secret="a secret that GitHub was told"),
    )
    body = json.dumps({"action": "opened", "issue": {"number": 7, "title": "It works"}}).encode()

    def posted(secret: str) -> dict[str, Any]:
        request = {
            "rawPath": f"/api/v1/stable/tenants/{STACK}/webhooks/repository",
            "requestContext": {"http": {"method": "POST"}},
            "headers": {
                "content-type": "application/json",
                **{name.lower(): value for name, value in signed(body, secret).items()},
            },
            "body": body.decode(),
            "isBase64Encoded": False,
        }
        answer = boto3.client("lambda").invoke(FunctionName=f"{STACK}-webhooks", Payload=json.dumps(request))
        out: dict[str, Any] = json.loads(answer["Payload"].read())
        return out

    assert posted("a guess")["statusCode"] == 403
    taken = posted("a secret that GitHub was told")
    assert taken["statusCode"] == 200, taken
    event = json.loads(taken["body"])["event"]
    [result] = results(client, event["eventId"], 1)
    assert result == {"triage": {"comment": "Thank you for #7, 'It works'"}}


def test_an_upload_to_s3(client: Headrace) -> None:
    """By the rule that the worker's `event_patterns` are compiled to; an object that the pattern does not take starts nothing."""
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="uploads")
    s3.put_bucket_notification_configuration(
        Bucket="uploads", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    s3.put_object(Bucket="uploads", Key="notes.txt", Body=b"no orders")
    s3.put_object(Bucket="uploads", Key="orders.csv", Body=b"id,amount\n1,30\n")
    since = datetime.now(UTC) - timedelta(minutes=1)
    [event] = until(
        lambda: client.event.list(keys=["aws.s3:Object Created"], since=since).rows,
        within_s=60,
        what="the event came in by the rule",
    )
    [result] = results(client, event.metadata.id, 1)
    assert result == {"ingest": {"ingested": "s3://uploads/orders.csv, 15 bytes"}}


def test_a_search_index_that_waits_for_quiet(client: Headrace) -> None:
    index = client.stubs.task(name="index")
    edits = [
        index.run(
            {"id": "a", "text": f"edit {edit}"},
            debounce=Debounce("a", period=timedelta(seconds=2)),
            wait_for_result=False,
        )
        for edit in range(1, 6)
    ]
    assert {ref.workflow_run_id for ref in edits} == {edits[0].workflow_run_id}
    assert edits[-1].result() == {"indexed": "a: edit 5"}
    assert len(client.runs.list(workflow_ids=["index"]).rows) == 1
