"""New items in batches: what goes into a request, and what happens where one is not taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from headrace.aws.clients import Clients
from headrace.aws.dynamodb.inserts import batches_of, is_insert
from headrace.aws.dynamodb.store import AwsStore
from headrace.aws.transport import Refusal, Service, Unreachable
from headrace.core.changes import ALWAYS, ITEM_MISSING, Applied, Delete, Key, Put, Refused, Write
from headrace.errors import StoreUnavailable


def new(number: int, **item: Any) -> Put:
    return Put(key=Key("run#1", f"{number:03}"), item={"n": number, **item}, require=ITEM_MISSING)


@pytest.mark.parametrize(
    ("write", "is_one"),
    [
        (new(1), True),
        (Put(key=Key("a", "b"), item={}, require=ALWAYS), False),
        (Put(key=Key("a", "b"), item={"it's": 1}, require=ITEM_MISSING), False),
        (Put(key=Key("a", "b"), item={f"{'x' * 90}{n}": 1 for n in range(90)}, require=ITEM_MISSING), False),
        (Delete(key=Key("a", "b"), require=ITEM_MISSING), False),
    ],
)
def test_what_an_insert_can_say(write: Write, is_one: bool) -> None:
    assert is_insert(write) is is_one


def test_a_request() -> None:
    [(puts, request)] = batches_of([new(1, b=b"x")], "shop")
    assert puts == [new(1, b=b"x")]
    assert request == {
        "Statements": [
            {
                "Statement": "INSERT INTO \"shop\" VALUE {'n': ?, 'b': ?, 'pk': ?, 'sk': ?}",
                "Parameters": [{"N": "1"}, {"B": b"x"}, {"S": "run#1"}, {"S": "001"}],
            }
        ]
    }


def test_25_a_request_and_each_item_once() -> None:
    puts = [new(number) for number in range(60)]
    assert [len(batch) for batch, _ in batches_of(puts, "shop")] == [25, 25, 10]
    assert [len(batch) for batch, _ in batches_of([puts[0], puts[0], puts[1]], "shop")] == [1, 2]


class Played:
    """Answers every insert with what is played; single puts succeed, but for items that exist."""

    inserts = True

    def __init__(self, *played: Any, existing: str = "") -> None:
        self.played = list(played)
        self.existing = existing
        self.operations: list[str] = []

    def clients(self) -> Clients:
        raise NotImplementedError

    def call(self, service: Service, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        self.operations.append(operation)
        if operation == "BatchExecuteStatement":
            found = self.played.pop(0)
            if isinstance(found, Exception):
                raise found
            return {"Responses": found}
        if request["Item"]["sk"]["S"] == self.existing:
            old = {"Item": {"pk": {"S": "run#1"}, "sk": request["Item"]["sk"], "old": {"N": "1"}}}
            code = "ConditionalCheckFailedException"
            raise Refusal(operation, code=code, message="", status=400, answer=old)
        return {}


def store_on(played: Played) -> AwsStore:
    return AwsStore(played, table="shop", bucket=lambda: "b", stack="shop")


WRITES = [new(0), new(1), new(2)]
APPLIED = [Applied({**put.item, "pk": put.key.pk, "sk": put.key.sk}) for put in WRITES]


def refused(code: str, status: int = 400) -> Refusal:
    return Refusal("BatchExecuteStatement", code=code, message="m", status=status)


def test_all_in_one_request() -> None:
    played = Played([{}, {}, {}])
    assert store_on(played).write_many(WRITES) == APPLIED
    assert played.operations == ["BatchExecuteStatement"]


def test_one_that_exists_brings_back_what_is_there() -> None:
    played = Played([{}, {"Error": {"Code": "DuplicateItem"}}, {}], existing="001")
    found = store_on(played).write_many(WRITES)
    assert found == [APPLIED[0], Refused({"pk": "run#1", "sk": "001", "old": 1}), APPLIED[2]]


def test_one_that_is_throttled_is_put_alone() -> None:
    played = Played([{}, {}, {"Error": {"Code": "ProvisionedThroughputExceeded"}}])
    assert store_on(played).write_many(WRITES) == APPLIED
    assert played.operations == ["BatchExecuteStatement", "PutItem"]


@pytest.mark.parametrize(
    ("refusal", "asks_again"),
    [
        (refused("AccessDeniedException"), False),
        (refused("ValidationException"), False),
        (refused("UnknownOperationException"), False),
        (refused("500", 500), False),
        (refused("ThrottlingException"), True),
        (refused("InternalServerError", 500), True),
    ],
)
def test_where_there_are_no_statements_items_are_put_one_by_one(refusal: Refusal, asks_again: bool) -> None:
    played = Played(refusal, [{}, {}, {}])
    store = store_on(played)
    assert store.write_many(WRITES) == APPLIED
    assert played.operations == ["BatchExecuteStatement"] + ["PutItem"] * 3
    assert store.write_many(WRITES) == APPLIED
    assert (played.operations[4] == "BatchExecuteStatement") is asks_again


def test_no_answer_is_no_answer() -> None:
    with pytest.raises(StoreUnavailable, match="table shop"):
        store_on(Played(Unreachable("reset"))).write_many(WRITES)
