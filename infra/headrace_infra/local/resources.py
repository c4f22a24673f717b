"""Create what a compiled template describes: the table, the queues with their redrive, the bucket."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from headrace.engine.events.push import EVENTS_QUEUE
from headrace.ports import NEXT
from headrace_infra.template.bucket import BUCKET
from headrace_infra.template.queues import DEAD_LETTERS
from headrace_infra.template.tables import TABLE
from headrace_infra.template.unit import EVENTS, Unit


@dataclass(slots=True)
class Deployed:
    """What was created: names, and by worker the queue's URL and visibility, the function's timeout and batch size. `events`: whether
    there is a queue of events."""

    stack: str
    table: str
    bucket: str
    urls: dict[str, str] = field(default_factory=dict)
    visibility_s: dict[str, int] = field(default_factory=dict)
    timeout_s: dict[str, int] = field(default_factory=dict)
    batch_size: dict[str, int] = field(default_factory=dict)
    events: bool = False
    next: set[str] = field(default_factory=set)
    """The workers that have a second queue."""


DEAD_LETTERS_QUEUE = "dead-letters"
"""What the engine calls the dead-letter queue."""

LATER = (
    "TimeToLiveSpecification",
    "PointInTimeRecoverySpecification",
    "SSESpecification",
    "DeletionProtectionEnabled",
)
"""Properties of the table that say nothing to an emulator."""


def deploy(template: dict[str, Any], units: list[Unit], *, stack: str, account: str, region: str) -> Deployed:
    """Create the template's table, queues and bucket through boto3, wherever its endpoint is; what is there already stays."""
    import boto3

    resources = template["Resources"]
    values = {"AWS::StackName": stack, "AWS::AccountId": account, "AWS::Region": region}
    table = {name: _resolve(value, values) for name, value in resources[TABLE]["Properties"].items()}
    with _unless_there():
        boto3.client("dynamodb").create_table(**{name: table[name] for name in table if name not in LATER})
    bucket = _resolve(resources[BUCKET]["Properties"]["BucketName"], values)
    place: dict[str, Any] = {"CreateBucketConfiguration": {"LocationConstraint": region}}
    with _unless_there():
        boto3.client("s3").create_bucket(Bucket=bucket, **({} if region == "us-east-1" else place))
    done = Deployed(stack=stack, table=table["TableName"], bucket=bucket)
    dead = _create_queue(resources[DEAD_LETTERS]["Properties"], values, None)
    done.urls[DEAD_LETTERS_QUEUE] = dead
    sqs = boto3.client("sqs")
    dead_arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    for unit in units:
        done.urls[unit.name] = _create_queue(resources[unit.queue]["Properties"], values, dead_arn)
        if unit.next:
            next_queue = resources[unit.next_queue]["Properties"]
            done.urls[unit.name + NEXT] = _create_queue(next_queue, values, dead_arn)
    if EVENTS in resources:
        done.urls[EVENTS_QUEUE] = _create_queue(resources[EVENTS]["Properties"], values, dead_arn)
    _describe(done, resources, units)
    return done


def described(template: dict[str, Any], units: list[Unit], *, stack: str) -> Deployed:
    """What the template says of a stack that exists already; its queues are found by their names."""
    done = Deployed(stack=stack, table=stack, bucket="")
    _describe(done, template["Resources"], units)
    return done


def _describe(done: Deployed, resources: dict[str, Any], units: list[Unit]) -> None:
    done.events = EVENTS in resources
    for unit in units:
        done.visibility_s[unit.name] = resources[unit.queue]["Properties"]["VisibilityTimeout"]
        done.timeout_s[unit.name] = resources[unit.function]["Properties"]["Timeout"]
        done.batch_size[unit.name] = unit.options.batch_size
        if unit.next:
            done.next.add(unit.name)


def _create_queue(properties: dict[str, Any], values: dict[str, str], dead_arn: str | None) -> str:
    import boto3

    attributes: Any = {
        "VisibilityTimeout": str(properties["VisibilityTimeout"]),
        "MessageRetentionPeriod": str(properties["MessageRetentionPeriod"]),
    }
    if dead_arn is not None:
        count = properties["RedrivePolicy"]["maxReceiveCount"]
        attributes["RedrivePolicy"] = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": count})
    name = _resolve(properties["QueueName"], values)
    sqs = boto3.client("sqs")
    with _unless_there():
        return sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]  # it is there with other attributes
    sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)
    return url


THERE = (
    "ResourceInUseException",
    "BucketAlreadyOwnedByYou",
    "BucketAlreadyExists",
    "QueueNameExists",
    "QueueAlreadyExists",
)


@contextmanager
def _unless_there() -> Iterator[None]:
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] not in THERE:
            raise


def _resolve(value: Any, values: dict[str, str]) -> Any:
    """`Ref` and `Fn::Sub` of pseudo parameters; everything else as it is."""
    if isinstance(value, dict) and list(value) == ["Ref"]:
        return values[value["Ref"]]
    if isinstance(value, dict) and list(value) == ["Fn::Sub"]:
        return re.sub(r"\$\{([^}]+)\}", lambda found: values[found.group(1)], value["Fn::Sub"])
    return value
