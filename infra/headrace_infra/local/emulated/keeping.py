"""What a stack on moto's server holds, as JSON: items, messages and objects. In the process of the server."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import boto3

FORMAT = 1
BATCH = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Items in DynamoDB's wire format; messages as [queue, body, visible at (ms), receive count]; objects by key."""

    items: list[dict[str, Any]]
    messages: list[tuple[str, str, int, int]]
    objects: Mapping[str, bytes]

    def encode(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "items": [_texts(item) for item in self.items],
            "messages": self.messages,
            "objects": {name: base64.b64encode(body).decode() for name, body in self.objects.items()},
        }

    @classmethod
    def decode(cls, value: Mapping[str, Any]) -> Kept:
        if value.get("format") != FORMAT:
            return cls(items=[], messages=[], objects={})  # of another version: what it held is of no use
        return cls(
            items=[_bytes(item) for item in value["items"]],
            messages=[(str(q), str(body), int(at), int(count)) for q, body, at, count in value["messages"]],
            objects={name: base64.b64decode(body) for name, body in value["objects"].items()},
        )


def _texts(value: Any) -> Any:
    """Bytes, the values of `B`, as base64."""
    if isinstance(value, dict):
        return {
            key: base64.b64encode(each).decode() if key == "B" and isinstance(each, bytes) else _texts(each)
            for key, each in value.items()
        }
    return [_texts(each) for each in value] if isinstance(value, list) else value


def _bytes(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: base64.b64decode(each) if key == "B" and isinstance(each, str) else _bytes(each)
            for key, each in value.items()
        }
    return [_bytes(each) for each in value] if isinstance(value, list) else value


def kept_by_moto(stack: str, *, account: str, region: str) -> Kept:
    """All of the stack."""
    pages = boto3.client("dynamodb").get_paginator("scan").paginate(TableName=stack)
    bucket, s3 = _bucket(stack, account, region), boto3.client("s3")
    listed = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    names = [each["Key"] for page in listed for each in page.get("Contents", [])]
    return Kept(
        items=[dict(item) for page in pages for item in page["Items"]],
        messages=_messages(stack, account, region),
        objects={name: s3.get_object(Bucket=bucket, Key=name)["Body"].read() for name in names},
    )


def _messages(stack: str, account: str, region: str) -> list[tuple[str, str, int, int]]:
    from moto.sqs.models import sqs_backends

    return [
        (
            queue.name,
            message.body,
            int(max(message.visible_at, message.delayed_until)),
            int(message.approximate_receive_count),
        )
        for queue in sqs_backends[account][region].queues.values()
        for message in queue._messages
        if queue.name.startswith(f"{stack}-")
    ]


def restore_into_moto(kept: Kept, stack: str, *, account: str, region: str) -> None:
    """Put everything back into resources that exist; a queue that is gone takes its messages with it."""
    dynamodb = boto3.client("dynamodb")
    for first in range(0, len(kept.items), BATCH):
        puts: Any = [{"PutRequest": {"Item": item}} for item in kept.items[first : first + BATCH]]
        dynamodb.batch_write_item(RequestItems={stack: puts})
    bucket, s3 = _bucket(stack, account, region), boto3.client("s3")
    for name, data in kept.objects.items():
        s3.put_object(Bucket=bucket, Key=name, Body=data)
    from moto.sqs.models import sqs_backends

    backend = sqs_backends[account][region]
    for queue, body, visible_at_ms, count in kept.messages:
        if queue not in backend.queues:
            continue
        message = backend.send_message(queue, body)
        message.approximate_receive_count = count
        message.delayed_until = visible_at_ms


def _bucket(stack: str, account: str, region: str) -> str:
    return f"{stack}-{account}-{region}"
