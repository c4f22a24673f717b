"""Batches: how they are cut, what is sent again, what a lost answer is."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from aws.world import URL, Scripted, scripted
from headrace.aws.queues import TRIES, _batches, _entry
from headrace.core.changes import ITEM_MISSING, Applied, Key, Put, Refused
from headrace.core.run.plans.plan import GatePlan, RunPlan, TaskPlan
from headrace.core.run.record import Payload, RunRecord
from headrace.core.run.routing import Routing
from headrace.core.waits.passes import group_of
from headrace.errors import HeadraceError, QueueUnavailable, StoreUnavailable
from headrace.ports import MAX_MESSAGE_BYTES, Outgoing, Received

HALF = MAX_MESSAGE_BYTES // 2
CUTS: dict[str, tuple[list[int], list[int]]] = {
    "ten": ([1] * 10, [10]),
    "eleven": ([1] * 11, [10, 1]),
    "exactly the size": ([HALF, HALF], [2]),
    "a byte more": ([HALF, HALF + 1], [1, 1]),
    "the largest ones": ([MAX_MESSAGE_BYTES] * 3, [1, 1, 1]),
    "a small one after large ones": ([HALF, HALF, 1], [2, 1]),
}


@pytest.mark.parametrize(("sizes", "expected"), CUTS.values(), ids=CUTS)
def test_cuts(sizes: list[int], expected: list[int]) -> None:
    entries = [_entry(number, Outgoing(body="x" * size)) for number, size in enumerate(sizes)]
    batches = _batches(entries)
    assert [len(batch) for batch in batches] == expected
    assert [entry for batch in batches for entry in batch] == entries
    assert all(len({entry["Id"] for entry in batch}) == len(batch) for batch in batches)


def expected(*bodies: str) -> dict[str, Any]:
    return {
        "QueueUrl": URL,
        "Entries": [{"Id": body.split()[-1], "MessageBody": body} for body in bodies],
    }


def answer(sent: list[int], failed: dict[int, tuple[str, bool]]) -> dict[str, Any]:
    return {
        "Successful": [{"Id": str(n), "MessageId": "m", "MD5OfMessageBody": "d"} for n in sent],
        "Failed": [
            {"Id": str(n), "Code": code, "SenderFault": fault, "Message": "of AWS"}
            for n, (code, fault) in failed.items()
        ],
    }


MESSAGES = [Outgoing(body=f"body {number}") for number in range(3)]


def test_only_the_refused_entries_are_sent_again() -> None:
    with scripted() as world:
        throttled = answer([0], {1: ("InternalError", False), 2: ("RequestThrottled", True)})
        world.sqs.add_response("send_message_batch", throttled, expected("body 0", "body 1", "body 2"))
        world.sqs.add_response(
            "send_message_batch", answer([2], {1: ("InternalError", False)}), expected("body 1", "body 2")
        )
        world.sqs.add_response("send_message_batch", answer([1], {}), expected("body 1"))
        world.queues.send("work", MESSAGES)
    assert world.pauses == [0.05, 0.1]


def test_what_is_refused_to_the_end_raises() -> None:
    with scripted() as world:
        world.sqs.add_response("send_message_batch", answer([0, 2], {1: ("InternalError", False)}))
        for _ in range(TRIES - 1):
            world.sqs.add_response(
                "send_message_batch", answer([], {1: ("InternalError", False)}), expected("body 1")
            )
        with pytest.raises(QueueUnavailable, match=r"1 of 3 messages 6 times: of AWS"):
            world.queues.send("work", MESSAGES)
    assert len(world.pauses) == TRIES - 1


def test_a_fault_of_the_sender_is_not_tried_again() -> None:
    with scripted() as world:
        world.sqs.add_response("send_message_batch", answer([0, 2], {1: ("InvalidMessageContents", True)}))
        with pytest.raises(HeadraceError, match=r"SQS rejected the message for queue .*: of AWS") as error:
            world.queues.send("work", MESSAGES)
    assert not isinstance(error.value, QueueUnavailable)
    assert world.pauses == []


def test_a_single_message_is_no_batch() -> None:
    with scripted() as world:
        world.sqs.add_response(
            "send_message",
            {"MessageId": "m"},
            {"QueueUrl": URL, "MessageBody": "x", "DelaySeconds": 3, "MessageGroupId": "key"},
        )
        world.queues.send("work", [Outgoing(body="x", delay_s=3, group="key")])


GROUPS = {
    "key": "key",
    "a/b:c": "a/b:c",
    "x" * 128: "x" * 128,
    "x" * 129: sha256(b"x" * 129).hexdigest(),
    "with space": sha256(b"with space").hexdigest(),
    "ü": sha256("ü".encode()).hexdigest(),
    "line\n": sha256(b"line\n").hexdigest(),
}


@pytest.mark.parametrize(("key", "group"), GROUPS.items(), ids=lambda value: repr(value[:12]))
def test_a_group_that_sqs_does_not_take_is_hashed(key: str, group: str) -> None:
    with scripted() as world:
        request = {"QueueUrl": URL, "MessageBody": "x", "MessageGroupId": group}
        world.sqs.add_response("send_message", {"MessageId": "m"}, request)
        world.queues.send("work", [Outgoing(body="x", group=key)])


def test_each_entry_of_a_batch_has_its_own_group_or_none() -> None:
    with scripted() as world:
        entries = [
            {"Id": "0", "MessageBody": "body 0", "MessageGroupId": "ann"},
            {"Id": "1", "MessageBody": "body 1", "DelaySeconds": 2, "MessageGroupId": "bob"},
            {"Id": "2", "MessageBody": "body 2"},
        ]
        world.sqs.add_response(
            "send_message_batch", answer([0, 1, 2], {}), {"QueueUrl": URL, "Entries": entries}
        )
        groups = [("ann", 0), ("bob", 2), (None, 0)]
        world.queues.send(
            "work",
            [
                Outgoing(body=f"body {at}", group=group, delay_s=delay)
                for at, (group, delay) in enumerate(groups)
            ],
        )


KEYED = GatePlan(name="flow/0", expression="input.who", max_runs=1)


def test_the_group_of_a_key_is_sent_as_it_is() -> None:
    of = RunPlan(workflow="flow", version="1", tasks=(TaskPlan(name="t", gates=(KEYED,)),))
    run = RunRecord(
        run_id="r",
        plan=of,
        input=Payload(),
        created_at_ms=1,
        expires_at_s=1,
        routing=Routing(keys=("ä key\n",)),
    )
    group = group_of(run, "t")
    assert group is not None
    assert re.fullmatch("[0-9a-f]{32}", group)
    with scripted() as world:
        request = {"QueueUrl": URL, "MessageBody": "x", "MessageGroupId": group}
        world.sqs.add_response("send_message", {"MessageId": "m"}, request)
        world.queues.send("work", [Outgoing(body="x", group=group)])


def test_characters_that_sqs_does_not_take_are_sent_as_json_escapes() -> None:
    with scripted() as world:
        request = {"QueueUrl": URL, "MessageBody": r'"\ufffe\ud800ä"'}
        world.sqs.add_response("send_message", {"MessageId": "m"}, request)
        world.queues.send("work", [Outgoing(body='"\ufffe\ud800ä"')])


def test_a_queue_is_looked_up_once() -> None:
    with scripted(urls={}) as world:
        world.sqs.add_response("get_queue_url", {"QueueUrl": URL}, {"QueueName": "shop-work"})
        for _ in range(2):
            world.sqs.add_response("send_message", {"MessageId": "m"}, {"QueueUrl": URL, "MessageBody": "x"})
            world.queues.send("work", [Outgoing(body="x")])


OVER = [
    "ReceiptHandleIsInvalid",
    "AWS.SimpleQueueService.ReceiptHandleIsInvalid",
    "MessageNotInflight",
    "AWS.SimpleQueueService.MessageNotInflight",
    "InvalidParameterValue",
]
DELIVERED = Received(queue="work", body="x", receipt="r", receive_count=1, sent_at_ms=0)


@pytest.mark.parametrize("code", OVER)
def test_a_delivery_that_is_over_is_no_error(code: str) -> None:
    with scripted() as world:
        world.sqs.add_client_error("change_message_visibility", code)
        world.queues.hide(DELIVERED, 30)
        world.sqs.add_client_error("delete_message", code)
        world.queues.delete(DELIVERED)


def test_keys_left_unread_are_asked_for_again() -> None:
    wire = [{"pk": {"S": "p"}, "sk": {"S": f"{number}"}} for number in range(3)]
    with scripted() as world:
        left = {"shop": {"Keys": wire[1:], "ConsistentRead": True}}
        world.dynamodb.add_response(
            "batch_get_item", {"Responses": {"shop": wire[:1]}, "UnprocessedKeys": left},
            {"RequestItems": {"shop": {"Keys": wire, "ConsistentRead": True}}},
        )  # fmt: skip
        world.dynamodb.add_response(
            "batch_get_item", {"Responses": {"shop": wire[2:]}, "UnprocessedKeys": {}}, {"RequestItems": left}
        )
        found = world.store.get_many([Key("p", f"{number}") for number in range(3)])
    assert found == [{"pk": "p", "sk": "0"}, None, {"pk": "p", "sk": "2"}]
    assert world.pauses == [0.05]


def test_keys_never_read_are_no_missing_items() -> None:
    with scripted() as world:
        left = {"shop": {"Keys": [{"pk": {"S": "p"}, "sk": {"S": "0"}}]}}
        for _ in range(8):
            world.dynamodb.add_response("batch_get_item", {"Responses": {}, "UnprocessedKeys": left})
        with pytest.raises(StoreUnavailable, match="throttled"):
            world.store.get_many([Key("p", "0")])


PUT = Put(key=Key("run#1", "run"), item={"owner": "me"}, require=ITEM_MISSING)


def test_a_refusal_carries_the_item() -> None:
    with scripted() as world:
        world.dynamodb.add_client_error(
            "put_item",
            "ConditionalCheckFailedException",
            modeled_fields={"Item": {"pk": {"S": "run#1"}, "sk": {"S": "run"}, "owner": {"S": "other"}}},
        )
        assert world.store.write(PUT) == Refused({"pk": "run#1", "sk": "run", "owner": "other"})
        world.dynamodb.add_response("put_item", {})
        assert world.store.write(PUT) == Applied({"pk": "run#1", "sk": "run", "owner": "me"})


def lose(world: Scripted, service: str) -> None:
    """The request goes out, the answer never comes: after the last of botocore's own tries."""

    def lost(**_: Any) -> None:
        raise ReadTimeoutError(endpoint_url="https://aws")

    getattr(world, service).client.meta.events.register_last("before-call", lost)


def test_a_lost_answer_says_that_it_may_have_happened() -> None:
    with scripted() as world:
        lose(world, "dynamodb")
        with pytest.raises(StoreUnavailable, match="table shop"):
            world.store.write(PUT)
        lose(world, "sqs")
        with pytest.raises(QueueUnavailable, match="queue work"):
            world.queues.send("work", MESSAGES)


def test_deletions_that_are_refused_are_repeated_and_what_has_left_is_no_error() -> None:
    delivered = [
        Received(queue="work", body="x", receipt=f"r{number}", receive_count=1, sent_at_ms=0)
        for number in range(3)
    ]
    with scripted() as world:
        failed = [
            {"Id": "0", "Code": "ReceiptHandleIsInvalid", "SenderFault": True},
            {"Id": "2", "Code": "InternalError", "SenderFault": False, "Message": "later"},
        ]
        world.sqs.add_response("delete_message_batch", {"Successful": [{"Id": "1"}], "Failed": failed})
        world.sqs.add_response(
            "delete_message_batch",
            {"Successful": [{"Id": "2"}], "Failed": []},
            {"QueueUrl": URL, "Entries": [{"Id": "2", "ReceiptHandle": "r2"}]},
        )
        world.queues.delete_many(delivered)
    assert world.pauses == [0.05]


def test_deletions_that_are_refused_to_the_end_raise() -> None:
    delivered = [
        Received(queue="work", body="x", receipt=f"r{number}", receive_count=1, sent_at_ms=0)
        for number in range(2)
    ]
    with scripted() as world:
        for _ in range(6):
            world.sqs.add_response(
                "delete_message_batch",
                {"Successful": [], "Failed": [{"Id": "1", "Code": "InternalError", "SenderFault": False}]},
            )
        with pytest.raises(QueueUnavailable, match="all but 1 of 2"):
            world.queues.delete_many(delivered)
