"""The policies against what the adapters call: derived from their source, so that a new call cannot be forgotten."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient

from headrace import Context, EmptyModel, Headrace
from headrace.core.changes import Write
from headrace.core.points import AtConcurrency
from headrace.core.run import replies
from headrace.core.run.plans.plan import GateStrategy
from headrace.core.waits import line
from headrace.core.waits import rate_limit as rates
from headrace.core.waits.concurrency import enter, evict
from headrace.core.waits.holders import Holder
from headrace.core.waits.passes import Pass
from headrace.engine.catalog.workers import announce
from headrace.engine.engine import Engine
from headrace.engine.timers import set_timer
from headrace.engine.waits.dead import DEAD_AFTER_MS
from headrace.settings.settings import Settings
from headrace_handlers import clock
from headrace_infra.compile import compile_app
from headrace_infra.cost.resources import action_of
from headrace_infra.testing import local

ADAPTERS = Path(__file__).parents[2] / "sdk" / "headrace" / "aws"

NOT_GRANTED = {
    "sts:GetCallerIdentity",  # needs no permission; and functions are told their bucket
    "ssm:PutParameter",  # the person who creates a webhook
    "ssm:DeleteParameters",
    "ssm:GetParameter",  # the webhooks function only
    "secretsmanager:GetSecretValue",
    "sqs:CreateQueue",  # clients, and the clock that sweeps their queues
    "sqs:DeleteQueue",
}
"""What no worker may do."""

MAPPING = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
"""What an event source mapping needs of its function's role (Lambda developer guide)."""


def operations() -> dict[str, tuple[str, str]]:
    """Client method, or operation, -> (service, operation), of the services that the adapters use."""
    found = {}
    for service in ("dynamodb", "sqs", "s3", "sts"):
        client = boto3.client(service, region_name="us-east-1")
        for method, name in client.meta.method_to_api_mapping.items():
            found[method] = found[name] = (service, name)
    return found


def called() -> set[str]:
    """Every name that the adapters' source mentions as an attribute or as a string, if it is a client's method or an operation."""
    known = operations()
    names = {name for path in ADAPTERS.rglob("*.py") for name in _names(ast.parse(path.read_text()))}
    return {action_of(*known[name]) for name in names if name in known}


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def declared_app() -> Headrace:
    app = Headrace(config=Settings())

    @app.task(name="one")
    def one(input: EmptyModel, ctx: Context) -> None: ...

    @app.task(name="two")
    def two(input: EmptyModel, ctx: Context) -> None: ...

    app.worker("first", workflows=[one])
    app.worker("second", workflows=[two])
    return app


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    app = declared_app()
    found: dict[str, Any] = compile_app(app, app_path="app:hatchet")["Resources"]
    return found


def statements(resources: dict[str, Any], function: str) -> list[dict[str, Any]]:
    """What the function's role allows, where no key of the user's is given."""
    policies = resources[f"{function}Role"]["Properties"]["Policies"]
    found = [each for policy in policies for each in policy["PolicyDocument"]["Statement"]]
    return [each for each in found if each.get("Effect") == "Allow"]


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
    logs = {"logs:CreateLogStream", "logs:PutLogEvents"}
    assert allowed(resources, "FirstFunction") - called() - MAPPING - listing - logs == set()


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


# ---------------------------------------------------------------- the clock, by what it does


def given(resources: dict[str, Any], function: str) -> set[tuple[str, str]]:
    """(action, resource) that a function's policies allow; a resource by its name, an index as `index/<name>`."""
    out = set()
    for each in statements(resources, function):
        found = each["Resource"] if isinstance(each["Resource"], list) else [each["Resource"]]
        for resource in found:
            out |= {(action, _name(resource)) for action in each["Action"]}
    return out


def _name(resource: dict[str, Any]) -> str:
    if "Fn::GetAtt" in resource:
        return str(resource["Fn::GetAtt"][0])
    path = str(resource["Fn::Sub"])
    return "Reply-*" if path.endswith("-reply-*") else path.split("Arn}/")[1]


@contextmanager
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[tuple[str, str]]]:
    """What AWS was asked for meanwhile, as `given` has it."""
    calls: set[tuple[str, str]] = set()
    original = vars(BaseClient)["_make_api_call"]

    def call(client: Any, operation: str, params: dict[str, Any]) -> Any:
        service = client.meta.service_model.service_name
        queue = params.get("QueueUrl", params.get("QueueName", "")).rpartition("headrace-")[2]
        queue = "Reply-*" if queue.startswith("reply-") else f"{queue.title()}Queue"
        resource = f"index/{params['IndexName']}" if "IndexName" in params else "Table"
        action = action_of(service, operation)
        calls.add((action, queue if service == "sqs" else resource))
        return original(client, operation, params)

    with monkeypatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", call)
        yield calls


def busy_gates(engine: Engine, victim: str) -> None:
    """Of each kind one that the clock has to do something for."""
    now_ms, old_ms = engine.clock.now_ms(), engine.clock.now_ms() - 10 * DEAD_AFTER_MS
    dead = Pass(point=AtConcurrency("one/0", "x"), member="gone/one", ticket=1, limit=1)
    newer = replace(
        dead, point=AtConcurrency("two/0", "x"), member="newer/two", strategy=GateStrategy.CANCEL_IN_PROGRESS
    )
    older, held = replace(newer, member=f"{victim}/two"), Holder(f"{victim}/two", 1, old_ms, 0)
    writes: list[Write] = [
        enter(dead, 0, waited=False, now_ms=old_ms, expires_at_s=now_ms),
        enter(older, 0, waited=False, now_ms=old_ms, expires_at_s=now_ms),
        evict(newer, 0, held, now_ms=now_ms, expires_at_s=now_ms),
        rates.mark("rate#ai", "nonce", due_ms=old_ms),
    ]
    for gate in (dead.gate, "rate#ai", "pause#one", "labels#second"):
        waiter = line.Waiter(
            gate=gate,
            sk="wait#3#1#r#one",
            run_id="r",
            task="one",
            number=0,
            ticket=1,
            worker="second",
            queued_at_ms=now_ms,
            start_by_ms=now_ms + DEAD_AFTER_MS,
            required_labels="[]",
        )
        writes.append(line.put_waiter(waiter, expires_at_s=now_ms))
    marked = (dead.gate, "pause#one", "labels#second", "gate#idle/0#x")
    writes += [line.mark(gate, "nonce", expires_at_s=now_ms) for gate in marked]
    for write in writes:
        engine.store.write(write)
    announce(engine, "second", "process", {})
    engine.store.write(replies.announce("reply-dead", now_ms=old_ms - 10 * replies.LEASE_MS))
    assert engine.replies is not None
    engine.replies.make("reply-dead")
    set_timer(engine, "second", now_ms + 60_000, "{}")


def test_the_clock_may_make_every_call_that_it_makes(
    resources: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = declared_app()
    with local(app, background=False) as stack:
        victim = app._workflows_by_name["two"].run(wait_for_result=False).workflow_run_id
        busy_gates(stack.engine, victim)
        tick = clock.make_handler(app)
        with recorded(monkeypatch) as calls:
            sent = [tick({}, None)["sent"] for _ in range(3)]
        assert sent[0] >= 4, "a timer, and those who wait for a place, a pause and labels"
        assert app.runs.get_status(victim).value == "CANCELLED"
    did = {
        ("dynamodb:Query", "index/listing"),
        ("dynamodb:DeleteItem", "Table"),
        ("sqs:SendMessage", "SecondQueue"),
        ("sqs:DeleteQueue", "Reply-*"),
    }
    assert did <= calls, "it did too little to prove anything"
    assert calls - given(resources, "ClockFunction") == set()


@pytest.mark.parametrize("function", ["FirstFunction", "DeadLettersFunction", "ClockFunction"])
def test_what_ends_runs_tells_those_that_wait(resources: dict[str, Any], function: str) -> None:
    assert ("sqs:SendMessage", "Reply-*") in given(resources, function)


@pytest.mark.parametrize("policy", ["TriggerPolicy", "OperatePolicy"])
def test_a_client_makes_and_removes_reply_queues_and_no_others(
    resources: dict[str, Any], policy: str
) -> None:
    document = resources[policy]["Properties"]["PolicyDocument"]
    role = {"ClientRole": {"Properties": {"Policies": [{"PolicyDocument": document}]}}}
    verbs = ("CreateQueue", "DeleteQueue", "ReceiveMessage")
    may = {
        pair
        for each in statements(role, "Client")
        for action in each["Action"]
        if action.removeprefix("sqs:") in verbs
        for pair in [(action, _name(each["Resource"]))]
    }
    assert may == {(f"sqs:{verb}", "Reply-*") for verb in verbs}


def test_the_clock_reads_one_index_only(resources: dict[str, Any]) -> None:
    indexes = {resource for _, resource in given(resources, "ClockFunction") if resource.startswith("index")}
    assert indexes == {"index/listing"}
    assert not [resource for _, resource in given(resources, "DeadLettersFunction") if "index" in resource]


def test_the_clock_receives_nothing_and_reads_no_payload(resources: dict[str, Any]) -> None:
    services = {action.split(":")[0] for action in allowed(resources, "ClockFunction")}
    assert services == {"dynamodb", "sqs", "logs"}
    assert "sqs:ReceiveMessage" not in allowed(resources, "ClockFunction")
