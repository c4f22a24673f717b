"""What each role can do, derived from the template, against what its code calls, as the cost meter counts it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

import pytest

from headrace import ConcurrencyExpression, Context, DurableContext, EmptyModel, Headrace, RateLimit
from headrace.errors import CompileError, DefinitionError
from headrace.ports import Outgoing
from headrace.settings.settings import Settings
from headrace_handlers import clock
from headrace_infra.compile import compile_app
from headrace_infra.cost.meter import Call, Meter
from headrace_infra.local.stack import LocalStack
from headrace_infra.testing import local

BIG = "x" * 500_000
"""More than an item holds: it goes to the bucket."""


def shop(**options: Any) -> Headrace:
    """Two workers that share a workflow, start each other's runs, wait, retry, log, stream and push."""
    app = Headrace(config=Settings())
    app.rate_limits.put("mails", 100)

    @app.task(
        name="mail", retries=1, rate_limits=[RateLimit(static_key="mails", units=1)], on_events=["paid"]
    )
    def mail(input: dict[str, Any], ctx: Context) -> dict[str, str]:
        if ctx.retry_count == 0:
            raise ValueError("busy")
        ctx.log("sent")
        ctx.put_stream("sent")
        return {"text": BIG}

    @app.durable_task(name="order")
    async def order(input: EmptyModel, ctx: DurableContext) -> dict[str, int]:
        texts = await mail.aio_run_many([mail.create_bulk_run_item({"n": str(n)}) for n in range(2)])
        app.event.push("paid", {"text": BIG})
        return {"mails": len(texts)}

    crossing = app.workflow(
        name="crossing", concurrency=ConcurrencyExpression(expression="'all'", max_runs=1)
    )

    @crossing.task(name="first")
    def first(input: dict[str, Any], ctx: Context) -> dict[str, str]:
        return {"text": BIG}

    @crossing.task(name="second", parents=[first])
    def second(input: dict[str, Any], ctx: Context) -> dict[str, int]:
        return {"size": len(ctx.task_output(first)["text"])}

    app.worker("mails", workflows=[mail], **options)
    app.worker("orders", workflows=[order, crossing])
    return app


class Grants:
    """What a policy document allows and denies."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.statements = [each for each in document["Statement"] if "Effect" in each]

    def allow(self, call: Call) -> bool:
        allowed = any(self._names(each, call) for each in self.statements if each["Effect"] == "Allow")
        return allowed and not any(self._denies(each, call) for each in self.statements)

    def _names(self, statement: Mapping[str, Any], call: Call) -> bool:
        return call.action in statement["Action"] and any(
            fnmatchcase(call.resource, resource) for resource in resources_of(statement)
        )

    def _denies(self, statement: Mapping[str, Any], call: Call) -> bool:
        if statement["Effect"] != "Deny" or not self._names(statement, call):
            return False
        [keys] = statement["Condition"]["ForAnyValue:StringEquals"].values()
        return call.partition in keys


def resources_of(statement: Mapping[str, Any]) -> Iterator[str]:
    """The resources of a statement as the meter names them."""
    found = statement["Resource"]
    for each in found if isinstance(found, list) else [found]:
        match each:
            case {"Fn::GetAtt": ["Table", _]}:
                yield "table"
            case {"Fn::GetAtt": ["PayloadBucket", _]}:
                yield "bucket"
            case {"Fn::GetAtt": [name, _]} if name.endswith("Queue"):
                short = name.removesuffix("Queue").removesuffix("Next")
                suffix = "-next" if name.endswith("NextQueue") else ""
                yield f"queue/headrace-{'dead-letters' if short == 'DeadLetters' else short.lower() + suffix}"
            case {"Fn::Sub": text} if "PayloadBucket" in text:
                yield f"bucket/{text.partition('Arn}/')[2]}"
            case {"Fn::Sub": text} if "index/" in text:
                yield text.partition("Arn}/")[2]
            case {"Fn::Sub": text} if ":ssm:" in text:
                yield "ssm"
            case _:
                yield "*" if each == "*" else json.dumps(each)


def grants(template: Mapping[str, Any], resource: str) -> Grants:
    properties = template["Resources"][resource]["Properties"]
    return Grants(
        properties["Policies"][0]["PolicyDocument"]
        if "Policies" in properties
        else properties["PolicyDocument"]
    )


ROLES = {
    "mails": "MailsFunctionRole",
    "orders": "OrdersFunctionRole",
    "events": "EventsFunctionRole",
    "dead-letters": "DeadLettersFunctionRole",
    "clock": "ClockFunctionRole",
    "trigger": "TriggerPolicy",
    "read": "ReadPolicy",
    "operate": "OperatePolicy",
}


@contextmanager
def acting(meter: Meter, phase: str) -> Iterator[None]:
    before, meter.phase = meter.phase, phase
    try:
        yield
    finally:
        meter.phase = before


def phased(stack: LocalStack, meter: Meter) -> None:
    """Have every function's calls counted under its name."""

    def under(name: str, handler: Any) -> Any:
        def handle(event: dict[str, Any], context: Any) -> Any:
            with acting(meter, name):
                return handler(event, context)

        return handle

    targets = stack._dispatcher._targets
    stack._dispatcher._targets = {
        name: replace(target, handler=under(name, target.handler)) for name, target in targets.items()
    }


@pytest.fixture(scope="module")
def calls() -> list[Call]:
    """Every call of a busy shop, each under the role that made it."""
    app = shop()
    with local(app, background=False) as stack, Meter() as meter:
        phased(stack, meter)
        tick = clock.make_handler(app)
        flows = app._workflows_by_name
        with acting(meter, "trigger"):
            refs = [flows["order"].run(wait_for_result=False)]
            refs += [flows["crossing"].run({"text": BIG}, wait_for_result=False) for _ in range(3)]
            app.event.push("paid", {"text": BIG})
        stack.drain()
        with acting(meter, "clock"):
            tick({}, None)
        with acting(meter, "trigger"):
            assert [ref.result() is not None for ref in refs] == [True] * 4
        with acting(meter, "read"):
            app.runs.list()
            app.runs.list(only_tasks=True)
            app.runs.get(refs[1].workflow_run_id)
            app.logs.list(refs[0].workflow_run_id)
            app.metrics.get_gate_stats()
            app.workflows.list()
            app.workers.list()
            app.event.list()
        with acting(meter, "operate"):
            app.workflows.pause("mail", timedelta(hours=1))
            held = flows["mail"].run({"n": "1"}, wait_for_result=False)
        stack.deliver_all()
        with acting(meter, "operate"):
            app.workflows.unpause("mail")
            app.runs.cancel(held.workflow_run_id)
            app.cron.create("mail", "nightly", "0 3 * * *", {"n": "1"}, {})
            app.scheduled.create("mail", datetime.now(UTC) + timedelta(hours=1), {"n": "1"}, {})
            app.rate_limits.put("mails", 50)
        stack.drain()
        with acting(meter, "trigger"):
            flows["crossing"].run({"text": BIG}, wait_for_result=False)
        given_up(stack, "orders")
        stack.drain()
    return meter.calls


def given_up(stack: LocalStack, worker: str) -> None:
    """A message of the worker goes where SQS puts it after too many deliveries."""
    queues = stack.engine.queues
    [received] = queues.receive(worker, limit=1, wait_s=0)
    queues.send("dead-letters", [Outgoing(body=received.body), Outgoing(body="not one of ours")])
    queues.delete(received)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_make_every_call_of_its_code(calls: list[Call], role: str) -> None:
    template = compile_app(shop(), app_path="app:hatchet")
    allowed = grants(template, ROLES[role])
    made = [call for call in calls if call.phase == role]
    assert [call for call in made if not allowed.allow(call)] == []
    assert made, "it did nothing, so this proves nothing"


def test_the_shop_uses_what_the_roles_differ_in(calls: list[Call]) -> None:
    """If it did not, the test above would prove little."""
    did = {(call.phase, call.action, call.resource.split("/")[0]) for call in calls}
    assert {
        ("orders", "sqs:SendMessage", "queue"),
        ("orders", "s3:PutObject", "bucket"),
        ("orders", "s3:GetObject", "bucket"),
        ("events", "s3:GetObject", "bucket"),
        ("trigger", "s3:PutObject", "bucket"),
        ("read", "dynamodb:Query", "index"),
        ("clock", "dynamodb:Query", "index"),
        ("dead-letters", "dynamodb:UpdateItem", "table"),
        ("dead-letters", "dynamodb:PutItem", "table"),
    } <= did


def test_no_role_can_read_what_another_worker_receives_or_write_what_is_published() -> None:
    template = compile_app(shop(), app_path="app:hatchet")
    steal = call("sqs:ReceiveMessage", "queue/headrace-orders")
    publish = call("dynamodb:PutItem", "table", "catalog")
    redirect = call("dynamodb:UpdateItem", "table", "webhooks")
    for role in ("MailsFunctionRole", "EventsFunctionRole", "TriggerPolicy", "ReadPolicy"):
        allowed = grants(template, role)
        assert [allowed.allow(each) for each in (steal, publish, redirect)] == [False] * 3, role
    assert grants(template, "OrdersFunctionRole").allow(steal)
    assert grants(template, "ClockFunctionRole").allow(publish)


def test_a_reader_changes_nothing_and_a_trigger_lists_nothing() -> None:
    template = compile_app(shop(), app_path="app:hatchet")
    reader, trigger = grants(template, "ReadPolicy"), grants(template, "TriggerPolicy")
    for action in ("PutItem", "UpdateItem", "DeleteItem", "PartiQLInsert"):
        assert not reader.allow(call(f"dynamodb:{action}", "table", "run#1"))
    assert not reader.allow(call("sqs:SendMessage", "queue/headrace-mails"))
    assert not trigger.allow(call("dynamodb:Query", "index/listing"))
    assert trigger.allow(call("sqs:SendMessage", "queue/headrace-mails"))


def call(action: str, resource: str, partition: str | None = None) -> Call:
    service, _, operation = action.partition(":")
    return Call(service, operation, (), "", False, action, resource, partition)


# ---------------------------------------------------------------- whom a worker can reach


def fleet(*, api: Any = None, pay: Any = None, limited: bool = False) -> Headrace:
    """An api that starts, a payer, a mailer; each with a workflow of its name."""
    app = Headrace(config=Settings())
    app.rate_limits.put("bank", 10)
    rates = [RateLimit(static_key="bank", units=1)] if limited else []
    made = {
        name: app.task(name=name, rate_limits=rates if name != "api" else [])(_nothing)
        for name in ("api", "pay", "mail")
    }
    app.worker("api-worker", workflows=[made["api"]], starts=api)
    app.worker("pay-worker", workflows=[made["pay"]], starts=pay)
    app.worker("mail-worker", workflows=[made["mail"]], starts=[])
    return app


def _nothing(input: EmptyModel, ctx: Context) -> None: ...


def queues_of(app: Headrace, function: str) -> set[str]:
    template = compile_app(app, app_path="app:hatchet")
    [sends] = [each for each in grants(template, f"{function}Role").statements if each["Sid"] == "Sends"]
    urls = template["Resources"][function]["Properties"]["Environment"]["Variables"]["HEADRACE_QUEUES"]
    known = {name.replace("-", "") for name in json.loads(urls["Fn::Sub"])}
    allowed = {name.removeprefix("queue/headrace-").replace("-", "") for name in resources_of(sends)}
    assert known == allowed, "a function knows the queues that its role can send to"
    return {name.removesuffix("next").removesuffix("worker") for name in allowed}


@pytest.mark.parametrize(
    ("options", "reach"),
    [
        ({}, [{"api", "pay", "mail"}, {"api", "pay", "mail"}, {"api", "pay", "mail"}]),
        ({"pay": []}, [{"api", "pay", "mail"}, {"api", "pay"}, {"api", "mail"}]),
        ({"api": ["pay"], "pay": []}, [{"api", "pay"}, {"api", "pay"}, {"mail"}]),
        ({"api": [], "pay": ["mail"]}, [{"api"}, {"pay", "mail"}, {"pay", "mail"}]),
        ({"api": [], "pay": [], "limited": True}, [{"api"}, {"pay", "mail"}, {"pay", "mail"}]),
    ],
    ids=["any", "the payer starts none", "the api starts payments", "the payer mails", "one rate limit"],
)
def test_a_worker_sends_to_those_it_starts_or_wakes(options: dict[str, Any], reach: list[set[str]]) -> None:
    app = fleet(**options)
    functions = ("ApiWorkerFunction", "PayWorkerFunction", "MailWorkerFunction")
    assert [queues_of(app, function) for function in functions] == reach


def test_a_worker_that_starts_what_is_not_there_is_not_compiled() -> None:
    with pytest.raises(
        CompileError, match="worker pay-worker: starts has 'maill', which no worker of this app runs"
    ):
        compile_app(fleet(pay=["maill"]), app_path="app:hatchet")


def test_what_a_worker_starts_is_named_as_the_app_declares_it() -> None:
    """With or without the namespace, as everywhere."""
    app = Headrace(config=Settings(namespace="team"))
    app.task(name="idle")(_nothing)
    pay = app.task(name="pay")(_nothing)
    one = app.worker("one", workflows=[pay], starts=["pay", "team_mail"])
    two = app.worker("two", workflows=[app.task(name="mail")(_nothing)], starts=[pay])
    assert one.may_start == {"team_pay", "team_mail"}
    assert two.may_start == {"team_pay"}
    assert "TeamOneFunction" in compile_app(app, app_path="app:hatchet")["Resources"]


@pytest.mark.parametrize(
    ("starts", "refused"),
    [
        ("pay", "worker one: starts is 'pay': give a list"),
        (5, "worker one: starts is 5: give a list"),
        ([5], "worker one: starts has 5, which is not a workflow"),
        ([_nothing], "worker one: starts has <function _nothing .*, which is not a workflow"),
    ],
)
@pytest.mark.parametrize("process", [False, True])
def test_what_a_worker_starts_is_a_list_of_workflows(starts: Any, refused: str, *, process: bool) -> None:
    with pytest.raises(DefinitionError, match=refused):
        Headrace(config=Settings()).worker("one", starts=starts, process=process)


def test_a_task_that_starts_what_its_worker_may_not_fails_with_what_to_do() -> None:
    app = Headrace(config=Settings())
    inner = app.task(name="inner")(_nothing)

    @app.task(name="outer")
    def outer(input: EmptyModel, ctx: Context) -> None:
        inner.run(wait_for_result=False)

    app.worker("one", workflows=[outer], starts=[])
    app.worker("two", workflows=[inner])
    refused = "worker one may not start workflow inner: add it to starts"
    with local(app, backend="memory") as stack:
        with pytest.raises(Exception, match=refused):
            outer.run()
        assert {run.plan.workflow for run in stack.runs()} == {"outer"}


def test_a_policy_that_cannot_be_written_into_a_role_is_refused() -> None:
    app = Headrace(config=Settings())
    app.worker(
        "one", workflows=[app.task(name="one")(_nothing)], policies=[{"S3ReadPolicy": {"BucketName": "b"}}]
    )
    with pytest.raises(CompileError, match="SAM's policy templates are not expanded"):
        compile_app(app, app_path="app:hatchet")


def test_reserved_concurrency_is_checked_and_compiled() -> None:
    with pytest.raises(DefinitionError, match="reserved_concurrency is -1"):
        shop(reserved_concurrency=-1)
    found = compile_app(shop(reserved_concurrency=5), app_path="app:hatchet")["Resources"]
    assert found["MailsFunction"]["Properties"]["ReservedConcurrentExecutions"] == 5
