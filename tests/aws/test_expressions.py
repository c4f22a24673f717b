"""A write as the parameters of the API."""

from __future__ import annotations

import pytest

from headrace.aws.dynamodb.expressions import request_of
from headrace.aws.dynamodb.items import from_wire, to_wire
from headrace.core.changes import (
    ALWAYS,
    ITEM_MISSING,
    AtLeast,
    AtMost,
    Condition,
    Delete,
    Equal,
    Exists,
    Key,
    Missing,
    Put,
    SizeBelow,
    Update,
    Value,
    either,
    every,
)

KEY = Key("run#1", "run")
WIRE_KEY = {"pk": {"S": "run#1"}, "sk": {"S": "run"}}

NEVER = "(attribute_exists(pk) AND attribute_not_exists(pk))"
A, B, C = Exists(("a",)), Missing(("b",)), Equal(("c",), 1)
CONDITIONS: list[tuple[Condition, str | None]] = [
    (ALWAYS, None),
    (every(ALWAYS, every()), None),
    (either(A, ALWAYS), None),
    (either(), NEVER),
    (every(A, either()), f"(attribute_exists(#0) AND {NEVER})"),
    (A, "attribute_exists(#0)"),
    (Exists(("t", "a.b", "t")), "attribute_exists(#0.#1.#0)"),
    (every(A), "attribute_exists(#0)"),
    (every(A, ALWAYS), "attribute_exists(#0)"),
    (either(every(A, B)), "(attribute_exists(#0) AND attribute_not_exists(#1))"),
    (every(A, either(B, C)), "(attribute_exists(#0) AND (attribute_not_exists(#1) OR #2 = :0))"),
    (either(AtMost(("n",), 3), AtLeast(("n",), 5)), "(#0 <= :0 OR #0 >= :1)"),
    (SizeBelow(("holders",), 2), "size(#0) < :0"),
]


@pytest.mark.parametrize(("condition", "text"), CONDITIONS, ids=lambda value: str(value)[:60])
def test_conditions(condition: Condition, text: str | None) -> None:
    _, request = request_of(Delete(key=KEY, require=condition), "shop")
    assert request.get("ConditionExpression") == text
    assert (request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD") == (text is not None)


def test_an_update() -> None:
    update = Update(
        key=KEY,
        require=Equal(("tasks", "my task.1", "ticket"), 4),
        sets={("tasks", "my task.1", "status"): "RUNNING", ("seen",): None},
        removes=(("lease",), ("tasks", "lease")),
        adds={("n",): 2, ("members",): frozenset({3, 1})},
        takes={("left",): frozenset({7})},
    )
    assert request_of(update, "shop") == (
        "UpdateItem",
        {
            "TableName": "shop",
            "Key": WIRE_KEY,
            "ReturnValues": "ALL_NEW",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            "ConditionExpression": "#0.#1.#2 = :0",
            "UpdateExpression": "SET #0.#1.#3 = :1, #4 = :2 REMOVE #5, #0.#5 ADD #6 :3, #7 :4 DELETE #8 :5",
            "ExpressionAttributeNames": {
                "#0": "tasks", "#1": "my task.1", "#2": "ticket", "#3": "status", "#4": "seen", "#5": "lease",
                "#6": "n", "#7": "members", "#8": "left",
            },
            "ExpressionAttributeValues": {
                ":0": {"N": "4"}, ":1": {"S": "RUNNING"}, ":2": {"NULL": True}, ":3": {"N": "2"},
                ":4": {"NS": ["1", "3"]}, ":5": {"NS": ["7"]},
            },
        },
    )  # fmt: skip


def test_a_put_and_a_delete() -> None:
    assert request_of(Put(key=KEY, item={"n": 1}, require=ITEM_MISSING), "shop") == (
        "PutItem",
        {
            "TableName": "shop",
            "Item": {"n": {"N": "1"}, **WIRE_KEY},
            "ConditionExpression": "attribute_not_exists(#0)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            "ExpressionAttributeNames": {"#0": "pk"},
        },
    )
    assert request_of(Delete(key=KEY), "shop") == ("DeleteItem", {"TableName": "shop", "Key": WIRE_KEY})


def test_an_update_of_nothing_names_nothing() -> None:
    assert request_of(Update(key=KEY), "shop") == (
        "UpdateItem",
        {"TableName": "shop", "Key": WIRE_KEY, "ReturnValues": "ALL_NEW"},
    )


VALUES: list[tuple[Value, dict[str, object]]] = [
    (None, {"NULL": True}),
    (True, {"BOOL": True}),
    (False, {"BOOL": False}),
    (0, {"N": "0"}),
    (-(10**37), {"N": f"-1{'0' * 37}"}),
    ("", {"S": ""}),
    (b"\x00", {"B": b"\x00"}),
    (frozenset({2, -1}), {"NS": ["-1", "2"]}),
    ([1, ["a"]], {"L": [{"N": "1"}, {"L": [{"S": "a"}]}]}),
    ({"a": {"b": True}}, {"M": {"a": {"M": {"b": {"BOOL": True}}}}}),
    ({}, {"M": {}}),
]


@pytest.mark.parametrize(("value", "wire"), VALUES, ids=lambda value: str(value)[:30])
def test_values_and_back(value: Value, wire: dict[str, object]) -> None:
    assert to_wire(value) == wire
    assert from_wire(wire) == value
    assert type(from_wire(wire)) is type(value)


@pytest.mark.parametrize("wire", [{"SS": ["a"]}, {"N": "1.5"}, {}], ids=str)
def test_what_headrace_never_writes_is_not_guessed_at(wire: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"not an attribute|invalid literal for int"):
        from_wire(wire)
