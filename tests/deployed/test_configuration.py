"""What the emulated AWS says of the deployed resources, not what the template says."""

from __future__ import annotations

import json

import pytest

from deployed.conftest import STACK, Stack

pytestmark = [pytest.mark.deployed, pytest.mark.timeout(280)]


def test_the_table_expires_items_and_has_its_indexes(examples: Stack) -> None:
    dynamodb = examples.client("dynamodb")
    table = dynamodb.describe_table(TableName=STACK)["Table"]
    ttl = dynamodb.describe_time_to_live(TableName=STACK)["TimeToLiveDescription"]
    assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert [key["AttributeName"] for key in table["KeySchema"]] == ["pk", "sk"]
    indexes = {index["IndexName"]: index for index in table["GlobalSecondaryIndexes"]}
    assert {
        name: [key["AttributeName"] for key in index["KeySchema"]] for name, index in indexes.items()
    } == {"listing": ["lpk", "lsk"], "failed": ["fpk", "fsk"]}
    assert {index["Projection"]["ProjectionType"] for index in indexes.values()} == {"KEYS_ONLY"}


@pytest.mark.parametrize(("worker", "visibility_s"), [("examples", 360), ("reports", 360)])
def test_a_queue_hands_over_to_the_dead_letters(examples: Stack, worker: str, visibility_s: int) -> None:
    sqs = examples.client("sqs")
    url = sqs.get_queue_url(QueueName=f"{STACK}-{worker}")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    redrive = json.loads(attributes["RedrivePolicy"])
    assert attributes["VisibilityTimeout"] == str(visibility_s)
    assert attributes["SqsManagedSseEnabled"] == "true"
    assert redrive["deadLetterTargetArn"].endswith(f":{STACK}-dead-letters")
    assert int(redrive["maxReceiveCount"]) == 120


MAPPINGS = [
    ("examples", 1, ["examples", "examples-next"]),
    ("reports", 1, ["reports"]),
    ("dead-letters", 10, ["dead-letters"]),
]


@pytest.mark.parametrize(("function", "batch_size", "queues"), MAPPINGS)
def test_a_mapping_takes_partial_failures(
    examples: Stack, function: str, batch_size: int, queues: list[str]
) -> None:
    """A worker with limits has a second queue."""
    client = examples.client("lambda")
    mappings = client.list_event_source_mappings(FunctionName=f"{STACK}-{function}")["EventSourceMappings"]
    found = sorted(each["EventSourceArn"].rpartition(":")[2] for each in mappings)
    assert found == [f"{STACK}-{queue}" for queue in queues]
    assert {each["BatchSize"] for each in mappings} == {batch_size}
    assert [each["FunctionResponseTypes"] for each in mappings] == [["ReportBatchItemFailures"]] * len(queues)


def test_a_worker_s_options_reach_its_function_and_mapping(examples: Stack, trouble: Stack) -> None:
    function = examples.client("lambda").get_function_configuration(FunctionName=f"{STACK}-reports")
    assert (function["MemorySize"], function["Timeout"], function["Handler"]) == (
        1024,
        120,
        "headrace_handlers.worker.handler",
    )
    assert function["Environment"]["Variables"]["HEADRACE_VISIBILITY_S"] == "360"
    [mapping] = trouble.client("lambda").list_event_source_mappings(FunctionName=f"{trouble.name}-plain")[
        "EventSourceMappings"
    ]
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 2}


def test_the_bucket_takes_tls_only(examples: Stack) -> None:
    s3 = examples.client("s3")
    [bucket] = [each["Name"] for each in s3.list_buckets()["Buckets"] if each["Name"].startswith(f"{STACK}-")]
    assert bucket == f"{STACK}-000000000000-us-east-1"
    statement = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"][0]
    assert (statement["Effect"], statement["Condition"]) == (
        "Deny",
        {"Bool": {"aws:SecureTransport": "false"}},
    )


def test_the_clock_is_scheduled(examples: Stack) -> None:
    rules = examples.client("events").list_rules()["Rules"]
    ours = [rule for rule in rules if rule["Name"].startswith(f"{STACK}-ClockFunction")]
    assert [(rule["ScheduleExpression"], rule["State"]) for rule in ours] == [("rate(1 minute)", "ENABLED")]


def test_logs_are_kept_for_a_month(examples: Stack) -> None:
    groups = examples.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{STACK}")[
        "logGroups"
    ]
    assert {
        group["logGroupName"].removeprefix("/aws/lambda/"): group["retentionInDays"] for group in groups
    } == {
        f"{STACK}-{name}": 30
        for name in (
            "examples",
            "reports",
            "lane",
            "small-model",
            "large-model",
            "clock",
            "dead-letters",
            "events",
        )
    }


def test_the_table_is_protected(examples: Stack, trouble: Stack) -> None:
    """The examples' stack has the defaults, the other one is ephemeral. MiniStack takes no point-in-time recovery from a template: that it is
    in the template is held by the template's own tests."""
    dynamodb = examples.client("dynamodb")
    for name, on in ((STACK, True), (trouble.name, False)):
        table = dynamodb.describe_table(TableName=name)["Table"]
        assert table.get("DeletionProtectionEnabled", False) is on, name


def test_roles_have_no_managed_policy(examples: Stack) -> None:
    iam = examples.client("iam")
    functions = examples.client("lambda").list_functions()["Functions"]
    roles = [each["Role"].rpartition("/")[2] for each in functions if each["FunctionName"].startswith(STACK)]
    assert len(roles) == len(set(roles)) >= 8, "a role for each function"
    assert [iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] for role in roles] == [
        []
    ] * len(roles)
