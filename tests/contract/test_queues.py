"""What every Queues does, as tables and sentences."""

from __future__ import annotations

import json
from itertools import count

import pytest

from contract.backends import MAX_RECEIVE_COUNT, VISIBILITY_S, Backend
from headrace.errors import HeadraceError, PayloadTooLargeError, QueueUnavailable
from headrace.ports import MAX_MESSAGE_BYTES, Outgoing, Received

NUMBERS = count(1)


@pytest.fixture
def queue(backend: Backend) -> str:
    name = f"queue-{next(NUMBERS)}"
    backend.make(name)
    return name


def drain(backend: Backend, queue: str, visibility_s: int | None = None) -> list[Received]:
    out: list[Received] = []
    while batch := backend.queues.receive(queue, limit=10, wait_s=0, visibility_s=visibility_s):
        out.extend(batch)
    return out


def one(backend: Backend, queue: str, visibility_s: int | None = None) -> Received:
    (found,) = backend.queues.receive(queue, limit=10, wait_s=0, visibility_s=visibility_s)
    return found


BODIES = {
    "text": "plain",
    "not ASCII": '{"ä": "😀\u2028"}',
    "white space": "\t\r\n x",
    "markup": "<a href='&amp;'>]]></a>",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_message_arrives_as_it_was_sent(backend: Backend, queue: str, body: str) -> None:
    backend.queues.send(queue, [Outgoing(body=body)])
    found = one(backend, queue)
    assert (found.queue, found.body, found.receive_count) == (queue, body, 1)
    assert found.sent_at_ms > 1_700_000_000_000
    assert found.message_id
    assert found.receipt


def test_an_empty_queue_has_nothing(backend: Backend, queue: str) -> None:
    backend.queues.send(queue, [])
    assert backend.queues.receive(queue, limit=10, wait_s=0) == []


@pytest.mark.parametrize("number", [0, 1, 2, 10, 23])
def test_many_messages_are_deleted_at_once_whether_or_not_they_are_there(
    backend: Backend, queue: str, number: int
) -> None:
    backend.queues.send(queue, [Outgoing(body=str(each)) for each in range(number + 1)])
    found = drain(backend, queue)
    kept, gone = found[0], found[1:]
    backend.queues.delete_many(gone[:1])
    backend.queues.delete_many(gone)
    backend.queues.delete_many(gone)
    for each in found:
        backend.queues.hide(each, 0)
    assert [each.body for each in drain(backend, queue)] == [kept.body]


@pytest.mark.parametrize("number", [2, 10, 11, 95])
def test_many_messages_arrive_once_each(backend: Backend, queue: str, number: int) -> None:
    bodies = {f"body {at}" for at in range(number)}
    backend.queues.send(queue, [Outgoing(body=body) for body in bodies])
    found = drain(backend, queue)
    assert {each.body for each in found} == bodies
    assert len(found) == number
    assert len({each.message_id for each in found}) == number


def test_large_messages_are_split_by_size(backend: Backend, queue: str) -> None:
    bodies = {f"{at}" * 600_000 for at in range(3)}
    backend.queues.send(queue, [Outgoing(body=body) for body in bodies])
    assert {each.body for each in drain(backend, queue)} == bodies


@pytest.mark.parametrize("limit", [1, 3, 10])
def test_no_more_than_asked_for(backend: Backend, queue: str, limit: int) -> None:
    backend.queues.send(queue, [Outgoing(body=f"{at}") for at in range(12)])
    assert len(backend.queues.receive(queue, limit=limit, wait_s=0)) == limit


def test_never_more_than_ten(backend: Backend, queue: str) -> None:
    backend.queues.send(queue, [Outgoing(body=f"{at}") for at in range(12)])
    assert len(backend.queues.receive(queue, limit=50, wait_s=0)) == 10


def test_the_largest_message(backend: Backend, queue: str) -> None:
    backend.queues.send(queue, [Outgoing(body="ä" * (MAX_MESSAGE_BYTES // 2))])
    assert len(one(backend, queue).body.encode()) == MAX_MESSAGE_BYTES


REFUSED = {
    "a byte too large": [Outgoing(body="x" * (MAX_MESSAGE_BYTES + 1))],
    "too large in bytes": [Outgoing(body="ä" * (MAX_MESSAGE_BYTES // 2 + 1))],
    "one of several": [Outgoing(body="fine"), Outgoing(body="x" * (MAX_MESSAGE_BYTES + 1))],
    "a negative delay": [Outgoing(body="x", delay_s=-1)],
    "a delay over 15 minutes": [Outgoing(body="x", delay_s=901)],
}


@pytest.mark.parametrize("messages", REFUSED.values(), ids=REFUSED)
def test_what_sqs_cannot_take_is_refused_before_anything_is_sent(
    backend: Backend, queue: str, messages: list[Outgoing]
) -> None:
    with pytest.raises(HeadraceError) as error:
        backend.queues.send(queue, messages)
    assert not isinstance(error.value, QueueUnavailable)
    assert isinstance(error.value, PayloadTooLargeError) == (len(messages[-1].body) > 1)
    assert drain(backend, queue) == []


def test_the_longest_delay_is_taken(backend: Backend, queue: str) -> None:
    backend.queues.send(queue, [Outgoing(body="late", delay_s=900), Outgoing(body="now")])
    assert [each.body for each in drain(backend, queue)] == ["now"]


GROUPS = ["key", "with space", "ümlaut", "x" * 200, "a/b:c", "\n"]


def test_any_text_may_name_a_group(backend: Backend, queue: str) -> None:
    backend.queues.send(queue, [Outgoing(body=f"{at}", group=key) for at, key in enumerate(GROUPS)])
    backend.queues.send(queue, [Outgoing(body="alone", group="with space")])
    assert {each.body for each in drain(backend, queue)} == {"alone", *map(str, range(len(GROUPS)))}


@pytest.mark.parametrize("number", [1, 2, 25])
def test_messages_of_one_group_arrive_like_others(backend: Backend, queue: str, number: int) -> None:
    """Fair queues order nothing and hold nothing back: a group whose messages are in flight is delivered on."""
    group = "0123456789abcdef" * 2
    bodies = {f"{at}" for at in range(number)}
    backend.queues.send(queue, [Outgoing(body=body, group=group) for body in bodies])
    backend.queues.send(queue, [Outgoing(body="other"), Outgoing(body="late", group=group, delay_s=900)])
    found = drain(backend, queue)
    assert sorted(each.body for each in found) == sorted({*bodies, "other"})
    backend.queues.hide(found[0], 0)
    assert one(backend, queue).receive_count == 2


def test_json_with_characters_that_sqs_refuses_arrives_equal(backend: Backend, queue: str) -> None:
    value = {"text": "\ufffe\uffff\x00"}
    backend.queues.send(queue, [Outgoing(body=json.dumps(value, ensure_ascii=False))])
    assert json.loads(one(backend, queue).body) == value


def test_a_received_message_is_hidden(backend: Backend, queue: str) -> None:
    backend.queues.send(queue, [Outgoing(body="x")])
    assert one(backend, queue).receive_count == 1
    assert drain(backend, queue) == []


def test_visible_again_at_once(backend: Backend, queue: str) -> None:
    backend.queues.send(queue, [Outgoing(body="x")])
    first = one(backend, queue, visibility_s=0)
    second = one(backend, queue)
    backend.queues.hide(second, 0)
    third = one(backend, queue)
    assert [each.receive_count for each in (first, second, third)] == [1, 2, 3]
    assert len({each.message_id for each in (first, second, third)}) == 1
    assert len({each.sent_at_ms for each in (first, second, third)}) == 1


def test_a_deleted_message_is_gone_and_may_be_deleted_or_hidden_again(backend: Backend, queue: str) -> None:
    backend.queues.send(queue, [Outgoing(body="x")])
    found = one(backend, queue)
    backend.queues.delete(found)
    backend.queues.delete(found)
    backend.queues.hide(found, 0)
    backend.queues.hide(found, 60)
    assert drain(backend, queue) == []


def test_a_delivery_that_is_over_changes_no_later_one(backend: Backend, queue: str) -> None:
    backend.queues.send(queue, [Outgoing(body="x")])
    first = one(backend, queue)
    backend.queues.hide(first, 0)
    second = one(backend, queue)
    backend.queues.hide(first, 0)
    assert drain(backend, queue) == []
    backend.queues.delete(second)
    assert drain(backend, queue) == []


def test_hiding_what_is_visible_again_has_no_effect(backend: Backend, queue: str) -> None:
    backend.queues.send(queue, [Outgoing(body="x")])
    found = one(backend, queue, visibility_s=0)
    backend.queues.hide(found, 60)
    assert one(backend, queue).receive_count == 2


def test_the_last_delivery_may_be_deleted_when_it_is_visible_again(backend: Backend, queue: str) -> None:
    backend.queues.send(queue, [Outgoing(body="x")])
    backend.queues.delete(one(backend, queue, visibility_s=0))
    assert drain(backend, queue) == []


def test_an_older_receipt_deletes_without_error_and_in_memory_without_effect(
    backend: Backend, queue: str
) -> None:
    """SQS: "the request succeeds, but the message might not be deleted". Memory takes the worse of the two."""
    backend.queues.send(queue, [Outgoing(body="x")])
    older = one(backend, queue, visibility_s=0)
    newer = one(backend, queue)
    backend.queues.delete(older)
    backend.queues.hide(newer, 0)
    left = [each.body for each in drain(backend, queue)]
    assert left == ["x"] or (left == [] and backend.name != "memory")


@pytest.mark.parametrize("seconds", [-1, 43_201])
def test_a_visibility_that_sqs_does_not_take(backend: Backend, queue: str, seconds: int) -> None:
    backend.queues.send(queue, [Outgoing(body="x")])
    with pytest.raises(HeadraceError) as error:
        backend.queues.hide(one(backend, queue), seconds)
    assert not isinstance(error.value, QueueUnavailable)


def test_what_was_received_too_often_goes_to_the_dead_letters(backend: Backend, queue: str) -> None:
    body = f"letter of {queue}"
    backend.queues.send(queue, [Outgoing(body=body)])
    counts = []
    while found := backend.queues.receive(queue, limit=1, wait_s=0):
        counts.append(found[0].receive_count)
        backend.queues.hide(found[0], 0)
    assert counts == [*range(1, MAX_RECEIVE_COUNT + 1)]
    letters = [each for each in drain(backend, "dead-letters", visibility_s=1) if each.body == body]
    assert len(letters) == 1
    backend.queues.delete(letters[0])


def test_the_default_visibility_is_the_queue_s(backend: Backend, queue: str) -> None:
    if backend.name == "ministack":
        pytest.skip(f"it would wait {VISIBILITY_S} s of real time")
    backend.queues.send(queue, [Outgoing(body="x")])
    one(backend, queue)
    backend.elapse(VISIBILITY_S - 2)
    assert drain(backend, queue) == []
    backend.elapse(3)
    assert one(backend, queue).receive_count == 2


def test_queues_that_were_used_are_known(backend: Backend, queue: str) -> None:
    backend.queues.send(queue, [Outgoing(body="x")])
    assert queue in set(backend.queues.known())
