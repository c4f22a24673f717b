"""Adapters on clients whose answers a test writes: botocore's Stubber, which checks each request and answer against the API's model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest import mock

from botocore.stub import Stubber

from headrace.aws.clients import BotoTransport, Clients
from headrace.aws.dynamodb.store import AwsStore
from headrace.aws.queues import AwsQueues

URL = "https://sqs.us-east-1.amazonaws.com/123456789012/shop-work"
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextmanager
def only(environment: dict[str, str]) -> Iterator[None]:
    """These variables and no others."""
    with mock.patch.dict("os.environ", environment, clear=True):
        yield


@dataclass(slots=True)
class Scripted:
    """A store and queues of the stack `shop`; `pauses` is what they would have slept."""

    store: AwsStore
    queues: AwsQueues
    dynamodb: Stubber
    sqs: Stubber
    s3: Stubber
    pauses: list[float] = field(default_factory=list)


@contextmanager
def scripted(urls: dict[str, str] | None = None) -> Iterator[Scripted]:
    with only(KEYS):
        clients = Clients()
        transport = BotoTransport(clients)
        pauses: list[float] = []
        world = Scripted(
            store=AwsStore(
                transport, table="shop", bucket=lambda: "shop-bucket", stack="shop", pause=pauses.append
            ),
            queues=AwsQueues(
                transport, stack="shop", urls={"work": URL} if urls is None else urls, pause=pauses.append
            ),
            dynamodb=Stubber(clients.dynamodb),
            sqs=Stubber(clients.sqs),
            s3=Stubber(clients.s3),
            pauses=pauses,
        )
        with world.dynamodb, world.sqs, world.s3:
            yield world
        for stubber in (world.dynamodb, world.sqs, world.s3):
            stubber.assert_no_pending_responses()
