"""Workers that die, code that does not stop, roles that say no: on a deployed stack."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from deployed.conftest import Stack
from deployed.waiting import until
from headrace import FailedTaskRunExceptionGroup

pytestmark = [pytest.mark.deployed, pytest.mark.timeout(280)]


def test_code_that_no_signal_reaches_ends_with_its_process(trouble: Stack) -> None:
    started = time.monotonic()
    with pytest.raises(FailedTaskRunExceptionGroup) as caught:
        trouble.module.stubborn.run()
    assert caught.value.exceptions[0].exc == "Task exceeded timeout of 1s"
    assert time.monotonic() - started < 12


def test_a_lost_worker_is_taken_over_without_a_retry(trouble: Stack, tmp_path: Path) -> None:
    mark = tmp_path / "died"
    trouble.module.dies_once.run(trouble.module.Mark(path=str(mark)))  # it has no retries
    assert mark.exists()


def test_a_message_that_kills_every_worker_ends_as_failed(trouble: Stack) -> None:
    sqs = trouble.client("sqs")
    url = sqs.get_queue_url(QueueName=f"{trouble.name}-doomed")["QueueUrl"]
    redrive = json.loads(
        sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])["Attributes"][
            "RedrivePolicy"
        ]
    )
    sqs.set_queue_attributes(
        QueueUrl=url, Attributes={"RedrivePolicy": json.dumps(redrive | {"maxReceiveCount": 1})}
    )
    with pytest.raises(FailedTaskRunExceptionGroup) as caught:
        trouble.module.kills.run()
    assert caught.value.exceptions[0].exc_type == "DeadLetterError"
    assert "delivered too often" in caught.value.exceptions[0].exc


def test_a_role_allows_what_headrace_needs_and_no_more(trouble: Stack) -> None:
    found = trouble.module.curious.run()
    assert set(found) == {
        "delete the table",
        "scan the table",
        "receive from another worker's queue",
        "list buckets",
    }
    assert {code.split(".")[-1] for code in found.values()} <= {"AccessDenied", "AccessDeniedException"}


def test_a_payload_over_the_size_of_an_item_goes_through_the_bucket(trouble: Stack) -> None:
    text = "x" * 900_000
    assert trouble.module.large.run({"text": text}) == {"text": text + "."}
    bucket = f"{trouble.name}-000000000000-us-east-1"
    assert trouble.client("s3").list_objects_v2(Bucket=bucket)["KeyCount"] >= 1


def test_the_clock_sends_what_is_due(trouble: Stack) -> None:
    """A retry after more than SQS can delay is a timer; moved to now, the next tick of the schedule sends it."""
    run_id = trouble.module.much_later.run(wait_for_result=False).workflow_run_id
    dynamodb = trouble.client("dynamodb")

    def timer() -> dict[str, Any] | None:
        items = dynamodb.scan(
            TableName=trouble.name,
            FilterExpression="begins_with(pk, :timer) AND contains(body, :run)",
            ExpressionAttributeValues={":timer": {"S": "timer#"}, ":run": {"S": run_id}},
        )["Items"]
        return items[0] if items else None

    def cursor() -> int | None:
        item = dynamodb.get_item(
            TableName=trouble.name, Key={"pk": {"S": "clock"}, "sk": {"S": "cursor"}}
        ).get("Item")
        return int(item["minute"]["N"]) if item else None

    found = until(timer, within_s=20, what="the timer")
    due_in_s = int(found["due"]["N"]) / 1000 - time.time()
    assert 900 < due_in_s <= 1_000
    shard = found["pk"]["S"].rpartition("#")[2]
    for _ in range(2):  # once more if the clock passed by in between
        now_ms = int(time.time() * 1000)
        minute = cursor() or now_ms // 60_000  # a clock without a cursor looks back
        moved = found | {"pk": {"S": f"timer#{minute}#{shard}"}, "due": {"N": str(now_ms)}}
        dynamodb.put_item(TableName=trouble.name, Item=moved)
        if cursor() in (None, minute):
            break
    dynamodb.delete_item(TableName=trouble.name, Key={"pk": found["pk"], "sk": found["sk"]})
    result = trouble.app.runs.get_run_ref(run_id).result()
    assert result["much-later"]["retry_count"] == 1
