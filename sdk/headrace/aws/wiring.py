"""Ports on AWS, by the settings."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Protocol

from headrace.aws.clients import Clients
from headrace.aws.clock import SystemClock, SystemIds
from headrace.aws.faults import translated
from headrace.aws.local_stack import running_here
from headrace.aws.queues import AwsQueues
from headrace.aws.store import AwsStore
from headrace.ports import Ports


class Connection(Protocol):
    """What of the settings says where the stack is."""

    @property
    def stack(self) -> str: ...

    @property
    def table(self) -> str | None: ...

    @property
    def bucket(self) -> str | None: ...

    @property
    def queues(self) -> Mapping[str, str]: ...


def connect(settings: Connection) -> Ports:
    """Ports on the stack that the settings name. No request is made yet; NotConfigured where boto3 knows no region."""
    here = running_here(settings)
    name = here.stack if here is not None else settings.stack
    with translated("store", "AWS", name):
        clients = Clients(here.client_arguments() if here is not None else None)

    @cache
    def bucket() -> str:
        return settings.bucket or f"{name}-{clients.account()}-{clients.region()}"

    store = AwsStore(clients, table=settings.table or name, bucket=bucket, stack=name)
    queues = AwsQueues(clients, stack=name, urls=settings.queues)
    return Ports(store=store, queues=queues, clock=SystemClock(), ids=SystemIds())
