"""Where a local stack runs: the ports in memory, moto in this process, or MiniStack beside it, in real time.

In memory and on moto time can be moved.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol
from unittest.mock import patch

from headrace.core.changes import Item
from headrace.core.run.message import FiringKind
from headrace.core.table import TIMERS, timer_minute
from headrace.engine.events.push import EVENTS_QUEUE
from headrace.errors import NotConfigured
from headrace_infra.local.clock import CRON_TICK, OffsetClock
from headrace_infra.local.resources import Deployed, deploy, described

if TYPE_CHECKING:
    from headrace.ports import Ports
    from headrace.settings.settings import Settings
    from headrace_infra.template.unit import Unit

KINDS = ("memory", "moto", "ministack")


class Backend(Protocol):
    """Something that holds a stack, as far as a local stack looks into it."""

    @property
    def region(self) -> str: ...

    @property
    def moves_time(self) -> bool:
        """Whether delays and visibility timeouts follow the stack's clock."""
        ...

    @property
    def looks_are_free(self) -> bool:
        """Whether asking for a queue's depth costs less than receiving from it."""
        ...

    def deploy(self, template: dict[str, Any], units: list[Unit], stack: str) -> Deployed:
        """Make the stack's table, queues and bucket."""
        ...

    def ports(self, settings: Settings) -> Ports:
        """The ports on what was deployed, on the stack's clock."""
        ...

    def next_visible_ms(self, clock: OffsetClock) -> int | None:
        """When the next message of any queue can be received, as far as is known; None: there is no message."""
        ...

    def queued(self, name: str | None = None) -> int:
        """Messages in all queues, or in a worker's, visible or not."""
        ...

    def next_timer_ms(self) -> int | None:
        """When the next timer is due, ticks of crons left out; None: there is none."""
        ...

    def next_cron_ms(self) -> int | None:
        """When the next tick of a cron is due, be it a timer or a message already; None: there is none."""
        ...

    def first_timer_minute(self) -> int | None:
        """The minute, since 1970, of the first timer of any kind; None: there is none."""
        ...

    def run_items(self) -> list[Item]:
        """The records of every run, as they are stored."""
        ...


class Memory:
    """The ports in memory: no AWS client, nothing patched. The contract suite holds them to what DynamoDB and SQS do."""

    region = "us-east-1"
    moves_time = True
    looks_are_free = True

    def __init__(self, clock: OffsetClock) -> None:
        from headrace.memory.queues import MemoryQueues
        from headrace.memory.secrets import MemorySecrets
        from headrace.memory.store import MemoryStore

        self._clock = clock
        self._store = MemoryStore()
        self._secrets = MemorySecrets()
        self._queues = MemoryQueues(clock)

    def deploy(self, template: dict[str, Any], units: list[Unit], stack: str) -> Deployed:
        found = described(template, units, stack=stack)
        queues = {unit.name for unit in units} | ({EVENTS_QUEUE} if found.events else set())
        self._queues.only = frozenset(queues)
        return found

    def ports(self, settings: Settings) -> Ports:
        from headrace.aws.clock import SystemIds
        from headrace.ports import Ports

        return Ports(
            store=self._store, queues=self._queues, clock=self._clock, ids=SystemIds(), secrets=self._secrets
        )

    def next_visible_ms(self, clock: OffsetClock) -> int | None:
        return self._queues.next_visible_ms(lambda body: not body.startswith(CRON_TICK))

    def queued(self, name: str | None = None) -> int:
        return self._queues.depth(name)

    def next_timer_ms(self) -> int | None:
        return min(self._timers(crons=False), default=None)

    def next_cron_ms(self) -> int | None:
        message = self._queues.next_visible_ms(lambda body: body.startswith(CRON_TICK), visible_too=False)
        return min([*self._timers(crons=True), *([] if message is None else [message])], default=None)

    def _timers(self, *, crons: bool) -> list[int]:
        found = self._store.items(TIMERS)
        return [
            int(str(item["due"])) for item in found if (item.get("look") == FiringKind.CRON.value) is crons
        ]

    def first_timer_minute(self) -> int | None:
        return min((timer_minute(str(item["pk"])) for item in self._store.items(TIMERS)), default=None)

    def run_items(self) -> list[Item]:
        return [item for item in self._store.items("run#") if item["sk"] == "run"]


class _Emulated:
    """An emulated AWS, through boto3."""

    looks_are_free = False
    account = ""

    def __init__(self, clock: OffsetClock) -> None:
        import boto3

        self.region = str(boto3.session.Session().region_name)
        self._clock = clock
        self._stack = ""

    def deploy(self, template: dict[str, Any], units: list[Unit], stack: str) -> Deployed:
        self._stack = stack
        return deploy(template, units, stack=stack, account=self.account, region=self.region)

    def ports(self, settings: Settings) -> Ports:
        from headrace.aws.wiring import connect

        return replace(connect(settings, look_around=False), clock=self._clock)

    def next_timer_ms(self) -> int | None:
        return min(self._timers(crons=False), default=None)

    def _timers(self, *, crons: bool) -> list[int]:
        items = self._scan("begins_with(pk, :found)", TIMERS)
        cron = {"S": FiringKind.CRON.value}
        return [int(item["due"]["N"]) for item in items if (item.get("look") == cron) is crons]

    def first_timer_minute(self) -> int | None:
        items = self._scan("begins_with(pk, :found)", TIMERS)
        return min((timer_minute(item["pk"]["S"]) for item in items), default=None)

    def run_items(self) -> list[Item]:
        from headrace.aws.dynamodb.items import item_from_wire

        return [item_from_wire(wire) for wire in self._scan("sk = :found", "run")]

    def _scan(self, expression: str, found: str) -> list[Any]:
        import boto3

        pages = (
            boto3.client("dynamodb")
            .get_paginator("scan")
            .paginate(
                TableName=self._stack,
                FilterExpression=expression,
                ExpressionAttributeValues={":found": {"S": found}},
            )
        )
        return [wire for page in pages for wire in page["Items"]]


class Moto(_Emulated):
    """Looks at moto's own objects: costs no request."""

    moves_time = True
    looks_are_free = True

    def __init__(self, clock: OffsetClock) -> None:
        from headrace_infra.local import moto_backend

        super().__init__(clock)
        self.account = moto_backend.ACCOUNT

    def next_visible_ms(self, clock: OffsetClock) -> int | None:
        from headrace_infra.local import moto_backend

        return moto_backend.next_visible_ms(self.region, clock.now_ms())

    def next_cron_ms(self) -> int | None:
        from headrace_infra.local import moto_backend

        times = [*self._timers(crons=True), *moto_backend.cron_ticks_ms(self.region)]
        return min(times, default=None)

    def queued(self, name: str | None = None) -> int:
        from headrace_infra.local import moto_backend

        return moto_backend.queued(self.region, name and f"{self._stack}-{name}")


DEPTHS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
LOOK_AGAIN_MS = 20


class MiniStack(_Emulated):
    """Asks SQS for its depths."""

    moves_time = False

    def __init__(self, clock: OffsetClock) -> None:
        import boto3

        from headrace_infra.ministack import ACCOUNT

        super().__init__(clock)
        self.account = ACCOUNT
        self._sqs = boto3.client("sqs")

    def next_visible_ms(self, clock: OffsetClock) -> int | None:
        return clock.now_ms() + LOOK_AGAIN_MS if self.queued() else None

    def next_cron_ms(self) -> int | None:
        return min(self._timers(crons=True), default=None)

    def queued(self, name: str | None = None) -> int:
        urls = self._sqs.list_queues().get("QueueUrls", [])
        wanted = [url for url in urls if name is None or url.rsplit("/", 1)[-1] == f"{self._stack}-{name}"]
        return sum(self._depth(url) for url in wanted)

    def _depth(self, url: str) -> int:
        found = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return sum(int(value) for key, value in found.items() if key in DEPTHS)


@contextmanager
def started(kind: str, clock: OffsetClock) -> Iterator[Backend]:
    """The backend of that name for the length of the block; boto3 in this process works on it, unless it is in memory."""
    if kind == "memory":
        yield Memory(clock)
    elif kind == "moto":
        from headrace_infra.local import moto_backend

        with moto_backend.moto_aws(clock):
            yield Moto(clock)
    elif kind == "ministack":
        from headrace_infra.ministack import ministack

        with ministack() as running, patch.dict(os.environ, running.environment()):
            yield MiniStack(clock)
    else:
        raise NotConfigured(f"the backend is {kind!r}: give {', '.join(KINDS)}")
