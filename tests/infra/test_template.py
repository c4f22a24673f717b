"""The template as data: what AWS is asked for, and what is refused before AWS is asked."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from headrace import Context, EmptyModel, Headrace, RateLimit, RateLimitDuration
from headrace.definitions.worker import VpcOptions
from headrace.errors import CompileError, DefinitionError
from headrace.settings.settings import Settings
from headrace_infra.compile import compile_app, load_app, render
from headrace_infra.compile_checks import left_out, uncapped


def an_app(*names: str, execution_timeout: timedelta = timedelta(seconds=60), **settings: Any) -> Headrace:
    app = Headrace(config=Settings(**settings))
    for name in names:

        @app.task(name=name, execution_timeout=execution_timeout)
        def task(input: EmptyModel, ctx: Context) -> None: ...

    return app


def with_worker(
    name: str = "main", execution_timeout: timedelta = timedelta(seconds=60), **options: Any
) -> Headrace:
    app = an_app("simple", execution_timeout=execution_timeout)
    app.worker(name, workflows=list(app._workflows_by_name.values()), **options)
    return app


def resources(app: Headrace, **arguments: Any) -> dict[str, Any]:
    found: dict[str, Any] = compile_app(app, app_path="app:hatchet", **arguments)["Resources"]
    return found


def properties(app: Headrace, name: str, **arguments: Any) -> dict[str, Any]:
    found: dict[str, Any] = resources(app, **arguments)[name]["Properties"]
    return found


@pytest.mark.parametrize(
    ("limits", "options", "queues"),
    [
        ({}, {}, {"main"}),
        ({"retries": 3}, {}, {"main"}),
        ({"concurrency": 2}, {}, {"main", "main-next"}),
        ({"rate_limits": [RateLimit(static_key="api", units=1)]}, {}, {"main", "main-next"}),
        ({}, {"slots": 5}, {"main", "main-next"}),
        ({"concurrency": 2}, {"process": True}, {"main", "main-next"}),
    ],
)
def test_a_worker_with_limits_has_a_second_queue(
    limits: dict[str, Any], options: dict[str, Any], queues: set[str]
) -> None:
    app = Headrace(config=Settings())
    app.rate_limits.put("api", 10, RateLimitDuration.SECOND) if "rate_limits" in limits else None
    simple = app.task(name="simple", **limits)(_nothing)
    app.worker("main", workflows=[simple], **options)
    found = resources(app)
    made = {name: each["Properties"] for name, each in found.items() if each["Type"] == "AWS::SQS::Queue"}
    del made["DeadLettersQueue"]
    assert {
        each.pop("QueueName")["Fn::Sub"].removeprefix("${AWS::StackName}-") for each in made.values()
    } == queues
    assert all(each == made["MainQueue"] for each in made.values()), "hidden, redriven and encrypted alike"
    mapped = [each for each in found.values() if each["Type"] == "AWS::Lambda::EventSourceMapping"]
    assert len(mapped) == (1 if "process" in options else 1 + len(queues)), "and the dead letters"


def _nothing(input: EmptyModel, ctx: Context) -> None: ...


def test_the_second_queue_has_a_quarter_of_what_the_worker_may_run_at_once() -> None:
    app = with_worker(slots=30, maximum_concurrency=20)
    most = [properties(app, name)["ScalingConfig"] for name in ("MainMapping", "MainNextMapping")]
    assert most == [{"MaximumConcurrency": 15}, {"MaximumConcurrency": 5}]


def test_an_app_without_workers_gets_one_with_everything() -> None:
    found = resources(an_app("one", "two"))
    assert {name for name, each in found.items() if each["Type"] == "AWS::SQS::Queue"} == {
        "DefaultQueue",
        "DeadLettersQueue",
    }


def test_each_worker_has_a_queue_a_function_and_a_mapping_between_them() -> None:
    app = an_app("one", "two")
    one, two = app._workflows_by_name.values()
    app.worker("cpu", workflows=[one])
    app.worker("gpu-large", workflows=[two], batch_size=5, maximum_concurrency=7)
    found = resources(app)
    mapping = found["GpuLargeMapping"]["Properties"]
    assert mapping == {
        "EventSourceArn": {"Fn::GetAtt": ["GpuLargeQueue", "Arn"]},
        "FunctionName": {"Ref": "GpuLargeFunction"},
        "BatchSize": 5,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "ScalingConfig": {"MaximumConcurrency": 7},
    }
    assert "ScalingConfig" not in found["CpuMapping"]["Properties"]
    assert found["GpuLargeQueue"]["Properties"]["QueueName"] == {"Fn::Sub": "${AWS::StackName}-gpu-large"}
    urls = found["CpuFunction"]["Properties"]["Environment"]["Variables"]["HEADRACE_QUEUES"]["Fn::Sub"]
    assert json.loads(urls) == {"cpu": "${CpuQueue}", "gpu-large": "${GpuLargeQueue}"}


@pytest.mark.parametrize(
    ("execution_timeout", "given", "timeout_s"),
    [
        (timedelta(seconds=60), None, 90),
        (timedelta(milliseconds=1_500), None, 32),
        (timedelta(seconds=880), None, 900),
        (timedelta(seconds=890), None, 900),
        (timedelta(seconds=60), timedelta(minutes=5), 300),
        (timedelta(seconds=60), timedelta(seconds=70), 70),
    ],
)
def test_a_function_outlasts_its_longest_task(
    execution_timeout: timedelta, given: timedelta | None, timeout_s: int
) -> None:
    found = resources(with_worker(execution_timeout=execution_timeout, timeout=given))
    function = found["MainFunction"]["Properties"]
    assert function["Timeout"] == timeout_s
    assert found["MainQueue"]["Properties"]["VisibilityTimeout"] >= timeout_s
    visibility = function["Environment"]["Variables"]["HEADRACE_VISIBILITY_S"]
    assert visibility == str(found["MainQueue"]["Properties"]["VisibilityTimeout"])


def test_messages_are_delivered_more_often_than_the_engine_takes_lost_workers() -> None:
    redrive = properties(with_worker(), "MainQueue")["RedrivePolicy"]
    assert redrive["deadLetterTargetArn"] == {"Fn::GetAtt": ["DeadLettersQueue", "Arn"]}
    assert redrive["maxReceiveCount"] > 11


def test_options_of_a_worker() -> None:
    statement = {"Statement": [{"Effect": "Allow", "Action": "ses:SendEmail", "Resource": "*"}]}
    app = with_worker(
        memory=2_048,
        architecture="arm64",
        runtime="python3.13",
        environment={"LEVEL": "3"},
        policies=["AmazonSESFullAccess", statement],
        vpc=VpcOptions(subnet_ids=["subnet-1"], security_group_ids=["sg-1"]),
        snap_start=True,
    )
    found = properties(app, "MainFunction")
    assert (found["MemorySize"], found["Architectures"], found["Runtime"]) == (2_048, ["arm64"], "python3.13")
    assert found["Environment"]["Variables"]["LEVEL"] == "3"
    role = properties(app, "MainFunctionRole")
    assert role["ManagedPolicyArns"] == [
        {"Fn::Sub": "arn:${AWS::Partition}:iam::aws:policy/AmazonSESFullAccess"}
    ]
    assert role["Policies"][1]["PolicyDocument"] == {"Version": "2012-10-17", **statement}
    assert {"Network", "NetworkForLambdaOnly"} <= {
        each.get("Sid") for each in role["Policies"][0]["PolicyDocument"]["Statement"]
    }
    assert found["VpcConfig"] == {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    assert found["SnapStart"] == {"ApplyOn": "PublishedVersions"}
    assert properties(app, "MainMapping")["FunctionName"] == {"Ref": "MainFunctionAliaslive"}


def test_the_namespace_and_the_retention_reach_the_functions() -> None:
    app = an_app("simple", namespace="staging", retention_days=7)
    template = compile_app(app, app_path="app:hatchet")
    variables = template["Resources"]["ClockFunction"]["Properties"]["Environment"]["Variables"]
    assert variables["HEADRACE_NAMESPACE"] == "staging"
    assert variables["HEADRACE_RETENTION_DAYS"] == {"Ref": "RetentionDays"}
    assert template["Parameters"]["RetentionDays"]["Default"] == 7


def test_the_table_and_the_bucket_are_protected() -> None:
    table = properties(with_worker(), "Table")
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["SSESpecification"]["SSEEnabled"] is True
    bucket = properties(with_worker(), "PayloadBucket")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["LifecycleConfiguration"]["Rules"][0]["ExpirationInDays"] == {"Ref": "RetentionDays"}
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]


def test_the_table_outlives_its_stack_unless_it_is_ephemeral() -> None:
    safe = compile_app(with_worker(), app_path="app:hatchet")
    passing = compile_app(with_worker(), app_path="app:hatchet", ephemeral=True)
    for template, policy, default in ((safe, "Retain", "true"), (passing, "Delete", "false")):
        assert template["Resources"]["Table"]["DeletionPolicy"] == policy
        assert template["Resources"]["PayloadBucket"]["DeletionPolicy"] == policy
        for name in ("PointInTimeRecovery", "DeletionProtection"):
            assert template["Parameters"][name]["Default"] == default


def test_one_key_encrypts_whatever_holds_data() -> None:
    found = resources(with_worker())
    key = {"Fn::If": ["HasKmsKey", {"Ref": "KmsKeyArn"}, {"Ref": "AWS::NoValue"}]}
    kinds = {"AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::S3::Bucket", "AWS::Logs::LogGroup"}
    for name, resource in found.items():
        if resource["Type"] in kinds:
            assert json.dumps(key) in json.dumps(resource), f"{name} is not encrypted with the key"
    for name, resource in found.items():
        if resource["Type"] in ("AWS::IAM::Role", "AWS::IAM::ManagedPolicy"):
            assert '"kms:ViaService"' in json.dumps(resource), f"{name} cannot use the key"


def test_a_clock_that_is_silent_rings() -> None:
    alarm = properties(with_worker(), "ClockSilentAlarm")
    assert (alarm["TreatMissingData"], alarm["ComparisonOperator"], alarm["Threshold"]) == (
        "breaching",
        "LessThanThreshold",
        1,
    )


@pytest.mark.parametrize(
    ("timeout_s", "given_s", "visibility_s"),
    [(30, None, 180), (90, None, 360), (400, None, 400), (30, 40, 40)],
)
def test_a_message_outlasts_throttled_invocations(
    timeout_s: int, given_s: int | None, visibility_s: int
) -> None:
    app = with_worker(
        execution_timeout=timedelta(seconds=1),
        timeout=timedelta(seconds=timeout_s),
        visibility_timeout=None if given_s is None else timedelta(seconds=given_s),
    )
    assert properties(app, "MainQueue")["VisibilityTimeout"] == visibility_s


def test_a_message_that_comes_back_while_its_function_runs_is_refused() -> None:
    app = with_worker(timeout=timedelta(seconds=90), visibility_timeout=timedelta(seconds=80))
    with pytest.raises(CompileError, match=r"visibility_timeout of 80 s.*Give at least 90 s"):
        resources(app)


def test_only_workers_without_a_limit_are_warned_of() -> None:
    app = an_app("one", "two", "three")
    for (name, workflow), options in zip(
        app._workflows_by_name.items(),
        [{}, {"maximum_concurrency": 5}, {"reserved_concurrency": 5}],
        strict=True,
    ):
        app.worker(f"for-{name}", workflows=[workflow], **options)
    assert str(uncapped(app)).startswith("worker for-one has no limit of concurrent invocations")


def test_every_reference_is_to_something_in_the_template() -> None:
    app = an_app("one", "two")
    one, two = app._workflows_by_name.values()
    app.worker("a", workflows=[one], snap_start=True, runtime="python3.12")
    app.worker("b", workflows=[two])
    template = compile_app(app, app_path="app:hatchet")
    known = {*template["Resources"], *template["Parameters"], "AFunctionAliaslive"}
    assert {name for name in references(template) if not name.startswith("AWS::")} <= known


def references(part: Any) -> set[str]:
    """The names that a part of a template refers to."""
    if isinstance(part, list):
        return {name for each in part for name in references(each)}
    if not isinstance(part, dict):
        return set()
    found = {name for each in part.values() for name in references(each)}
    if set(part) == {"Ref"}:
        found.add(part["Ref"])
    if set(part) == {"Fn::GetAtt"}:
        found.add(part["Fn::GetAtt"][0])
    if set(part) == {"Fn::Sub"}:
        found |= {piece.split("}")[0].split(".")[0] for piece in part["Fn::Sub"].split("${")[1:]}
    return found


def test_the_same_app_gives_the_same_text() -> None:
    first, second = (
        render(compile_app(with_worker(), app_path="app:hatchet"), app_path="app:hatchet") for _ in range(2)
    )
    assert first == second


# ---------------------------------------------------------------- refusals


def test_no_workflow() -> None:
    with pytest.raises(CompileError, match="no workflow: declare one"):
        compile_app(an_app(), app_path="app:hatchet")


def test_a_workflow_on_no_worker() -> None:
    app = an_app("one", "two")
    app.worker("main", workflows=[app._workflows_by_name["one"]])
    app.workflow(name="empty")
    assert left_out(app) == [
        "workflow two is on no worker, so it is left out, and nothing would run it: add it to the workflows of a worker (main)",
        "workflow empty has no task, so it is left out: add one with @empty.task()",
    ]
    alone = an_app("one")
    alone.worker("main", workflows=[alone._workflows_by_name["one"]])
    assert compile_app(app, app_path="app:hatchet") == compile_app(alone, app_path="app:hatchet")


@pytest.mark.parametrize("timeout", [timedelta(seconds=891), timedelta(hours=1)])
def test_an_execution_timeout_over_lambda_s_limit(timeout: timedelta) -> None:
    seconds = f"{int(timeout.total_seconds()):,}"
    with pytest.raises(
        CompileError, match=rf"task simple of workflow simple.*{seconds} s.*worker main.*at most 890 s"
    ):
        compile_app(with_worker(execution_timeout=timeout), app_path="app:hatchet")


def test_a_timeout_that_is_shorter_than_a_task() -> None:
    app = with_worker(timeout=timedelta(seconds=30))
    with pytest.raises(CompileError, match=r"worker main has a timeout of 30 s.*task simple.*at least 70 s"):
        compile_app(app, app_path="app:hatchet")


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (("a-b", "a_b"), "'a-b' and 'a_b' would both be AB"),
        (("x", "dead_letters"), "'dead_letters': the template has a resource of that name"),
    ],
)
def test_workers_that_would_be_one_in_the_template(names: tuple[str, str], why: str) -> None:
    app = an_app("one", "two")
    for worker, workflow in zip(names, app._workflows_by_name.values(), strict=True):
        app.worker(worker, workflows=[workflow])
    with pytest.raises(CompileError, match=why):
        compile_app(app, app_path="app:hatchet")


@pytest.mark.parametrize("runtime", ["python3.10", "nodejs22.x", "3.12"])
def test_a_runtime_that_headrace_does_not_run_on(runtime: str) -> None:
    with pytest.raises(CompileError, match=rf"worker main: runtime is '{runtime}': give python3.11 or newer"):
        compile_app(with_worker(runtime=runtime), app_path="app:hatchet")


def test_snap_start_on_an_old_runtime() -> None:
    with pytest.raises(CompileError, match=r"worker main: snap_start needs .*python3\.12"):
        compile_app(with_worker(snap_start=True, runtime="python3.11"), app_path="app:hatchet")


@pytest.mark.parametrize("name", ["ä", "a" * 73, "dead-letters", "clock", "", "main-next"])
def test_a_name_that_no_queue_can_have(name: str) -> None:
    with pytest.raises(DefinitionError):
        compile_app(with_worker(name), app_path="app:hatchet")


def test_the_longest_name_is_what_lambda_takes_with_the_stack_s() -> None:
    compile_app(with_worker("a" * 55), app_path="app:hatchet")
    with pytest.raises(
        CompileError, match=r"its function would be named headrace-a+, and AWS takes 64.*at most 55"
    ):
        compile_app(with_worker("a" * 56), app_path="app:hatchet")
    compile_app(with_worker("a" * 71, process=True), app_path="app:hatchet")
    with pytest.raises(
        CompileError, match=r"its queue would be named headrace-a+, and AWS takes 80.*at most 71"
    ):
        compile_app(with_worker("a" * 72, process=True), app_path="app:hatchet")
    with pytest.raises(CompileError, match=r"headrace-a+-next, and AWS takes 80.*at most 66"):
        compile_app(with_worker("a" * 67, process=True, slots=3), app_path="app:hatchet")


@pytest.mark.parametrize("path", ["app", "app:", ":hatchet", "app.py:hatchet()", "app:hatchet:more"])
def test_a_path_that_names_no_app(path: str) -> None:
    with pytest.raises(CompileError, match="give module:attribute"):
        compile_app(with_worker(), app_path=path)


def test_a_module_that_is_not_there() -> None:
    with pytest.raises(CompileError, match="there is no module nowhere_at_all"):
        load_app("nowhere_at_all:hatchet")
