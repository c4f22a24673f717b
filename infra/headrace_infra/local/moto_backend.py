"""moto in this process: one lock around every AWS call, and a clock that can be moved."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from botocore.client import BaseClient

from headrace_infra.local.clock import CRON_TICK, OffsetClock

CALL = "_make_api_call"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_SESSION_TOKEN": "local",
    "AWS_EC2_METADATA_DISABLED": "true",
}
REGION = "us-east-1"
ACCOUNT = "123456789012"


@contextmanager
def moto_aws(clock: OffsetClock) -> Iterator[None]:
    """AWS in this process until the end of the block. ImportError, which says what to install, where moto is missing."""
    try:
        from moto import mock_aws
    except ImportError as error:
        raise ImportError("the local runtime needs moto: pip install 'headrace[local]'") from error
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or REGION
    with ExitStack() as stack:
        changed = {**ENVIRONMENT, "AWS_DEFAULT_REGION": region, "AWS_REGION": region}
        stack.enter_context(patch.dict(os.environ, changed))
        for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
            os.environ.pop(name, None)
        stack.enter_context(mock_aws())
        stack.enter_context(_one_at_a_time())
        stack.enter_context(_moved_time(clock))
        yield


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """moto is not atomic across threads: a conditional write could be torn, a queue could change while it is read."""
    lock = threading.RLock()
    original = getattr(BaseClient, CALL)

    def locked(client: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
        with lock:
            return original(client, operation, parameters)

    setattr(BaseClient, CALL, locked)
    try:
        yield
    finally:
        setattr(BaseClient, CALL, original)


@contextmanager
def _moved_time(clock: OffsetClock) -> Iterator[None]:
    """SQS's idea of the time follows the clock: delays, visibility, retention."""
    with (
        patch("moto.sqs.models.unix_time_millis", lambda: float(clock.now_ms())),
        patch("moto.sqs.models.unix_time", lambda: clock.now_ms() / 1000),
    ):
        yield


def next_visible_ms(region: str, now_ms: int) -> int | None:
    """When the next message of any queue can be received, ticks of crons that are not due left out; None: there is no message."""
    times = [
        _visible_ms(message)
        for message in _messages(region)
        if float(message.delayed_until) <= now_ms or not message.body.startswith(CRON_TICK)
    ]
    return min(times, default=None)


def cron_ticks_ms(region: str) -> list[int]:
    """When each tick of a cron that is a message already can be received."""
    return [_visible_ms(message) for message in _messages(region) if message.body.startswith(CRON_TICK)]


def _messages(region: str) -> list[Any]:
    from moto.sqs.models import sqs_backends

    return [message for queue in sqs_backends[ACCOUNT][region].queues.values() for message in queue._messages]


def _visible_ms(message: Any) -> int:
    return int(max(float(message.visible_at), float(message.delayed_until))) + 1


def queued(region: str, name: str | None = None) -> int:
    """Messages in all queues, or in the one of that name, visible or not. Looks at the emulator: costs no request."""
    from moto.sqs.models import sqs_backends

    queues = sqs_backends[ACCOUNT][region].queues
    return sum(len(queue._messages) for key, queue in queues.items() if name is None or key == name)
