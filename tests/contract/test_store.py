"""What every Store does, as tables."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from contract.backends import Backend
from headrace.core.changes import (
    ALWAYS,
    ITEM_EXISTS,
    ITEM_MISSING,
    Applied,
    AtLeast,
    AtMost,
    Condition,
    Delete,
    Equal,
    Exists,
    Item,
    Key,
    Missing,
    Put,
    Refused,
    SizeBelow,
    Update,
    either,
    every,
)
from headrace.errors import HeadraceError, QueueUnavailable, StoreUnavailable
from headrace.ports import MAX_ITEM_BYTES

NUMBERS = count(1)


@pytest.fixture
def key() -> Key:
    return Key(f"run#{next(NUMBERS)}", "run")


def whole(key: Key, item: Item) -> Item:
    return {**item, "pk": key.pk, "sk": key.sk}


ITEM: Item = {
    "text": "ä\n\u2028😀",
    "empty": "",
    "number": -(10**30),
    "zero": 0,
    "yes": True,
    "no": False,
    "nothing": None,
    "bytes": b"\x00\xff",
    "members": frozenset({1, 20, -3}),
    "list": [1, "a", None, [True], {}],
    "map": {"a": {"deep": [1]}, "with.dot and space#é": {"x": 1}, "size": 3},
}


def test_an_item_comes_back_as_it_was_put(backend: Backend, key: Key) -> None:
    assert backend.store.write(Put(key=key, item=ITEM)) == Applied(whole(key, ITEM))
    found = backend.store.get(key)
    assert found == whole(key, ITEM)
    assert [type(found[name]) for name in ("yes", "zero", "bytes", "members")] == [
        bool,
        int,
        bytes,
        frozenset,
    ]


def test_what_is_not_there_is_none(backend: Backend, key: Key) -> None:
    assert backend.store.get(key) is None
    assert backend.store.get_many([key, key]) == [None, None]
    assert backend.store.query(key.pk) == []
    assert backend.store.get_blob("no such object") is None
    assert backend.store.write(Delete(key=key)) == Applied(None)


HOLDS: dict[str, tuple[Condition, bool]] = {
    "always": (ALWAYS, True),
    "item exists": (ITEM_EXISTS, True),
    "item missing": (ITEM_MISSING, False),
    "exists deep": (Exists(("map", "a", "deep")), True),
    "exists in odd name": (Exists(("map", "with.dot and space#é", "x")), True),
    "exists through nothing": (Exists(("map", "b", "deep")), False),
    "exists through text": (Exists(("text", "deeper")), False),
    "equal through text": (Equal(("text", "deeper"), "x"), False),
    "missing through nothing": (Missing(("map", "b", "deep")), True),
    "zero is 0": (Equal(("zero",), 0), True),
    "no is False": (Equal(("no",), False), True),
    "zero is False": (Equal(("zero",), False), False),
    "yes is 1": (Equal(("yes",), 1), False),
    "other text": (Equal(("text",), "other"), False),
    "empty text": (Equal(("empty",), ""), True),
    "nothing is x": (Equal(("not there",), "x"), False),
    "zero at most 0": (AtMost(("zero",), 0), True),
    "zero at most -1": (AtMost(("zero",), -1), False),
    "nothing at most 1": (AtMost(("not there",), 1), False),
    "text at most 1": (AtMost(("text",), 1), False),
    "big at least itself": (AtLeast(("number",), -(10**30)), True),
    "zero at least 1": (AtLeast(("zero",), 1), False),
    "size of map": (SizeBelow(("map",), 4), True),
    "full map": (SizeBelow(("map",), 3), False),
    "size of set": (SizeBelow(("members",), 4), True),
    "full set": (SizeBelow(("members",), 3), False),
    "size of list": (SizeBelow(("list",), 6), True),
    "full bytes": (SizeBelow(("bytes",), 2), False),
    "size of empty text": (SizeBelow(("empty",), 1), True),
    "size of nothing": (SizeBelow(("not there",), 9), False),
    "nested holds": (every(Exists(("zero",)), either(Missing(("zero",)), Equal(("yes",), True))), True),
    "nested fails": (every(Exists(("zero",)), either(Missing(("zero",)), Equal(("yes",), False))), False),
    "or of and": (either(every(Exists(("zero",)), Missing(("zero",))), Exists(("text",))), True),
    "no choice": (either(), False),
    "always or": (either(ALWAYS, Missing(("zero",))), True),
    "always and": (every(ALWAYS, Missing(("zero",))), False),
}


@pytest.mark.parametrize(("condition", "expected"), HOLDS.values(), ids=HOLDS)
def test_conditions(backend: Backend, key: Key, condition: Condition, expected: bool) -> None:
    backend.store.write(Put(key=key, item=ITEM))
    written = backend.store.write(Update(key=key, require=condition, sets={("seen",): 1}))
    if expected:
        assert written == Applied(whole(key, {**ITEM, "seen": 1}))
    else:
        assert written == Refused(whole(key, ITEM))
        assert backend.store.get(key) == whole(key, ITEM)


def test_a_refusal_comes_before_a_path_that_leads_nowhere(backend: Backend, key: Key) -> None:
    """A settled row is a text where a running one is a map: who comes late is refused, and not told of a bad path."""
    backend.store.write(Put(key=key, item=ITEM))
    late = Update(
        key=key, require=Equal(("text", "o"), "me"), sets={("text", "l"): 1}, removes=(("text", "v"),)
    )
    assert backend.store.write(late) == Refused(whole(key, ITEM))


@pytest.mark.parametrize("kind", ["put", "update", "delete"])
def test_a_refusal_brings_back_the_item_or_none(backend: Backend, key: Key, kind: str) -> None:
    def attempt(require: Condition) -> Any:
        match kind:
            case "put":
                return backend.store.write(Put(key=key, item={"new": 1}, require=require))
            case "update":
                return backend.store.write(Update(key=key, sets={("new",): 1}, require=require))
            case _:
                return backend.store.write(Delete(key=key, require=require))

    assert attempt(ITEM_EXISTS) == Refused(None)
    backend.store.write(Put(key=key, item={"old": {"a": 1}}))
    assert attempt(ITEM_MISSING) == Refused(whole(key, {"old": {"a": 1}}))


UPDATES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("sets", {"sets": {("a",): 2, ("m", "x"): None, ("new",): {"deep": {}}}}, {"a": 2, "m": {"k": 1, "x": None}, "new": {"deep": {}}}),
    ("removes", {"removes": (("m", "k"), ("l",), ("not there",), ("m", "nor there"))}, {"m": {}, "l": None}),
    ("adds to numbers", {"adds": {("a",): -3, ("count",): 5}}, {"a": -2, "count": 5}),
    ("adds to sets", {"adds": {("s",): frozenset({2, 9}), ("t",): frozenset({1})}}, {"s": frozenset({1, 2, 9}), "t": frozenset({1})}),
    ("takes from sets", {"takes": {("s",): frozenset({2, 7}), ("t",): frozenset({1})}}, {"s": frozenset({1})}),
    ("takes the last", {"takes": {("s",): frozenset({1, 2})}}, {"s": None}),
    ("all at once", {"sets": {("m", "#x.y"): 1}, "removes": (("l",),), "adds": {("a",): 1}, "takes": {("s",): frozenset({1})}},
     {"m": {"k": 1, "#x.y": 1}, "l": None, "a": 2, "s": frozenset({2})}),
    ("nothing", {}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "after"), [row[1:] for row in UPDATES], ids=[row[0] for row in UPDATES])
def test_updates(backend: Backend, key: Key, changes: dict[str, Any], after: dict[str, Any]) -> None:
    before: Item = {"a": 1, "m": {"k": 1}, "l": [1], "s": frozenset({1, 2})}
    backend.store.write(Put(key=key, item=before))
    expected = {name: value for name, value in (before | after).items() if value is not None}
    assert backend.store.write(Update(key=key, **changes)) == Applied(whole(key, expected))
    assert backend.store.get(key) == whole(key, expected)


def test_an_update_of_a_missing_item_creates_it(backend: Backend, key: Key) -> None:
    assert backend.store.write(Update(key=key, adds={("n",): 1})) == Applied(whole(key, {"n": 1}))


INVALID: dict[str, dict[str, Any]] = {
    "a path through nothing": {"sets": {("no", "map"): 1}},
    "a path through a number": {"sets": {("a", "b"): 1}},
    "a removal through nothing": {"removes": (("no", "map"),)},
    "an addition through nothing": {"adds": {("no", "map"): 1}},
    "the same path twice": {"sets": {("a",): 1}, "removes": (("a",),)},
    "a path and one under it": {"sets": {("m",): {}, ("m", "k"): 1}},
    "an empty set": {"sets": {("a",): frozenset()}},
    "an empty set inside": {"sets": {("a",): {"b": [frozenset()]}}},
    "a number to a text": {"adds": {("t",): 1}},
    "a set to a number": {"adds": {("a",): frozenset({1})}},
    "a set from a number": {"takes": {("a",): frozenset({1})}},
    "the key": {"sets": {("sk",): "other"}},
}


@pytest.mark.parametrize("changes", INVALID.values(), ids=INVALID)
def test_invalid_updates_are_refused_and_change_nothing(
    backend: Backend, key: Key, changes: dict[str, Any]
) -> None:
    before: Item = {"a": 1, "m": {"k": 1}, "t": "text"}
    backend.store.write(Put(key=key, item=before))
    with pytest.raises(HeadraceError) as error:
        backend.store.write(Update(key=key, **changes))
    assert not isinstance(error.value, StoreUnavailable | QueueUnavailable)
    assert backend.store.get(key) == whole(key, before)


@pytest.mark.parametrize("over", [0, 1])
def test_the_largest_item(backend: Backend, key: Key, over: int) -> None:
    room = MAX_ITEM_BYTES - len(f"pk{key.pk}sk{key.sk}body")
    write = Put(key=key, item={"body": "x" * (room + over)})
    if over:
        with pytest.raises(HeadraceError):
            backend.store.write(write)
    assert over or isinstance(backend.store.write(write), Applied)
    assert (backend.store.get(key) is None) == bool(over)


def test_many_keys_in_the_order_asked_for(backend: Backend, key: Key) -> None:
    keys = [Key(key.pk, f"{number:04}") for number in range(230)]
    writes = [Put(key=each, item={"n": at}) for at, each in enumerate(keys) if at % 3]
    assert backend.store.write_many(writes) == [Applied(whole(each.key, each.item)) for each in writes]
    asked = [*reversed(keys), keys[1], keys[1]]
    found = backend.store.get_many(asked)
    assert [item and item["n"] for item in found] == [
        n if n % 3 else None for n in [*range(229, -1, -1), 1, 1]
    ]


INSERTED: Item = {"text": "it's \"é😀\"", "none": None, "yes": True, "map": {"a b'": [1, -2, {"x": []}]}, "raw": b"\x00\xff", "set": frozenset({1, 2})}  # fmt: skip


def test_many_new_items_are_put_where_they_are_missing(backend: Backend, key: Key) -> None:
    """Some are there already, one is put twice, some have names that no identifier has: each by its own condition."""
    keys = [Key(key.pk, f"{number:03}") for number in range(60)]
    for each in keys[::9]:
        backend.store.write(Put(key=each, item={"old": 1}))
    items: list[Item] = [{**INSERTED, "n": n} if n % 7 else {"it's": n} for n in range(60)]
    puts = [Put(key=each, item=item, require=ITEM_MISSING) for each, item in zip(keys, items, strict=True)]
    found = backend.store.write_many([*puts, puts[1]])
    for number, put in enumerate(puts):
        if number % 9:
            assert found[number] == Applied(whole(put.key, put.item))
            assert backend.store.get(put.key) == whole(put.key, put.item)
        else:
            assert found[number] == Refused(whole(put.key, {"old": 1}))
            assert backend.store.get(put.key) == whole(put.key, {"old": 1})
    assert found[60] == Refused(whole(keys[1], items[1]))


def test_many_writes_each_by_its_own_condition(backend: Backend, key: Key) -> None:
    backend.store.write(Put(key=key, item={}))
    other = Key(key.pk, "other")
    assert backend.store.write_many(
        [Put(key=key, item={}, require=ITEM_MISSING), Put(key=other, item={}, require=ITEM_MISSING)]
    ) == [Refused(whole(key, {})), Applied(whole(other, {}))]
    assert backend.store.write_many([]) == []


SORTED = ["a#1", "log#", "log#01", "log#02", "log#é", "log#\uffee", "log#😀", "logs", "z"]

QUERIES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, SORTED),
    ({"prefix": "log#"}, SORTED[1:7]),
    ({"prefix": "no"}, []),
    ({"after": "log#01"}, SORTED[3:]),
    ({"after": "log#011"}, SORTED[3:]),
    ({"prefix": "log#", "after": "log#01"}, SORTED[3:7]),
    ({"prefix": "log#", "after": "log#01", "limit": 2}, SORTED[3:5]),
    ({"prefix": "log#", "after": "a"}, SORTED[1:7]),
    ({"prefix": "log#", "after": "z"}, []),
    ({"prefix": "log#", "after": "log#😀"}, []),
    ({"limit": 3}, SORTED[:3]),
    ({"limit": 0}, []),
    ({"limit": 100, "consistent": False}, SORTED),
]


@pytest.mark.parametrize(("arguments", "expected"), QUERIES, ids=lambda value: str(value)[:40])
def test_queries(backend: Backend, key: Key, arguments: dict[str, Any], expected: list[str]) -> None:
    for sk in reversed(SORTED):
        backend.store.write(Put(key=Key(key.pk, sk), item={"body": sk}))
    assert [item["body"] for item in backend.store.query(key.pk, **arguments)] == expected


def test_a_query_over_several_pages_brings_all(backend: Backend, key: Key) -> None:
    for number in range(9):
        backend.store.write(Put(key=Key(key.pk, f"{number}"), item={"body": "x" * 300_000}))
    assert [item["sk"] for item in backend.store.query(key.pk)] == [f"{number}" for number in range(9)]
    assert [item["sk"] for item in backend.store.query(key.pk, limit=5)] == ["0", "1", "2", "3", "4"]


INDEX_QUERIES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["3", "2", "1", "0"]),
    ({"newest_first": False}, ["0", "1", "2", "3"]),
    ({"limit": 2}, ["3", "2"]),
    ({"low": "1", "high": "2"}, ["2", "1"]),
    ({"low": "11"}, ["3", "2"]),
    ({"low": "3", "high": "1"}, []),
    ({"high": "0"}, ["0"]),
]


@pytest.mark.parametrize(("index", "names"), [("listing", ("lpk", "lsk")), ("failed", ("fpk", "fsk"))])
@pytest.mark.parametrize(("arguments", "expected"), INDEX_QUERIES, ids=lambda value: str(value)[:40])
def test_index_queries(
    backend: Backend,
    key: Key,
    index: str,
    names: tuple[str, str],
    arguments: dict[str, Any],
    expected: list[str],
) -> None:
    partition, order = names
    for number in range(4):
        item: Item = {partition: key.pk, order: str(number), "body": "is not in the index"}
        backend.store.write(Put(key=Key(f"{key.pk}#{number}", "run"), item=item))
    backend.store.write(Put(key=Key(f"{key.pk}#sparse", "run"), item={partition: key.pk}))
    found = backend.store.query_index(index, key.pk, **arguments)
    assert [item[order] for item in found] == expected
    assert all(set(item) == {"pk", "sk", partition, order} for item in found)


def test_an_item_leaves_the_index_with_its_attributes(backend: Backend, key: Key) -> None:
    backend.store.write(Put(key=key, item={"fpk": key.pk, "fsk": "1"}))
    assert len(backend.store.query_index("failed", key.pk)) == 1
    backend.store.write(Update(key=key, require=ITEM_EXISTS, removes=(("fpk",), ("fsk",))))
    assert backend.store.query_index("failed", key.pk) == []


def test_objects(backend: Backend) -> None:
    name = "payloads/run#1/out#täsk + 1"
    backend.store.put_blob(name, b"one")
    backend.store.put_blob(name, b"\x00two")
    assert backend.store.get_blob(name) == b"\x00two"


def test_what_was_handed_in_or_out_is_a_copy(backend: Backend, key: Key) -> None:
    inner: dict[str, Any] = {"a": [1]}
    backend.store.write(Put(key=key, item={"m": inner}))
    inner["a"].append(2)
    first: Any = backend.store.get(key)
    first["m"]["a"].append(3)
    refused: Any = backend.store.write(Put(key=key, item={}, require=ITEM_MISSING))
    refused.item["m"]["a"].append(4)
    assert backend.store.get(key) == whole(key, {"m": {"a": [1]}})
