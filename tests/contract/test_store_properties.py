"""The same random writes in memory and on the emulators give the same answers and leave the same table."""

from __future__ import annotations

from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.backends import Backend
from contract.differences import misjudged
from headrace.core.changes import (
    ALWAYS,
    ITEM_EXISTS,
    AtLeast,
    AtMost,
    Condition,
    Delete,
    Equal,
    Exists,
    Item,
    Key,
    Missing,
    Path,
    Put,
    SizeBelow,
    Update,
    Value,
    Write,
    either,
    every,
)
from headrace.memory.store import MemoryStore
from headrace.memory.validity import InvalidWrite

NUMBERS = count(1)
NAMES = st.sampled_from(["a", "size", "x.y #p :v[0]", "é"])
NUMBERS_AT = st.one_of(st.just(("size",)), NAMES.map(lambda name: ("a", "size", name)))
SETS_AT = st.one_of(st.just(("é",)), NAMES.map(lambda name: ("x.y #p :v[0]", name)))
ANYTHING_AT = NAMES.map(lambda name: ("a", "a", name))
PATHS = st.one_of(NUMBERS_AT, SETS_AT, ANYTHING_AT, st.lists(NAMES, min_size=1, max_size=3).map(tuple))
INTEGERS = st.one_of(st.integers(-3, 3), st.integers(-(10**37), 10**37))
SETS = st.frozensets(st.integers(0, 4), min_size=1, max_size=4)
SCALARS = st.one_of(INTEGERS, st.booleans(), st.none(), st.text(max_size=3), st.binary(max_size=3), SETS)
VALUES: st.SearchStrategy[Value] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=5,
)
ITEMS: st.SearchStrategy[Item] = st.dictionaries(NAMES, VALUES, max_size=4)
TREES: st.SearchStrategy[Item] = st.fixed_dictionaries(
    {
        "a": st.fixed_dictionaries({"a": ITEMS, "size": st.dictionaries(NAMES, st.integers(0, 3))}),
        "x.y #p :v[0]": st.dictionaries(NAMES, SETS),
    },
    optional={"size": st.integers(-3, 3), "é": SETS},
)
"""Items with maps to go into: what most paths find."""
LEAVES: st.SearchStrategy[Condition] = st.one_of(
    PATHS.map(Exists),
    PATHS.map(Missing),
    st.builds(Equal, PATHS, st.one_of(st.integers(-3, 3), st.booleans(), st.sampled_from(["", "a"]))),
    st.builds(AtMost, PATHS, st.integers(-3, 3)),
    st.builds(AtLeast, PATHS, st.integers(-3, 3)),
)
CHOICES: st.SearchStrategy[Condition] = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3).flatmap(
        lambda parts: st.sampled_from([every(*parts), either(*parts)])
    ),
    max_leaves=4,
)
CONDITIONS = st.one_of(st.just(ALWAYS), st.just(ITEM_EXISTS), CHOICES, CHOICES)


def _apart(paths: list[Path]) -> bool:
    return not any(path[:n] in paths for path in paths for n in range(1, len(path)))


@st.composite
def updates(draw: st.DrawFn, key: Key) -> Update:
    """Any update. One that would only remove asks that the item exists: AWS's guide leaves open whether it creates one."""
    paths = draw(st.lists(PATHS, max_size=4, unique=True).filter(_apart))
    sets: dict[Path, Value] = {}
    adds: dict[Path, int | frozenset[int]] = {}
    takes: dict[Path, frozenset[int]] = {}
    removes: list[Path] = []
    for path in paths:
        numbers, members = path[:2] == ("a", "size") or path == ("size",), path[0] in ("x.y #p :v[0]", "é")
        match draw(st.sampled_from(["set", "add", "take" if members else "set", "remove"])):
            case "set":
                sets[path] = draw(st.integers(-3, 3) if numbers else SETS if members else VALUES)
            case "add":
                adds[path] = draw(SETS) if members else draw(st.integers(-3, 3))
            case "take":
                takes[path] = draw(SETS)
            case _:
                removes.append(path)
    require = draw(CONDITIONS)
    if not sets and not adds:
        require = every(ITEM_EXISTS, require)
    return Update(key=key, require=require, sets=sets, adds=adds, takes=takes, removes=tuple(removes))


@st.composite
def writes(draw: st.DrawFn) -> Write:
    key = Key("", draw(st.sampled_from(["run", "run", "log#1"])))
    match draw(st.sampled_from(["put", "update", "update", "update", "delete"])):
        case "put":
            return Put(key=key, item=draw(TREES), require=draw(CONDITIONS))
        case "update":
            return draw(updates(key))
        case _:
            return Delete(key=key, require=draw(CONDITIONS))


def placed(write: Write, pk: str) -> Write:
    key = Key(pk, write.key.sk)
    match write:
        case Put():
            return Put(key=key, item=write.item, require=write.require)
        case Update():
            return Update(
                key=key, require=write.require, sets=write.sets, adds=write.adds, takes=write.takes,
                removes=write.removes,
            )  # fmt: skip
        case Delete():
            return Delete(key=key, require=write.require)


RUNS = settings(
    max_examples=120,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@RUNS
@given(tree=TREES, plan=st.lists(writes(), min_size=2, max_size=8))
def test_the_same_writes_give_the_same_answers(emulator: Backend, tree: Item, plan: list[Write]) -> None:
    """What is invalid, or known to be judged otherwise, is left out: the tables have it."""
    memory, pk = MemoryStore(), f"random#{next(NUMBERS)}"
    for write in [Put(key=Key("", "run"), item=tree), *plan]:
        here = placed(write, pk)
        if misjudged(emulator.name, here, memory.get(here.key)):
            continue
        try:
            expected = memory.write(here)
        except InvalidWrite:
            continue
        assert emulator.store.write(here) == expected, here
    assert emulator.store.query(pk) == memory.query(pk)


@RUNS
@given(
    sizes=st.dictionaries(
        NAMES, st.one_of(SETS, st.lists(st.just(1), max_size=4), st.sampled_from(["", "ab"]))
    ),
    conditions=st.lists(st.builds(SizeBelow, NAMES.map(lambda name: (name,)), st.integers(0, 4)), max_size=4),
)
def test_sizes(emulator: Backend, sizes: dict[str, Value], conditions: list[SizeBelow]) -> None:
    memory, key = MemoryStore(), Key(f"random#{next(NUMBERS)}", "run")
    first: Write = Put(key=key, item=sizes)
    assert emulator.store.write(first) == memory.write(first)
    second: Write = Update(key=key, sets={("seen",): True}, require=either(*conditions))
    if not misjudged(emulator.name, second, sizes):
        assert emulator.store.write(second) == memory.write(second)
