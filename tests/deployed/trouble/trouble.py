"""Tasks that give a deployed stack trouble, as an app of a user's own: its folder, its requirements, its template."""

import os
import sqlite3
from datetime import timedelta
from pathlib import Path

import boto3
from botocore.exceptions import ClientError
from pydantic import BaseModel

from headrace import Context, EmptyModel, Headrace

hatchet = Headrace()


class Mark(BaseModel):
    path: str
    """A file that outlives the worker's process: on an emulated AWS both are on this machine."""


@hatchet.task(name="stubborn", execution_timeout=timedelta(seconds=1))
def stubborn(input: EmptyModel, ctx: Context) -> None:
    """Stays in C code, where no signal gets through."""
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    sqlite3.connect(":memory:").execute(endless).fetchall()


@hatchet.task(name="dies-once", input_validator=Mark, execution_timeout=timedelta(seconds=1))
def dies_once(input: Mark, ctx: Context) -> dict[str, int]:
    """Loses its worker on the first attempt."""
    mark = Path(input.path)
    if not mark.exists():
        mark.touch()
        os._exit(1)
    return {"retry_count": ctx.retry_count}


@hatchet.task(name="kills", execution_timeout=timedelta(seconds=1))
def kills(input: EmptyModel, ctx: Context) -> None:
    """Loses its worker every time."""
    os._exit(1)


@hatchet.task(name="curious", execution_timeout=timedelta(seconds=5))
def curious(input: EmptyModel, ctx: Context) -> dict[str, str]:
    """Tries what its role does not allow; the codes of the errors, by what was tried."""
    stack = os.environ["HEADRACE_STACK"]
    dynamodb, sqs = boto3.client("dynamodb"), boto3.client("sqs")
    queue = sqs.get_queue_url(QueueName=f"{stack}-doomed")["QueueUrl"]
    attempts = {
        "delete the table": lambda: dynamodb.delete_table(TableName=stack),
        "scan the table": lambda: dynamodb.scan(TableName=stack),
        "receive from another worker's queue": lambda: sqs.receive_message(QueueUrl=queue),
        "list buckets": lambda: boto3.client("s3").list_buckets(),
    }
    found = {}
    for what, attempt in attempts.items():
        try:
            attempt()
            found[what] = "allowed"
        except ClientError as error:
            found[what] = error.response["Error"]["Code"]
    return found


@hatchet.task(name="much-later", retries=1, backoff_factor=1_000.0, backoff_max_seconds=3_000)
def much_later(input: EmptyModel, ctx: Context) -> dict[str, int]:
    """Its retry is due after more than SQS can delay, so a timer keeps it."""
    if ctx.retry_count == 0:
        raise ConnectionError("not yet")
    return {"retry_count": ctx.retry_count}


@hatchet.task(name="large", input_validator=dict)
def large(input: dict[str, str], ctx: Context) -> dict[str, str]:
    """An input over the size of a message and an item: it goes through the bucket, and comes back the same way."""
    return {"text": input["text"] + "."}


options = {"timeout": timedelta(seconds=11), "visibility_timeout": timedelta(seconds=11), "memory": 256}
hatchet.worker("robust", workflows=[stubborn, dies_once], **options)
hatchet.worker("doomed", workflows=[kills], **options)
hatchet.worker("plain", workflows=[much_later, large, curious], maximum_concurrency=2)
