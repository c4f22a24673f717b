"""CPU a run costs in the worker's handler, beside a bare handler that makes the same two boto3 calls.

    python benchmarks/worker_overhead.py

DynamoDB is a server that answers at once; both handlers parse a message, claim, compute and commit. The bare one calls it through
boto3, Headrace through its lean transport. Exit code 1 where the ratio is over the aim.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [
    str(ROOT / "sdk"),
    str(ROOT / "handlers"),
    str(ROOT / "infra"),
    str(Path(__file__).resolve().parent),
]
for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
    os.environ.pop(name, None)
os.environ.update(
    AWS_DEFAULT_REGION="us-east-1",
    AWS_ACCESS_KEY_ID="x",
    AWS_SECRET_ACCESS_KEY="x",
    HEADRACE_QUEUES='{"default": "https://sqs.us-east-1.amazonaws.com/1/headrace-default"}',
)

import boto3
from instant_aws import instant_aws
from pydantic import BaseModel

from headrace import Context, Headrace
from headrace.aws.dynamodb.items import item_to_wire
from headrace.core.changes import apply
from headrace.core.run.message import TaskMessage, encode_message
from headrace.core.run.record import Payload, RunRecord
from headrace.core.run.transitions.claim import create
from headrace.telemetry.events import TaskEvent
from headrace_handlers.worker import make_handler

RUNS = 200
ROUNDS = 5
AIM = 0.5
T0 = time.time_ns() // 1_000_000

app = Headrace()


class In(BaseModel):
    message: str


class Out(BaseModel):
    transformed_message: str


@app.task(input_validator=In)
def simple(input: In, ctx: Context) -> Out:
    return Out(transformed_message=input.message.lower())


def record() -> RunRecord:
    return RunRecord(
        run_id="00000000-0000-4000-8000-000000000000",
        plan=simple.plan(),
        input=Payload.inline('{"message":"Hello, World!"}'),
        created_at_ms=T0,
        expires_at_s=T0 // 1000 + 10**6,
    )


def message() -> str:
    start = TaskMessage(
        run_id=record().run_id,
        task="simple",
        number=0,
        queued_at_ms=T0,
        start_by_ms=T0 + 10**9,
        record=record(),
    )
    return encode_message(start)


def event(body: str) -> dict[str, Any]:
    attributes = {"ApproximateReceiveCount": "1", "SentTimestamp": str(T0)}
    source = "arn:aws:sqs:us-east-1:1:headrace-default"
    entry = {
        "messageId": "m",
        "receiptHandle": "r",
        "body": body,
        "attributes": attributes,
        "messageAttributes": {},
    }
    return {
        "Records": [{**entry, "eventSource": "aws:sqs", "eventSourceARN": source, "awsRegion": "us-east-1"}]
    }


def bare_handler() -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    """The same work by hand: no retries, no fence, no deadline, nobody to wait for the result."""
    client = boto3.client("dynamodb")

    def update(key: str, values: dict[str, Any], condition: str, names: dict[str, str]) -> Any:
        return client.update_item(
            TableName="headrace",
            Key={"pk": {"S": key}, "sk": {"S": "run"}},
            UpdateExpression="SET #t.#n = :row",
            ConditionExpression=condition,
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=values,
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        for entry in event["Records"]:
            body = json.loads(entry["body"])
            key, names = f"run#{body['run']}", {"#p": "pk", "#t": "tasks", "#n": "simple"}
            row = {"M": {"s": {"S": "R"}, "o": {"S": "abcdefgh"}, "b": {"N": str(T0)}}}
            update(key, {":row": row}, "attribute_exists(#p) AND attribute_not_exists(#t.#n)", names)
            value = In.model_validate_json(body["start"]["in"])
            text = Out(transformed_message=value.message.lower()).model_dump_json()
            done = {"M": {"s": {"S": "C"}, "o": {"S": "abcdefgh"}, "out": {"S": text}}}
            fence = {":row": done, ":o": {"S": "abcdefgh"}}
            update(key, fence, "attribute_exists(#p) AND #t.#n.#o = :o", {**names, "#o": "o"})
        return {"batchItemFailures": []}

    return handler


class NoMetrics:
    """Headrace's own metrics are beside the point here, as the bare handler has none."""

    def heard(self, event: TaskEvent) -> None: ...

    def flush(self) -> None: ...


def cpu_ms(handler: Callable[[dict[str, Any], Any], dict[str, Any]], body: str) -> float:
    """CPU of this process a run, in milliseconds."""
    batch = event(body)
    began = time.process_time()
    for _ in range(RUNS):
        answer = handler(batch, None)
        assert answer == {"batchItemFailures": []}, answer
    return (time.process_time() - began) / RUNS * 1000


def main() -> int:
    created = apply(create(record()), None).item
    assert created is not None
    body = message()
    with instant_aws(item_to_wire(created), []) as aws:
        os.environ["AWS_ENDPOINT_URL"] = aws.url
        bare = bare_handler()
        ours = make_handler(app, "default", metrics=NoMetrics(), stop_process=lambda reason: None)
        for handler in (bare, ours):
            cpu_ms(handler, body)
        pairs = [(cpu_ms(bare, body), cpu_ms(ours, body)) for _ in range(ROUNDS)]
    ratio = statistics.median(b / a for a, b in pairs)
    print("| handler | CPU a run, ms |\n|---|---:|")
    print(f"| bare boto3, two UpdateItem | {statistics.median(a for a, _ in pairs):.2f} |")
    print(f"| Headrace | {statistics.median(b for _, b in pairs):.2f} |")
    print(f"| ratio (aim: at most {AIM}) | {ratio:.2f} |")
    return int(ratio > AIM)


if __name__ == "__main__":
    sys.exit(main())
