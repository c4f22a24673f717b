"""Where a local stack runs: moto in this process, with time that can be moved, or MiniStack beside it, in real time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol
from unittest.mock import patch

import boto3

from headrace.errors import NotConfigured
from headrace_infra.local import moto_backend
from headrace_infra.local.clock import OffsetClock


class Backend(Protocol):
    """An emulated AWS, as far as a local stack looks into it."""

    @property
    def region(self) -> str: ...

    @property
    def account(self) -> str: ...

    @property
    def moves_time(self) -> bool:
        """Whether delays and visibility timeouts follow the stack's clock."""
        ...

    def next_visible_ms(self, clock: OffsetClock) -> int | None:
        """When the next message of any queue can be received, as far as is known; None: there is no message."""
        ...

    def queued(self, name: str | None = None) -> int:
        """Messages in all queues, or in one, visible or not."""
        ...


class Moto:
    """Looks at moto's own objects: costs no request."""

    moves_time = True
    account = moto_backend.ACCOUNT

    def __init__(self, region: str) -> None:
        self.region = region

    def next_visible_ms(self, clock: OffsetClock) -> int | None:
        return moto_backend.next_visible_ms(self.region, clock.now_ms())

    def queued(self, name: str | None = None) -> int:
        return moto_backend.queued(self.region, name)


DEPTHS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
LOOK_AGAIN_MS = 20


class MiniStack:
    """Asks SQS for its depths."""

    moves_time = False

    def __init__(self, region: str, account: str) -> None:
        self.region = region
        self.account = account
        self._sqs = boto3.client("sqs")

    def next_visible_ms(self, clock: OffsetClock) -> int | None:
        return clock.now_ms() + LOOK_AGAIN_MS if self.queued() else None

    def queued(self, name: str | None = None) -> int:
        urls = self._sqs.list_queues().get("QueueUrls", [])
        wanted = [url for url in urls if name is None or url.rsplit("/", 1)[-1] == name]
        return sum(self._depth(url) for url in wanted)

    def _depth(self, url: str) -> int:
        found = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return sum(int(value) for key, value in found.items() if key in DEPTHS)


@contextmanager
def started(kind: str, clock: OffsetClock) -> Iterator[Backend]:
    """The emulated AWS of that name for the length of the block; boto3 in this process works on it."""
    if kind == "moto":
        with moto_backend.moto_aws(clock):
            yield Moto(str(boto3.session.Session().region_name))
    elif kind == "ministack":
        from headrace_infra.ministack import ACCOUNT, REGION, ministack

        with ministack() as running, patch.dict(os.environ, running.environment()):
            yield MiniStack(REGION, ACCOUNT)
    else:
        raise NotConfigured(f"the backend is {kind!r}: give 'moto' or 'ministack'")
