"""What events are, which keys and fields match, and what a message of the queue may hold: tables."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from headrace.core import table
from headrace.core.events.envelopes import events_of
from headrace.core.events.event import (
    BadEvent,
    Event,
    Page,
    Trigger,
    decode_item,
    decode_message,
    encode_item,
    encode_message,
    event_id_at,
    event_key,
    time_of,
)
from headrace.core.events.match import matches
from headrace.core.events.subscription import (
    Equality,
    Shape,
    Subscription,
    decode_shape,
    encode_shape,
    equality_of,
    partition,
    partitions_for,
    shape_of,
    subscription_key,
    value_at,
)

T0 = 1_764_122_400_123


@pytest.mark.parametrize(
    ("pattern", "key", "expected"),
    [
        ("user:created", "user:created", True),
        ("user:created", "user:created:x", False),
        ("user:*", "user:", True),
        ("user:*", "user:a:b", True),
        ("user:*", "auser:a", False),
        ("*", "anything\nat all", True),
        ("*:created", "user:created", True),
        ("a*c*e", "abcde", True),
        ("a*c*e", "abdde", False),
        ("a.c", "abc", False),
        ("a[b]*", "a[b]c", True),
        ("User:*", "user:x", False),
        ("**", "", True),
    ],
)
def test_keys_with_wildcards(pattern: str, key: str, expected: bool) -> None:
    assert matches(pattern, key) is expected


def test_an_id_says_when_it_was_made_and_sorts_by_it() -> None:
    ids = [event_id_at(T0 + n, str(n).encode()) for n in range(200)]
    assert ids == sorted(ids)
    assert [time_of(each) for each in ids] == [T0 + n for n in range(200)]
    assert len({each[-12:] for each in ids}) == 200
    assert event_id_at(T0, b"x") == event_id_at(T0, b"x")
    assert time_of("6f1f7a2e-5d55-4c7a-9d0e-2b1d3a1c8e44") is None
    assert event_key("no id") is None


def test_newer_events_come_first_in_their_partition() -> None:
    old, new = event_id_at(T0, b"a"), event_id_at(T0 + 1, b"b")
    keys = [table.event_key(T0, old).sk, table.event_key(T0 + 1, new).sk]
    assert keys == sorted(keys, reverse=True)


FULL = Event(
    event_id=event_id_at(T0, b"e"),
    key="order:paid",
    pushed_at_ms=T0,
    payload='{"a":"\\"ü"}',
    scope="s",
    metadata={"m": [1, None]},
    priority=3,
    source={"hatchet__source_workflow_run_id": "r"},
    webhook="w",
)


@pytest.mark.parametrize(
    "event",
    [
        FULL,
        Event(event_id=FULL.event_id, key="k", pushed_at_ms=T0),
        Event(event_id=FULL.event_id, key="k", pushed_at_ms=T0, payload=None, stored=True),
    ],
)
def test_messages_and_items_say_all_of_an_event(event: Event) -> None:
    assert decode_message(json.loads(encode_message(event))) == (event, None)
    page = Page(partition="sub#x", after="y", came_ms=7)
    assert decode_message(json.loads(encode_message(event, page))) == (event, page)
    older = {**json.loads(encode_message(event)), "page": ["sub#x", "y"]}
    assert decode_message(older) == (event, replace(page, came_ms=None))
    triggers = (Trigger(workflow="w"), Trigger(workflow="w", filter_id="f", payload={"p": 1}))
    key = event_key(event.event_id)
    assert key is not None
    item = {**encode_item(event, triggers, expires_at_s=9), "pk": key.pk, "sk": key.sk}
    assert decode_item(item) == (event, triggers)


# ---------------------------------------------------------------- equality index

EQUALITIES: list[tuple[str | None, Equality | None]] = [
    ('input.order.id == "A1"', Equality(("order", "id"), "A1")),
    ("input.order.id == 'A1'", Equality(("order", "id"), "A1")),
    ('"A1" == input.order.id', Equality(("order", "id"), "A1")),
    ("input.n == 7", Equality(("n",), 7)),
    ("input.n == -7", Equality(("n",), -7)),
    ("input.paid == true", Equality(("paid",), True)),
    ('input["a b"].c == "x"', Equality(("a b", "c"), "x")),
    ('input.total > 5 && input.id == "x"', Equality(("id",), "x")),
    ('(input.id == "x")', Equality(("id",), "x")),
    ('(input.id == "x" && input.b) && input.c > 1', Equality(("id",), "x")),
    ('(input.a || input.b) && input.id == "x && y"', Equality(("id",), "x && y")),
    ('input.a.exists(v, v == 1 || v == 2) && input.id == "x"', Equality(("id",), "x")),
    # Not certain, so not taken: they go to the general partition and stay right.
    (None, None),
    ("true", None),
    ('input.id == "x" || input.b', None),
    ('input.id == "x" ? true : false', None),
    ('!(input.id == "x")', None),
    ('input.id == "x" == false', None),
    ('input.id != "x"', None),
    ("input.n == 1.0", None),
    ("input.n == 1u", None),
    ("input.n == 0x10", None),
    ("input.n == 9007199254740993", None),
    ('input.id == r"x"', None),
    ('input.id == b"x"', None),
    ('input.id == "x\\n"', None),
    ('input.id == """x"""', None),
    ('input.id + "y" == "xy"', None),
    ('input.id.lowerAscii() == "x"', None),
    ("size(input.items) == 3", None),
    ("input.a == input.b", None),
    ("input.a == null", None),
    ('input == "x"', None),
    ('event_key == "x"', None),
    ('input.a // input.b == "x"', None),
    ('input[0] == "x"', None),
    ("input.id == 'it' + 's'", None),
]


@pytest.mark.parametrize(("expression", "expected"), EQUALITIES)
def test_the_equality_that_an_expression_cannot_do_without(
    expression: str | None, expected: Equality | None
) -> None:
    assert equality_of(expression) == expected


VALUES: list[Any] = ["x", "A1", 7, -7, 7.0, 7.5, True, False, None, [1], {"id": "x"}, "x && y", 1, ""]


@pytest.mark.parametrize("expression", [text for text, found in EQUALITIES if text and found is not None])
def test_no_event_that_satisfies_an_expression_misses_its_partition(expression: str) -> None:
    """CEL itself is asked: wherever it says true, the event looks into the partition of the subscription."""
    from headrace.values.cel import Cel

    sub = Subscription(run_id="r", task="t", node=1, leaf=0, event_key="k", expression=expression)
    found = equality_of(expression)
    assert found is not None
    satisfied = 0
    for value in VALUES:
        payload: Any = {"total": 9, "b": True, "c": 5, "a": [1]}
        at = payload
        for name in found.path[:-1]:
            at[name] = {}
            at = at[name]
        at[found.path[-1]] = value
        try:
            true = Cel().evaluate(expression, {"input": payload}) is True
        except ValueError:
            continue
        looked = set(partitions_for("k", None, payload, [shape_of(sub)]))
        if true:
            satisfied += 1
            assert subscription_key(sub).pk in looked
    assert satisfied >= 1


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"a": {"b": "x"}}, "x"),
        ({"a": {"b": 3.0}}, 3),
        ({"a": {"b": 3.5}}, None),
        ({"a": {"b": False}}, False),
        ({"a": {"b": None}}, None),
        ({"a": {"b": {}}}, None),
        ({"a": 1}, None),
        ([], None),
        (None, None),
    ],
)
def test_the_value_at_a_path(payload: Any, expected: Any) -> None:
    assert value_at(payload, ("a", "b")) == expected


def test_partitions_are_told_apart() -> None:
    names = {
        partition(key, scope, pair)
        for key in ("k", 'k","s')
        for scope in (None, "s", "")
        for pair in (
            None,
            Equality(("a",), "1"),
            Equality(("a",), 1),
            Equality(("a",), True),
            Equality(("a", "1"), ""),
        )
    }
    assert len(names) == 2 * 3 * 5
    long = [partition("k", None, Equality(("a",), "v" * 3_000 + end)) for end in "ab"]
    assert len(set(long)) == 2
    assert all(len(each) < 600 for each in long)


def test_scoped_subscriptions_are_looked_for_by_events_of_a_scope_only() -> None:
    shapes = [Shape(False, None), Shape(True, None), Shape(True, ("a",))]
    assert [decode_shape(encode_shape(each)) for each in shapes] == shapes
    assert len(list(partitions_for("k", None, {"a": 1}, shapes))) == 1
    assert len(list(partitions_for("k", "s", {"a": 1}, shapes))) == 3
    assert len(list(partitions_for("k", "s", {}, shapes))) == 2


# ---------------------------------------------------------------- envelopes

BRIDGED = {
    "version": "0",
    "id": "17793124-05d4-b198-2fde-7ededc63b103",
    "detail-type": "Object Created",
    "source": "aws.s3",
    "account": "111122223333",
    "time": "2026-11-12T00:00:00Z",
    "region": "ca-central-1",
    "resources": ["arn:aws:s3:::bucket"],
    "detail": {"bucket": {"name": "bucket"}, "object": {"key": "a.csv", "size": 5}},
}
NOTIFIED = {
    "Records": [
        {
            "eventSource": "aws:s3",
            "awsRegion": "us-west-2",
            "eventTime": "2026-01-01T00:00:00.000Z",
            "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "b"}, "object": {"key": key, "sequencer": "1"}},
        }
        for key in ("one", "two")
    ]
}


def read(body: Any) -> list[Event]:
    text = body if isinstance(body, str) else json.dumps(body)
    return [event for event, _ in events_of(text, lambda key: f"dev_{key}", now_ms=T0)]


def test_eventbridge() -> None:
    [event] = read(BRIDGED)
    assert event.key == "dev_aws.s3:Object Created"
    assert json.loads(event.payload or "") == BRIDGED["detail"]
    assert time_of(event.event_id) == event.pushed_at_ms == 1_794_441_600_000
    assert event.metadata == {
        "aws_account": "111122223333",
        "aws_region": "ca-central-1",
        "aws_id": BRIDGED["id"],
    }
    assert read(BRIDGED) == [event]
    assert read({**BRIDGED, "id": "another"})[0].event_id != event.event_id


def test_s3_notifications() -> None:
    one, two = read(NOTIFIED)
    assert one.key == two.key == "dev_aws.s3:ObjectCreated:Put"
    assert json.loads(one.payload or "")["object"]["key"] == "one"
    assert one.event_id != two.event_id
    assert read(NOTIFIED) == [one, two]
    assert read({"Service": "Amazon S3", "Event": "s3:TestEvent"}) == []


def test_our_own_message_keeps_its_key() -> None:
    assert read(encode_message(FULL)) == [FULL]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("no json", "not JSON"),
        ("[]", "a JSON list, not an object"),
        ("{}", "not an event of Headrace, EventBridge or S3"),
        ({"Records": [{"eventSource": "aws:sns"}]}, "not an event of Headrace"),
        ({"event": []}, "`event` must be an object"),
        ({"event": {"id": "x"}}, "KeyError"),
        ({"event": {"id": "x", "key": "k", "at": 1}}, "must be a UUID of version 7"),
        ({"event": {"id": FULL.event_id, "key": "k", "at": "soon"}}, "ValueError"),
        ({"event": {"id": FULL.event_id, "key": "k", "at": 1, "meta": []}}, "metadata must be an object"),
    ],
)
def test_what_is_no_event(body: Any, message: str) -> None:
    with pytest.raises(BadEvent, match=message):
        read(body)
