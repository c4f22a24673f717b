"""The Cost page asks for every queue and function that a stack's template makes, and says what is not in its sum."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from dashboard.looked_at import Site

from headrace import Context, EmptyModel, Headrace
from headrace_dashboard.costs import CLOUDWATCH_TAKES, asked_of, sums
from headrace_infra.compile import compile_app
from headrace_infra.testing import local

KINDS = {"QueueName": "AWS::SQS::Queue", "FunctionName": "AWS::Serverless::Function"}


@pytest.fixture(scope="module")
def hatchet() -> Iterator[Headrace]:
    """An app whose template has every kind of queue and function."""
    app = Headrace()

    @app.task(name="limited", concurrency=1, on_events=["order:*"])
    def limited(input: EmptyModel, ctx: Context) -> None: ...

    @app.task(name="plain")
    def plain(input: EmptyModel, ctx: Context) -> None: ...

    app.worker("narrow", workflows=[limited])
    app.worker("wide", workflows=[plain])
    with local(app, backend="memory", background=False):
        app._publish()
        yield app


def names(template: dict[str, Any], kind: str, name: str) -> set[str]:
    found = [each["Properties"][name] for each in template["Resources"].values() if each["Type"] == kind]
    return {json.dumps(each).split("${AWS::StackName}")[1].strip('"}') for each in found}


def test_every_queue_and_function_of_the_template_is_asked_for(hatchet: Headrace) -> None:
    template = compile_app(hatchet, app_path="app:hatchet", dashboard=True)
    asked = asked_of(hatchet)
    made = {kind: {each.dimensions[kind] for each in asked if kind in each.dimensions} for kind in KINDS}
    assert {"-narrow-next", "-events", "-dead-letters"} < names(template, KINDS["QueueName"], "QueueName")
    for kind, resource in KINDS.items():
        assert {hatchet.settings.home + each for each in names(template, resource, kind)} <= made[kind]


class Cloud:
    """CloudWatch as its API says: at most 500 metrics a request, each answered by its id."""

    def __init__(self) -> None:
        self.requests: list[int] = []

    def get_metric_data(self, *, MetricDataQueries: list[Any], **_: Any) -> dict[str, Any]:
        assert len(MetricDataQueries) <= 500
        self.requests.append(len(MetricDataQueries))
        return {"MetricDataResults": [{"Id": each["Id"], "Values": [1.0]} for each in MetricDataQueries]}


def test_a_stack_of_many_workers_is_asked_for_in_parts(hatchet: Headrace) -> None:
    asked = asked_of(hatchet) * 20
    cloud = Cloud()
    assert sums(cloud, asked, datetime(2026, 1, 1, tzinfo=UTC)) == [1.0] * len(asked)
    assert len(cloud.requests) == -(-len(asked) // CLOUDWATCH_TAKES)


@pytest.mark.parametrize("what", ["other zones", "reply queues", "Lambda's seconds", "at most"])
def test_the_page_says_what_is_not_in_it(site: Site, what: str) -> None:
    assert what in site.client.get("/cost").text.replace("&#39;", "'")
