"""What is compiled of events: nothing for an app without, and no more rights than it needs for one with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headrace import Context, DefinitionError, DurableContext, EmptyModel, Headrace
from headrace_infra.compile import compile_app, render
from headrace_infra.testing import local

UPLOADED = {"source": ["aws.s3"], "detail-type": ["Object Created"]}
NIGHTLY = {"source": ["acme.billing"], "detail": {"state": ["closed"]}}


def compiled(app: Headrace) -> dict[str, Any]:
    return compile_app(app, app_path="app:hatchet", runtime="python3.12")


def plain(**options: Any) -> Headrace:
    app, webhooks = Headrace(), options.pop("webhooks", False)

    @app.task(name="step", **options)
    def step(input: EmptyModel, ctx: Context) -> None: ...

    app.worker("default", workflows=[step], webhooks=webhooks)
    return app


def durable() -> Headrace:
    app = Headrace()

    @app.durable_task(name="step")
    async def step(input: EmptyModel, ctx: DurableContext) -> None: ...

    return app


def of_events(template: dict[str, Any]) -> set[str]:
    return {
        name
        for name in template["Resources"]
        if name.startswith(("Event", "Webhook")) and "Alarm" not in name
    }


def test_an_app_without_events_has_none_of_it() -> None:
    template = compiled(plain())
    assert of_events(template) == set()
    assert "events" not in json.dumps(template["Resources"]["DefaultFunction"])
    assert "EventsQueueUrl" not in template["Outputs"]


@pytest.mark.parametrize(
    "app",
    [plain(on_events=["user:*"]), durable(), plain(webhooks=True)],
    ids=["on_events", "durable", "hooks"],
)
def test_an_app_with_events_has_their_queue_and_function(app: Headrace) -> None:
    template = compiled(app)
    assert {"EventsQueue", "EventsFunction", "EventsMapping", "EventsFunctionLogs"} <= of_events(template)
    assert "EventsQueuePolicy" not in template["Resources"]
    variables = template["Resources"]["DefaultFunction"]["Properties"]["Environment"]["Variables"]
    assert '"events": "${EventsQueue}"' in variables["HEADRACE_QUEUES"]["Fn::Sub"]


def statements(template: dict[str, Any], function: str) -> dict[str, Any]:
    [policy] = template["Resources"][f"{function}Role"]["Properties"]["Policies"]
    found = policy["PolicyDocument"]["Statement"]
    return {each["Sid"]: each for each in found if each.get("Effect") == "Allow"}


def test_the_functions_may_do_what_they_do_and_no_more() -> None:
    template = compiled(plain(on_events=["a"], webhooks=True))
    events = statements(template, "EventsFunction")
    assert set(events) == {
        "Items",
        "Payloads",
        "PayloadsThatAreGone",
        "Sends",
        "Replies",
        "Receives",
        "OwnLogs",
    }
    assert events["Receives"]["Resource"] == {"Fn::GetAtt": ["EventsQueue", "Arn"]}
    assert {"Fn::GetAtt": ["EventsQueue", "Arn"]} in events["Sends"]["Resource"]
    hooks = statements(template, "WebhooksFunction")
    assert hooks["Webhooks"]["Action"] == ["dynamodb:GetItem"]
    assert hooks["Sends"]["Resource"] == {"Fn::GetAtt": ["EventsQueue", "Arn"]}
    assert hooks["Secrets"]["Action"] == ["ssm:GetParameter"]
    assert hooks["Secrets"]["Resource"]["Fn::Sub"].endswith(":parameter/${AWS::StackName}/webhooks/*")
    assert "*" not in json.dumps(
        [each.get("Resource") for each in (*events.values(), *hooks.values())]
    ).replace("/webhooks/*", "").replace("/events/*", "").replace("/run#*", "").replace("-reply-*", "")


def patterned() -> Headrace:
    app = Headrace()

    @app.task(name="ingest", on_events=["aws.s3:Object Created"])
    def ingest(input: EmptyModel, ctx: Context) -> None: ...

    app.worker("intake", workflows=[ingest], event_patterns=[UPLOADED, NIGHTLY], webhooks=True)
    return app


def test_only_the_rules_of_the_app_may_send_to_the_queue() -> None:
    resources = compiled(patterned())["Resources"]
    assert resources["EventRule1"]["Properties"]["EventPattern"] == UPLOADED
    assert resources["EventRule2"]["Properties"]["EventPattern"] == NIGHTLY
    [statement] = resources["EventsQueuePolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Action"] == "sqs:SendMessage"
    assert statement["Condition"] == {
        "ArnEquals": {
            "aws:SourceArn": [
                {"Fn::GetAtt": ["EventRule1", "Arn"]},
                {"Fn::GetAtt": ["EventRule2", "Arn"]},
            ]
        }
    }


def test_cfn_lint_finds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(render(compiled(patterned()), app_path="app:hatchet"))
    command = [str(Path(sys.executable).with_name("cfn-lint")), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (UPLOADED, "give a list of patterns"),
        (["aws.s3"], r"event_patterns\[0\] is 'aws.s3': give a pattern"),
        ([{}], "give a pattern"),
        ([{"source": "aws.s3"}], r"source is 'aws.s3': a pattern names lists of values"),
    ],
)
def test_what_is_no_pattern(patterns: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        Headrace().worker("w", event_patterns=patterns)


def test_an_upload_starts_a_run_once_however_often_it_is_told() -> None:
    app = Headrace()
    seen: list[dict[str, Any]] = []

    @app.task(name="ingest", on_events=["aws.s3:Object Created", "aws.s3:ObjectCreated:*"])
    def ingest(input: EmptyModel, ctx: Context) -> None:
        seen.append({"key": ctx.triggering_event_key, "region": ctx.additional_metadata["aws_region"]})

    bridged = {
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "time": "2026-11-12T00:00:00Z",
        "region": "eu-central-1",
        "detail": {"bucket": {"name": "b"}, "object": {"key": "a.csv"}},
    }
    notified = {
        "Records": [
            {
                "eventSource": "aws:s3",
                "eventName": "ObjectCreated:Put",
                "awsRegion": "eu-central-1",
                "eventTime": "2026-11-12T00:00:00.000Z",
                "s3": {"bucket": {"name": "b"}, "object": {"key": "a.csv", "sequencer": "0"}},
            }
        ]
    }
    with local(app, backend="memory", background=False) as stack:
        for envelope in (bridged, notified, bridged, notified, {"Event": "s3:TestEvent"}, {"what": "?"}):
            stack.send_aws_event(envelope)
        stack.drain()
        assert sorted(seen, key=str) == [  # a batch is handled on threads
            {"key": "aws.s3:Object Created", "region": "eu-central-1"},
            {"key": "aws.s3:ObjectCreated:Put", "region": "eu-central-1"},
        ]
        assert stack.depth_of_all() == 0
