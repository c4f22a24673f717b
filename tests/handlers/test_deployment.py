"""The catalog is published as part of a deployment: what CloudFormation asks, and what it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from headrace import Context, EmptyModel, Headrace
from headrace.engine.catalog.workflows import all_published
from headrace.memory.wiring import connect
from headrace.settings.settings import Settings
from headrace_handlers import clock, deployment
from headrace_infra.compile import compile_app


class Bucket:
    """Takes what is put to its URL."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []
        self.types: list[str | None] = []
        bucket = self

        class Put(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                bucket.answers.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                bucket.types.append(self.headers["Content-Type"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                """Nothing is printed."""

        self.server = HTTPServer(("127.0.0.1", 0), Put)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def event(self, kind: str, **more: str) -> dict[str, str]:
        return {
            "RequestType": kind,
            "ResponseURL": f"http://127.0.0.1:{self.server.server_port}/answer?signed",
            "StackId": "arn:stack",
            "RequestId": "r1",
            "LogicalResourceId": "Catalog",
            **more,
        }


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    made = Bucket()
    yield made
    made.server.shutdown()
    made.thread.join()
    made.server.server_close()


def app_of(*steps: str) -> Headrace:
    app = Headrace(config=Settings())
    order = app.workflow(name="order")
    for step in steps:

        @order.task(name=step)
        def run(input: EmptyModel, ctx: Context) -> None: ...

    app.worker("w", workflows=[order])
    return app


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_it_publishes_and_says_so(bucket: Bucket, kind: str) -> None:
    app = app_of("charge")
    app.use(connect())
    deployment.answer(bucket.event(kind), app._publish)
    assert list(all_published(app.engine)) == ["order"]
    assert bucket.answers == [
        {
            "Status": "SUCCESS",
            "Reason": "published",
            "PhysicalResourceId": "headrace-catalog",
            "StackId": "arn:stack",
            "RequestId": "r1",
            "LogicalResourceId": "Catalog",
        }
    ]
    assert bucket.types == [""]


def test_a_deletion_needs_no_app(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_APP", "no_such_module:app")
    assert clock.handler(bucket.event("Delete", PhysicalResourceId="old"), None) == {}
    assert [(each["Status"], each["PhysicalResourceId"]) for each in bucket.answers] == [("SUCCESS", "old")]


def test_an_app_that_cannot_be_published_fails_the_deployment_with_the_reason(bucket: Bucket) -> None:
    def broken() -> None:
        raise ValueError("x" * 5_000)

    deployment.answer(bucket.event("Create"), broken)
    [told] = bucket.answers
    assert told["Status"] == "FAILED"
    assert told["Reason"].startswith("ValueError: xxx")
    assert len(json.dumps(told)) < 4_096


def test_a_tick_is_no_request() -> None:
    assert not deployment.is_asked({"source": "aws.events"})


def version(app: Headrace) -> str:
    resource = compile_app(app, app_path="app:hatchet")["Resources"]["Catalog"]
    assert resource["Properties"]["ServiceToken"] == {"Fn::GetAtt": ["ClockFunction", "Arn"]}
    return str(resource["Properties"]["Version"])


def test_cloudformation_asks_again_where_what_is_published_has_changed() -> None:
    same = [version(app_of("charge")) for _ in range(2)]
    assert same[0] == same[1] != version(app_of("charge", "ship"))
    limited = app_of("charge")
    limited._declared_rate_limits["api"] = (5, 60)
    assert version(limited) != same[0]
