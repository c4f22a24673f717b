"""Zones: what a role of one can do in another, derived from the template; what crosses, on two tables; what is refused, and how."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

import pytest
from botocore.client import BaseClient

from headrace import (
    ConcurrencyExpression,
    Context,
    Debounce,
    DurableContext,
    EmptyModel,
    Headrace,
    RateLimit,
    TTLBasedIdempotencyConfig,
)
from headrace.core.run.derived.progress import run_status
from headrace.engine.catalog.workflows import published
from headrace.engine.events.push import EVENTS_QUEUE
from headrace.errors import CompileError, DefinitionError, ZoneError
from headrace.settings.settings import Settings
from headrace_handlers import clock, events, worker
from headrace_infra.compile import compile_app, units_of
from headrace_infra.local import served
from headrace_infra.local.clock import OffsetClock
from headrace_infra.local.dispatcher import LambdaContext, event_of
from headrace_infra.local.moto_backend import ACCOUNT, moto_aws
from headrace_infra.local.resources import deploy
from headrace_infra.testing import chaos, local

REGION = "us-east-1"


def shop(zone: str = "", **pay_options: Any) -> Headrace:
    """Orders are of the stack's own zone; what pays is in the vault. `zone`: where this process is."""
    app = Headrace(config=Settings(zone=zone, transport="boto3"))

    @app.task(name="pay", on_events=["paid"], **pay_options)
    def pay(input: dict[str, Any], ctx: Context) -> dict[str, Any]:
        return {"cents": input.get("cents", 0)}

    @app.task(name="order", retries=1)
    def order(input: dict[str, Any], ctx: Context) -> dict[str, str]:
        run_id = pay.run({"cents": 990}, wait_for_result=False).workflow_run_id
        if input.get("fails") and ctx.retry_count == 0:
            raise ValueError("after the payment was started")
        return {"payment": run_id}

    @app.task(name="idle", on_events=["paid"])
    def idle(input: EmptyModel, ctx: Context) -> None: ...

    app.worker("orders", workflows=[order, idle], starts=[pay])
    app.worker("cards", workflows=[pay], zone="vault", process=False)
    app.worker("audit", workflows=[app.task(name="audit")(_nothing)], zone="vault", webhooks=True)
    return app


def _nothing(input: EmptyModel, ctx: Context) -> None: ...


# ---------------------------------------------------------------- what the roles can do


NAMES = {
    "AWS::DynamoDB::Table": ("TableName", "dynamodb:{place}:table/{name}"),
    "AWS::SQS::Queue": ("QueueName", "sqs:{place}:{name}"),
    "AWS::S3::Bucket": ("BucketName", "s3:::{name}"),
    "AWS::Logs::LogGroup": ("LogGroupName", "logs:{place}:log-group:{name}"),
}
OF_THE_ACCOUNT = ("cloudwatch:", "ec2:")
"""Actions that IAM cannot limit to a resource."""


class Stack:
    """A template with its names filled in, as IAM sees it."""

    def __init__(self, template: Mapping[str, Any]) -> None:
        self.resources: Mapping[str, Any] = template["Resources"]
        self.arns = {name: arn for name in self.resources if (arn := self._arn(name))}

    def _arn(self, name: str) -> str:
        block = self.resources[name]
        if block["Type"] not in NAMES:
            return ""
        key, form = NAMES[block["Type"]]
        return "arn:aws:" + form.format(place=f"{REGION}:{ACCOUNT}", name=self.text(block["Properties"][key]))

    def text(self, value: Any) -> str:
        pseudo = {"StackName": "shop", "AccountId": ACCOUNT, "Region": REGION, "Partition": "aws"}
        match value:
            case {"Ref": str(name)}:
                return pseudo.get(name.removeprefix("AWS::"), f"<{name}>")
            case {"Fn::GetAtt": [name, "Arn"]}:
                return self.arns.get(name, f"<{name}>")
            case {"Fn::Sub": str(text)}:
                return re.sub(r"\$\{([^}]+)\}", lambda found: self.text_of_name(found[1], pseudo), text)
        return str(value)

    def text_of_name(self, name: str, pseudo: Mapping[str, str]) -> str:
        plain = name.removeprefix("AWS::")
        return pseudo[plain] if plain in pseudo else self.arns.get(name.removesuffix(".Arn"), f"<{name}>")

    def of_zone(self, zone: str) -> dict[str, list[str]]:
        """Name -> ARNs of what the zone holds: tables with an item of an index, buckets with an object, and names made later."""
        found: dict[str, list[str]] = {}
        for name, arn in self.arns.items():
            if name.startswith("Vault") is (zone == "vault"):
                found[name] = [arn, f"{arn}/index/listing", f"{arn}/run#1", f"{arn}:log-stream:1"]
        home = "shop-vault" if zone == "vault" else "shop"
        found["secrets"] = [f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/{home}/webhooks/x"]
        found["replies"] = [f"arn:aws:sqs:{REGION}:{ACCOUNT}:{home}-reply-1"]
        return found

    def documents(self, name: str) -> list[Mapping[str, Any]]:
        properties = self.resources[name].get("Properties", {})
        if "PolicyDocument" in properties and self.resources[name]["Type"] == "AWS::IAM::ManagedPolicy":
            return [properties["PolicyDocument"]]
        return [each["PolicyDocument"] for each in properties.get("Policies", ())]

    def reaches(self, name: str, zone: str) -> set[tuple[str, str]]:
        """What the role or policy may do with what a zone holds: (action, logical id)."""
        statements = [each for document in self.documents(name) for each in document["Statement"]]
        statements = [each.get("Fn::If", [None, each])[1] for each in statements]
        out = set()
        for each in statements:
            if each["Effect"] != "Allow":
                continue
            given = each["Resource"] if isinstance(each["Resource"], list) else [each["Resource"]]
            patterns = [self.text(one) for one in given]
            actions = [each["Action"]] if isinstance(each["Action"], str) else each["Action"]
            for found, arns in self.of_zone(zone).items():
                if any(fnmatchcase(arn, pattern) for arn in arns for pattern in patterns):
                    out |= {(action, found) for action in actions if not action.startswith(OF_THE_ACCOUNT)}
        return out


@pytest.fixture(scope="module")
def stack() -> Stack:
    return Stack(compile_app(shop(), app_path="app:hatchet", dashboard=True))


def test_a_role_reaches_nothing_of_another_zone_but_the_queue_of_what_it_starts(stack: Stack) -> None:
    roles = [
        name
        for name, block in stack.resources.items()
        if block["Type"] in ("AWS::IAM::Role", "AWS::IAM::ManagedPolicy") and "StartPolicy" not in name
    ]
    other = {name: "" if name.startswith("Vault") else "vault" for name in roles}
    crossing = {name: found for name in roles if (found := stack.reaches(name, other[name]))}
    assert crossing == {"OrdersFunctionRole": {("sqs:SendMessage", "VaultCardsQueue")}}
    own = [name for name in roles if stack.reaches(name, "vault" if name.startswith("Vault") else "")]
    assert len(own) > 15, "every role reaches something of its own zone, or this proves nothing"
    assert "VaultCardsFunctionRole" in own
    assert "VaultReadPolicy" in own


def test_a_policy_to_start_across_reads_nothing(stack: Stack) -> None:
    assert stack.reaches("VaultStartPolicy", "vault") == {
        (f"sqs:{verb}", f"Vault{queue}Queue")
        for verb in ("SendMessage", "GetQueueUrl")
        for queue in ("Cards", "Audit")
    }
    assert stack.reaches("VaultStartPolicy", "") == set()


def test_a_zone_has_all_that_a_stack_has_under_its_own_names(stack: Stack) -> None:
    names = {stack.arns[name].rpartition(":")[2] for name in stack.arns if name.startswith("Vault")}
    assert {"table/shop-vault", "shop-vault-cards", "shop-vault-dead-letters", "shop-vault-events"} <= names
    assert f"shop-vault-{ACCOUNT}-{REGION}" in names
    for kind in ("Clock", "DeadLetters", "Events", "Webhooks", "DashboardLook", "DashboardAct"):
        function = stack.resources[f"Vault{kind}Function"]["Properties"]
        variables = function["Environment"]["Variables"]
        assert variables["HEADRACE_ZONE"] == "vault"
        assert variables["HEADRACE_TABLE"] == {"Ref": "VaultTable"}
        assert variables["HEADRACE_STACK"] == {"Ref": "AWS::StackName"}
        assert stack.text(function["FunctionName"]).startswith("shop-vault-")
    assert "WebhooksFunction" not in stack.resources, "only the zone with that worker has webhooks"


def test_policies_that_a_worker_was_given_stay_as_they_were_written() -> None:
    app = Headrace(config=Settings())
    given = {"Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": {"Ref": "Other"}}]}
    app.worker(
        "cards", workflows=[app.task(name="pay")(_nothing)], zone="vault", policies=[given, {"Ref": "Mine"}]
    )
    role = compile_app(app, app_path="app:hatchet")["Resources"]["VaultCardsFunctionRole"]["Properties"]
    assert role["Policies"][1]["PolicyDocument"]["Statement"] == given["Statement"]
    assert role["ManagedPolicyArns"] == [{"Ref": "Mine"}]


def test_an_app_without_zones_is_compiled_as_before() -> None:
    app = Headrace(config=Settings())
    app.worker("one", workflows=[app.task(name="one")(_nothing)])
    template = compile_app(app, app_path="app:hatchet")
    assert template == compile_app(app, app_path="app:hatchet", one_table=True)
    assert "HEADRACE_ZONE" not in json.dumps(template)
    assert "StartPolicy" not in template["Resources"]


# ---------------------------------------------------------------- what crosses, on two tables


@contextmanager
def asked() -> Iterator[list[tuple[str, str]]]:
    """(operation, the table, queue or bucket) of each request meanwhile."""
    calls: list[tuple[str, str]] = []
    original = vars(BaseClient)["_make_api_call"]

    def call(client: Any, operation: str, params: dict[str, Any]) -> Any:
        tables = [
            *params.get("RequestItems", {}),
            *re.findall('"(headrace[^".]*)"', params.get("Statement", "")),
        ]
        queue = params.get("QueueUrl", params.get("QueueName", "")).rpartition("/")[2]
        places = [params.get("TableName", params.get("Bucket", queue)), *tables]
        calls.extend((operation, place) for place in places if place)
        return original(client, operation, params)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", call)
        yield calls


@pytest.fixture(scope="module")
def two_zones() -> Iterator[tuple[Headrace, Headrace]]:
    """A process in each zone, each with the whole app's code, on a table, a bucket and queues of its own."""
    mine, vault = shop(), shop("vault")
    template = compile_app(mine, app_path="app:hatchet")
    with moto_aws(OffsetClock()):
        for prefix, zone in (("", ""), ("Vault", "vault")):
            own = {
                name.removeprefix(prefix): block
                for name, block in template["Resources"].items()
                if name.startswith("Vault") is bool(prefix)
            }
            units = [unit for unit in units_of(mine) if unit.zone == zone]
            deploy({"Resources": own}, units, stack="headrace", account=ACCOUNT, region=REGION)
        for app in (mine, vault):
            clock.make_handler(app)({}, None)  # publishes
        yield mine, vault


def work(app: Headrace, name: str) -> int:
    """Have a worker's function handle what is in its queue, one message an invocation."""
    handler = worker.make_handler(app, name, visibility_s=60)
    done = 0
    while received := app.engine.queues.receive(name, limit=1, wait_s=0):
        assert handler(event_of(received, REGION), LambdaContext(name, 60)) == {"batchItemFailures": []}
        app.engine.queues.delete_many(received)
        done += 1
    return done


def test_a_start_crosses_as_a_message_and_the_run_is_in_the_other_table_alone(
    two_zones: tuple[Headrace, Headrace],
) -> None:
    mine, vault = two_zones
    order = mine._workflows_by_name["order"].run({"fails": True}, wait_for_result=False)
    with asked() as calls:
        assert work(mine, "orders") == 2, "its retry starts the same run again"
    over_there = {call for call in calls if "vault" in call[1]}
    assert over_there == {
        ("GetQueueUrl", "headrace-vault-cards"),
        ("SendMessage", "headrace-vault-cards"),
    }
    with asked() as calls:
        assert work(vault, "cards") == 2
    assert {place for _, place in calls if "vault" not in place} == set()
    [run] = vault.runs.list().rows
    assert (run.workflow_name, run.status.value) == ("pay", "COMPLETED")
    assert [each.workflow_name for each in mine.runs.list().rows] == ["order"]
    assert run.additional_metadata["hatchet__parent_workflow_run_id"] == order.workflow_run_id


def test_a_workflow_is_deleted_in_its_own_zone_alone(two_zones: tuple[Headrace, Headrace]) -> None:
    """Here its worker, which still registers it, is not known."""
    mine, _ = two_zones
    with pytest.raises(
        ZoneError, match=r"the deletion of workflow pay: .* do it there, with HEADRACE_ZONE=vault"
    ):
        mine.workflows.delete("pay")
    assert published(mine.engine, "pay") is not None


def test_what_is_of_the_stack_s_own_zone_is_done_without_the_variable(
    two_zones: tuple[Headrace, Headrace],
) -> None:
    _, vault = two_zones
    with pytest.raises(
        ZoneError, match=r"it is in the stack's own zone, .* do it there, without HEADRACE_ZONE"
    ):
        vault.workflows.pause("idle", timedelta(hours=1))


def test_an_event_starts_runs_of_its_own_zone_alone(two_zones: tuple[Headrace, Headrace]) -> None:
    mine, vault = two_zones
    before = {app: started(app) for app in two_zones}
    for app, workflow, worker_name in ((mine, "idle", "orders"), (vault, "pay", "cards")):
        app.event.push("paid", {"cents": 3})
        for received in app.engine.queues.receive(EVENTS_QUEUE, limit=10, wait_s=0):
            events.handle_message(app, received, 60_000)
            app.engine.queues.delete(received)
        assert work(app, worker_name) == 1
        before[app][workflow] += 1
        assert {each: started(each) for each in two_zones} == before


def started(app: Headrace) -> Counter[str]:
    return Counter(run.workflow_name for run in app.runs.list().rows)


def test_a_second_attempt_starts_no_second_run() -> None:
    app = shop()
    with local(app, backend="memory", background=False) as stack:
        app._workflows_by_name["order"].run({"fails": True}, wait_for_result=False)
        stack.drain()
        found = [(run.plan.workflow, run_status(run).value, run.parent) for run in stack.runs()]
        assert sorted(found, key=lambda each: each[0]) == [
            ("order", "COMPLETED", None),
            ("pay", "COMPLETED", None),
        ]


# ---------------------------------------------------------------- what does not cross


def test_a_zone_s_result_cannot_be_waited_for() -> None:
    app = shop()
    pay = app._workflows_by_name["pay"]
    with local(app, backend="memory", background=False) as stack:
        with pytest.raises(
            ZoneError, match=r"workflow pay is in zone 'vault', and its result .* wait_for_result=False"
        ):
            pay.run({})
        ref = pay.run({}, wait_for_result=False)
        with pytest.raises(
            ZoneError, match=f"the result of run {ref.workflow_run_id} of workflow pay: it is in zone 'vault'"
        ):
            ref.result()
        stack.drain()
        assert [run.plan.workflow for run in stack.runs()] == ["pay"]


REFUSED: dict[str, Callable[[Headrace, Any], object]] = {
    "delay or run_at": lambda app, pay: pay.run({}, wait_for_result=False, delay=timedelta(minutes=1)),
    "debounce": lambda app, pay: pay.run(
        {}, wait_for_result=False, debounce=Debounce(key="k", period=timedelta(seconds=1))
    ),
    "desired_worker_id": lambda app, pay: pay.run({}, wait_for_result=False, desired_worker_id="cards"),
    "a scheduled run": lambda app, pay: pay.schedule(datetime.now(UTC) + timedelta(hours=1), {}),
    "a cron": lambda app, pay: pay.create_cron("daily", "0 3 * * *", {}),
    "a filter": lambda app, pay: pay.create_filter("true", "s"),
    "a pause": lambda app, pay: app.workflows.pause("pay", timedelta(hours=1)),
    "in another zone than others": lambda app, pay: app._workflows_by_name["idle"].run_many(
        [
            pay.create_bulk_run_item({}),
            app._workflows_by_name["idle"].create_bulk_run_item(EmptyModel()),
        ],
        wait_for_result=False,
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_needs_the_other_table_is_refused_by_name_and_nothing_is_sent(what: str) -> None:
    app = shop()
    with local(app, backend="memory", background=False) as stack:
        with pytest.raises(ZoneError, match=what) as refused:
            REFUSED[what](app, app._workflows_by_name["pay"])
        assert "pay" in str(refused.value)
        assert stack.depth_of_all() == 0
        assert stack.runs() == []


def test_a_key_that_is_held_there_is_refused() -> None:
    app = shop(idempotency=TTLBasedIdempotencyConfig(key_expression="input.id", ttl=timedelta(hours=1)))
    with local(app, backend="memory", background=False) as stack:
        with pytest.raises(ZoneError, match="workflow pay is in zone 'vault' and has idempotency="):
            app._workflows_by_name["pay"].run({"id": "1"}, wait_for_result=False)
        assert stack.depth_of_all() == 0


def test_an_input_that_no_message_carries_is_refused() -> None:
    app = shop()
    with local(app, backend="memory", background=False) as stack:
        with pytest.raises(ValueError, match="the input of pay, which goes to another zone in a message, is"):
            app._workflows_by_name["pay"].run({"text": "x" * 900_000}, wait_for_result=False)
        app._workflows_by_name["pay"].run({"text": "x" * 100_000, "cents": 7}, wait_for_result=False)
        stack.drain()
        assert [run_status(run).value for run in stack.runs()] == ["COMPLETED"]


def test_a_durable_task_cannot_wait_for_another_zone_and_can_start_there() -> None:
    app = Headrace(config=Settings())
    pay = app.task(name="pay")(_nothing)
    seen: list[str] = []

    @app.durable_task(name="waits")
    async def waits(input: EmptyModel, ctx: DurableContext) -> None:
        await pay.aio_run()

    @app.durable_task(name="starts")
    async def starts(input: EmptyModel, ctx: DurableContext) -> dict[str, str]:
        ref = await pay.aio_run(wait_for_result=False)
        await ctx.aio_sleep_for(timedelta(hours=1))
        seen.append(ref.workflow_run_id)
        return {"payment": ref.workflow_run_id}

    app.worker("orders", workflows=[waits, starts], starts=[pay])
    app.worker("cards", workflows=[pay], zone="vault")
    with local(app, backend="memory") as stack:
        with pytest.raises(
            Exception, match="workflow pay is in zone 'vault', and its result cannot be waited"
        ):
            waits.run()
        starts.run(wait_for_result=False)
        stack.drain()
        runs = {run.plan.workflow: run for run in stack.runs()}
        assert run_status(runs["starts"]).value == "COMPLETED"
        assert [runs["pay"].run_id] == seen


# ---------------------------------------------------------------- stacks with all zones in one table


def test_an_app_with_zones_is_simulated() -> None:
    app = shop()
    with chaos(app, faults=False) as world:
        world.start("order", {})
        world.run()
        ended = {run.plan.workflow: run_status(run).value for run in world.watch.outcomes().values()}
    assert ended == {"order": "COMPLETED", "pay": "COMPLETED"}


def test_a_start_crosses_in_what_headrace_dev_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the worker's one queue there: there is none of the zone's name."""
    for name, value in {
        "HEADRACE_STACK": "dev",
        "HEADRACE_DEV_ACCOUNT": ACCOUNT,
        "AWS_REGION": REGION,
    }.items():
        monkeypatch.setenv(name, value)
    app = shop()
    with moto_aws(OffsetClock()):
        served._move_here(app)
        served._deploy(app, "app:hatchet")
        app._publish(every_zone=True)
        app._workflows_by_name["order"].run({}, wait_for_result=False)
        assert (work(app, "orders"), work(app, "cards")) == (1, 1)
        ended = {run.workflow_name: run.status.value for run in app.runs.list().rows}
    assert ended == {"order": "COMPLETED", "pay": "COMPLETED"}


def test_a_worker_has_to_name_what_it_starts_in_another_zone() -> None:
    app = Headrace(config=Settings())
    pay = app.task(name="pay")(_nothing)

    @app.task(name="order")
    def order(input: EmptyModel, ctx: Context) -> None:
        pay.run(wait_for_result=False)

    app.worker("orders", workflows=[order])
    app.worker("cards", workflows=[pay], zone="vault")
    refused = (
        r"worker orders may not start workflow pay, which is in another zone: give that worker starts=\[...\] with pay and all "
        "others that its tasks start"
    )
    with local(app, backend="memory"), pytest.raises(Exception, match=refused):
        order.run()


# ---------------------------------------------------------------- what cannot be declared


@pytest.mark.parametrize("zone", ["Vault", "my-zone", "reply", "events", "1st", "x" * 21])
def test_a_zone_s_name_is_checked(zone: str) -> None:
    app = Headrace(config=Settings())
    with pytest.raises(DefinitionError, match="worker cards: zone is"):
        app.worker("cards", workflows=[app.task(name="pay")(_nothing)], zone=zone)


def test_a_workflow_is_in_one_zone() -> None:
    app = Headrace(config=Settings())
    pay = app.task(name="pay")(_nothing)
    app.worker("orders", workflows=[pay])
    with pytest.raises(
        DefinitionError, match=r"worker cards, workflow pay: it is on worker orders of the stack's own zone"
    ):
        app.worker("cards", workflows=[pay], zone="vault")


def _limited(app: Headrace, key: str) -> dict[str, Any]:
    app.rate_limits.put(key, 10)
    return {
        "rate_limits": [RateLimit(static_key=key, units=1)],
        "concurrency": ConcurrencyExpression(expression="'all'", max_runs=1),
    }


def test_a_rate_limit_is_counted_in_one_zone() -> None:
    app = Headrace(config=Settings())
    limited = _limited(app, "bank")
    app.worker("orders", workflows=[app.task(name="order", **limited)(_nothing)])
    app.worker("cards", workflows=[app.task(name="pay", **limited)(_nothing)], zone="vault")
    with pytest.raises(
        CompileError, match=r"task pay of workflow pay and task order .* rate limit 'bank'.* key of its own"
    ):
        compile_app(app, app_path="app:hatchet")


@pytest.mark.parametrize("name", ["vault", "vault-cards"])
def test_a_worker_of_the_stack_is_not_named_like_a_zone_s(name: str) -> None:
    app = Headrace(config=Settings())
    app.worker(name, workflows=[app.task(name="order")(_nothing)])
    app.worker("cards", workflows=[app.task(name="pay")(_nothing)], zone="vault")
    with pytest.raises(CompileError, match="named like those of zone 'vault'"):
        compile_app(app, app_path="app:hatchet")


def test_two_resources_of_one_name_are_refused() -> None:
    app = Headrace(config=Settings())
    app.worker("VaultCards", workflows=[app.task(name="order")(_nothing)])
    app.worker("cards", workflows=[app.task(name="pay")(_nothing)], zone="vault")
    with pytest.raises(
        CompileError, match=r"zone 'vault': its resource VaultCards\w+ is in the template already"
    ):
        compile_app(app, app_path="app:hatchet")


def test_a_process_of_a_worker_works_on_its_zone(two_zones: tuple[Headrace, Headrace]) -> None:
    from headrace.runtime.process import Process

    mine, _ = two_zones
    app = shop()
    audit = next(each for each in app._fleet() if each.name == "audit")
    assert Process(audit).settings.home == "headrace-vault"
    orders = next(each for each in mine._fleet() if each.name == "audit")
    with pytest.raises(
        DefinitionError,
        match="worker audit is in zone 'vault', and this process has reached the stack's own",
    ):
        Process(orders)
