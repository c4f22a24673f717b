"""The worlds the suite runs in: ports, a way to let time pass, and the names of what was made for it."""

from __future__ import annotations

import importlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest import mock

import boto3
from moto import mock_aws
from moto.core import botocore_stubber

from headrace.aws.clients import BotoTransport, Clients
from headrace.aws.dynamodb.store import AwsStore
from headrace.aws.lean.configuration import Served, from_botocore
from headrace.aws.lean.transport import LeanTransport
from headrace.aws.queues import AwsQueues
from headrace.aws.replies import AwsReplyQueues
from headrace.aws.transport import Transport
from headrace.memory import wiring as memory
from headrace.memory.clock import VirtualClock
from headrace.memory.queues import MemoryQueues
from headrace.ports import MAX_MESSAGE_BYTES, Queues, ReplyQueues, Store
from headrace_infra.ministack import ministack

STACK = "contract"
VISIBILITY_S = 30
MAX_RECEIVE_COUNT = 3


def boto3_transport() -> Transport:
    return BotoTransport(Clients())


def lean_transport() -> Transport:
    """As `choose` makes it, whatever in this process watches botocore (moto does)."""
    clients = Clients()
    served = from_botocore(clients)
    assert isinstance(served, Served), served
    return LeanTransport(served, lambda: clients)


@dataclass(frozen=True, slots=True)
class Backend:
    """One implementation of the ports. `elapse` lets so many seconds pass, virtually where it can; `make` makes a queue."""

    name: str
    store: Store = field(repr=False)
    queues: Queues = field(repr=False)
    elapse: Callable[[float], None] = field(repr=False)
    make: Callable[[str], object] = field(repr=False)
    replies: ReplyQueues = field(repr=False)


def in_memory() -> Backend:
    ports = memory.connect(visibility_s=VISIBILITY_S, max_receive_count=MAX_RECEIVE_COUNT)
    assert isinstance(ports.clock, VirtualClock)
    assert isinstance(ports.queues, MemoryQueues)
    clock = ports.clock
    return Backend(
        "memory",
        ports.store,
        ports.queues,
        lambda span_s: clock.advance(round(span_s * 1000)),
        lambda name: None,
        ports.queues,
    )


@contextmanager
def on_moto() -> Iterator[Backend]:
    """moto is not thread-safe: one lock around it. Its SQS clock is set forward, so that no test waits."""
    lock, ahead = threading.RLock(), SimpleNamespace(seconds=0.0)
    process = botocore_stubber.BotocoreStubber.process_request
    moto_sqs = importlib.import_module("moto.sqs.models")
    seconds, millis = moto_sqs.unix_time, moto_sqs.unix_time_millis

    def process_alone(self: Any, request: Any) -> Any:
        with lock:
            return process(self, request)

    def elapse(span_s: float) -> None:
        ahead.seconds += span_s

    with (
        mock_aws(),
        environment(AWS_DEFAULT_REGION="us-east-1"),
        mock.patch.object(botocore_stubber.BotocoreStubber, "process_request", process_alone),
        mock.patch.object(moto_sqs, "unix_time", lambda *a: seconds(*a) + ahead.seconds),
        mock.patch.object(moto_sqs, "unix_time_millis", lambda *a: millis(*a) + ahead.seconds * 1000),
    ):
        yield _connected("moto", elapse, boto3_transport)


@contextmanager
def on_ministack(
    transport: Callable[[], Transport] = boto3_transport, *, quick: bool = False
) -> Iterator[Backend]:
    """A server of its own, on the loopback; real time. The requests are made by boto3 or by the lean transport. `quick`: as benchmarks
    have it."""
    with (
        ministack(settings={"MINISTACK_QUICK": "1"} if quick else None) as running,
        environment(**running.environment()),
    ):
        yield _connected("ministack", time.sleep, transport)


@contextmanager
def environment(**values: str) -> Iterator[None]:
    with mock.patch.dict(os.environ, values):
        yield


def _connected(name: str, elapse: Callable[[float], None], make: Callable[[], Transport]) -> Backend:
    session = boto3.session.Session()
    session.client("s3").create_bucket(Bucket=f"{STACK}-payloads")
    make_table(session.client("dynamodb"), STACK)
    transport = make()
    store = AwsStore(transport, table=STACK, bucket=lambda: f"{STACK}-payloads", stack=STACK)
    queues = AwsQueues(transport, stack=STACK, urls={})
    store.get_blob("none")  # S3's client is made now, while the environment says where AWS is
    replies = AwsReplyQueues(transport, stack=STACK)
    return Backend(name, store, queues, elapse, _queue_maker(session.client("sqs")), replies)


def _queue_maker(sqs: Any) -> Callable[[str], object]:
    dead = sqs.create_queue(QueueName=f"{STACK}-dead-letters")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": MAX_RECEIVE_COUNT})
    attributes = {
        "VisibilityTimeout": str(VISIBILITY_S),
        "RedrivePolicy": redrive,
        "MaximumMessageSize": str(MAX_MESSAGE_BYTES),
    }
    return lambda name: sqs.create_queue(QueueName=f"{STACK}-{name}", Attributes=attributes)


def make_table(dynamodb: Any, name: str) -> None:
    keys = ("pk", "sk", "lpk", "lsk", "fpk", "fsk")
    indexes = {"listing": ("lpk", "lsk"), "failed": ("fpk", "fsk")}
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
        KeySchema=_schema("pk", "sk"),
        GlobalSecondaryIndexes=[
            {"IndexName": index, "KeySchema": _schema(*pair), "Projection": {"ProjectionType": "KEYS_ONLY"}}
            for index, pair in indexes.items()
        ],
    )


def _schema(partition: str, order: str) -> Any:
    return [
        {"AttributeName": partition, "KeyType": "HASH"},
        {"AttributeName": order, "KeyType": "RANGE"},
    ]
