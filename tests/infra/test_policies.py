"""The policies against what the adapters call: derived from their source, so that a new call cannot be forgotten."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from headrace import Context, EmptyModel, Headrace
from headrace.config import Settings
from headrace_infra.compile import compile_app

ADAPTERS = Path(__file__).parents[2] / "sdk" / "headrace" / "aws"

PERMISSIONS = {
    ("sqs", "SendMessageBatch"): "sqs:SendMessage",
    ("sqs", "DeleteMessageBatch"): "sqs:DeleteMessage",
    ("sqs", "ChangeMessageVisibilityBatch"): "sqs:ChangeMessageVisibility",
    ("s3", "ListObjectsV2"): "s3:ListBucket",
    ("s3", "HeadObject"): "s3:GetObject",
}
"""Where the permission is not named for the operation (Service Authorization Reference)."""

NOT_GRANTED = {"sts:GetCallerIdentity"}
"""Needs no permission; and functions are told their bucket."""

MAPPING = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
"""What an event source mapping needs of its function's role (Lambda developer guide)."""


def operations() -> dict[str, tuple[str, str]]:
    """Client method -> (service, operation), of the services that the adapters use."""
    found = {}
    for service in ("dynamodb", "sqs", "s3", "sts"):
        client = boto3.client(service, region_name="us-east-1")
        found |= {method: (service, name) for method, name in client.meta.method_to_api_mapping.items()}
    return found


def called() -> set[str]:
    """Every name that the adapters' source mentions as an attribute or as a string, if it is a client's method."""
    known = operations()
    names = {name for path in ADAPTERS.glob("*.py") for name in _names(ast.parse(path.read_text()))}
    return {
        PERMISSIONS.get(known[name], f"{known[name][0]}:{known[name][1]}") for name in names if name in known
    }


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    app = Headrace(config=Settings())

    @app.task(name="one")
    def one(input: EmptyModel, ctx: Context) -> None: ...

    @app.task(name="two")
    def two(input: EmptyModel, ctx: Context) -> None: ...

    app.worker("first", workflows=[one])
    app.worker("second", workflows=[two])
    found: dict[str, Any] = compile_app(app, app_path="app:hatchet")["Resources"]
    return found


def statements(resources: dict[str, Any], function: str) -> list[dict[str, Any]]:
    return [each for policy in resources[function]["Properties"]["Policies"] for each in policy["Statement"]]


def allowed(resources: dict[str, Any], function: str) -> set[str]:
    return {action for each in statements(resources, function) for action in each["Action"]}


def test_the_adapters_call_what_we_think_they_call() -> None:
    """If this finds nothing, the test below proves nothing."""
    assert {"dynamodb:UpdateItem", "sqs:SendMessage", "s3:PutObject", "sts:GetCallerIdentity"} <= called()


@pytest.mark.parametrize("function", ["FirstFunction", "SecondFunction"])
def test_a_worker_may_make_every_call_of_the_adapters(resources: dict[str, Any], function: str) -> None:
    assert called() - NOT_GRANTED - allowed(resources, function) == set()


def test_a_worker_may_do_nothing_else(resources: dict[str, Any]) -> None:
    listing = {"s3:ListBucket"}  # makes a payload that is gone "not there" rather than "denied"
    assert allowed(resources, "FirstFunction") - called() - MAPPING - listing == set()


@pytest.mark.parametrize("function", ["FirstFunction", "SecondFunction", "DeadLettersFunction"])
def test_its_mapping_may_receive(resources: dict[str, Any], function: str) -> None:
    assert allowed(resources, function) >= MAPPING


@pytest.mark.parametrize(
    "function", ["FirstFunction", "SecondFunction", "DeadLettersFunction", "ClockFunction"]
)
def test_nothing_is_allowed_on_everything(resources: dict[str, Any], function: str) -> None:
    for each in statements(resources, function):
        assert each["Resource"] not in ("*", ["*"])
        assert not [action for action in each["Action"] if "*" in action]


@pytest.mark.parametrize(
    ("function", "queue"),
    [
        ("FirstFunction", "FirstQueue"),
        ("SecondFunction", "SecondQueue"),
        ("DeadLettersFunction", "DeadLettersQueue"),
    ],
)
def test_it_receives_from_its_own_queue_only(resources: dict[str, Any], function: str, queue: str) -> None:
    [receives] = [each for each in statements(resources, function) if "sqs:ReceiveMessage" in each["Action"]]
    assert receives["Resource"] == {"Fn::GetAtt": [queue, "Arn"]}


def test_the_clock_receives_nothing_and_reads_no_payload(resources: dict[str, Any]) -> None:
    services = {action.split(":")[0] for action in allowed(resources, "ClockFunction")}
    assert services == {"dynamodb", "sqs"}
    assert "sqs:ReceiveMessage" not in allowed(resources, "ClockFunction")
