"""Ports on AWS, by the settings."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Protocol

from headrace.aws.clock import SystemClock, SystemIds
from headrace.aws.dynamodb.store import AwsStore
from headrace.aws.faults import translated
from headrace.aws.lean.transport import Choice, choose
from headrace.aws.local_stack import running_here
from headrace.aws.queues import AwsQueues
from headrace.aws.replies import AwsReplyQueues
from headrace.aws.secrets import AwsSecrets
from headrace.ports import Ports
from headrace.settings.settings import home_of


class Connection(Protocol):
    """What of the settings says where the stack is."""

    @property
    def stack(self) -> str: ...

    @property
    def zone(self) -> str: ...

    @property
    def home(self) -> str: ...

    @property
    def table(self) -> str | None: ...

    @property
    def bucket(self) -> str | None: ...

    @property
    def transport(self) -> Choice: ...

    @property
    def queues(self) -> Mapping[str, str]: ...

    @property
    def worker(self) -> str | None: ...


def connect(settings: Connection, *, look_around: bool = True) -> Ports:
    """Ports on the stack that the settings name. No request is made yet; NotConfigured where no region is known.

    `look_around`: a `headrace dev` that runs in this folder comes first, where the environment names no stack.
    A worker's function gets no reply queues: its role may make none, and a function that waits is better written as a durable task.
    """
    here = running_here(settings) if look_around else None
    name = here.stack if here is not None else settings.home
    with translated("store", "AWS", name):
        transport = choose(settings.transport, here.client_arguments() if here is not None else None)

    @cache
    def bucket() -> str:
        if settings.bucket:
            return settings.bucket
        clients = transport.clients()
        return f"{name}-{clients.account()}-{clients.region()}"

    store = AwsStore(transport, table=settings.table or name, bucket=bucket, stack=name)
    queues = AwsQueues(transport, stack=name, urls=settings.queues)

    @cache
    def queues_of(zone: str) -> AwsQueues:
        return AwsQueues(transport, stack=home_of(settings.stack, zone), urls=settings.queues)

    secrets = AwsSecrets(transport.clients, stack=name)
    replies = AwsReplyQueues(transport, stack=name) if settings.worker is None else None
    return Ports(
        store=store,
        queues=queues,
        clock=SystemClock(),
        ids=SystemIds(),
        secrets=secrets,
        replies=replies,
        zones=queues_of if here is None else None,
    )
