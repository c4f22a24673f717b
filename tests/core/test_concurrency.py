"""Permits of concurrency limits, as a table: what a limit holds, what a task asks for, and what becomes of it."""

from __future__ import annotations

from dataclasses import replace
from uuid import NAMESPACE_URL, uuid5

import pytest
from support.gates import CIP, CN, RR, gate, single
from support.records import T0, plan, record, task

from headrace.core.changes import Applied, Item, Put
from headrace.core.points import AtConcurrency, AtSlots
from headrace.core.run.record import RunRecord
from headrace.core.run.routing import NotEvaluated
from headrace.core.sizes import item_bytes
from headrace.core.table import gate_key
from headrace.core.waits.concurrency import (
    drop,
    enter,
    enter_again,
    evict,
    eviction_paid,
    leave,
    oldest,
)
from headrace.core.waits.holders import GateState, Holder, held_as, state_of
from headrace.core.waits.line import clear, mark
from headrace.core.waits.passes import (
    PLACES_AN_ITEM,
    KeyFailed,
    Pass,
    group_of,
    items_of,
    literal_key,
    passes,
    places_in,
    run_passes,
)
from headrace.memory.store import MemoryStore

POINT = AtConcurrency("g", "x")
GATE = "gate#g#x"


def of(member: str = "r1/a", **options: object) -> Pass:
    return replace(Pass(point=POINT, member=member, ticket=1, limit=1), **options)  # type: ignore[arg-type]  # Pass's fields


def inside(*holders: Pass, marked: bool = False) -> MemoryStore:
    """A store with those holders, each of which found room."""
    store = MemoryStore()
    for each in holders:
        write = enter(replace(each, limit=99), 0, waited=True, now_ms=T0, expires_at_s=9)
        assert isinstance(store.write(write), Applied)
    if marked:
        store.write(mark(GATE, "m", expires_at_s=9))
    return store


def state(store: MemoryStore) -> GateState:
    return state_of(store.get(gate_key(GATE)))


R1, R2 = of(), of("r2/a")
ENTERS: list[tuple[str, MemoryStore, Pass, bool, bool]] = [
    ("an empty limit has room", inside(), R1, False, True),
    ("one in one is full", inside(R1), R2, False, False),
    ("one in two has room", inside(R1), replace(R2, limit=2), False, True),
    ("no task enters twice", inside(R1), replace(R1, limit=2), False, False),
    ("newcomers park behind the mark", inside(marked=True), R1, False, False),
    ("a task that waited passes the mark", inside(marked=True), R1, True, True),
    ("CANCEL_NEWEST knows no line", inside(marked=True), replace(R1, strategy=CN), False, True),
    ("two places in one are too many", inside(), replace(R1, cost=2), False, False),
    ("two places in two", inside(), replace(R1, cost=2, limit=2), False, True),
    ("two places, of which one is taken", inside(R2), replace(R1, cost=2, limit=2), False, False),
]


@pytest.mark.parametrize(
    ("store", "asks", "waited", "enters"), [row[1:] for row in ENTERS], ids=[row[0] for row in ENTERS]
)
def test_which_ask_enters(store: MemoryStore, asks: Pass, waited: bool, enters: bool) -> None:
    before = state(store)
    written = store.write(enter(asks, 0, waited=waited, now_ms=T0 + 5, expires_at_s=9))
    assert isinstance(written, Applied) is enters
    after = state(store)
    if enters:
        assert after.taken == before.taken + asks.cost
        assert after.holders[asks.member] == Holder(asks.member, 1, T0 + 5, 0, asks.cost)
        assert after.limit == asks.limit
    else:
        assert after == before


@pytest.mark.parametrize(("ticket", "leaves"), [(1, False), (2, True), (3, True)])
def test_a_ticket_gives_back_what_it_or_an_earlier_one_took(ticket: int, leaves: bool) -> None:
    store = inside(replace(R1, ticket=2))
    store.write(leave(replace(R1, ticket=ticket), 0))
    assert (state(store).holders, state(store).taken) == (({}, 0) if leaves else (state(store).holders, 1))
    assert bool(state(store).holders) is not leaves
    store.write(leave(replace(R1, ticket=ticket), 0))
    assert state(store).taken == (0 if leaves else 1), "giving back twice frees no second place"


def test_a_later_ticket_takes_over_the_place_of_an_earlier_one() -> None:
    store = inside(R1)
    held = state(store).holders["r1/a"]
    store.write(enter_again(replace(R1, ticket=2), 0, held, now_ms=T0 + 7))
    assert state(store).holders["r1/a"] == Holder("r1/a", 2, T0 + 7, 0)
    assert not isinstance(store.write(enter_again(replace(R1, ticket=3), 0, held, now_ms=T0 + 8)), Applied)
    store.write(drop(gate_key(GATE), held))
    assert state(store).taken == 1, "the holder that was seen is not there any more"
    store.write(drop(gate_key(GATE), state(store).holders["r1/a"]))
    assert state(store).taken == 0


def test_a_newer_run_takes_the_place_of_the_oldest_and_the_limit_remembers_whom_it_owes() -> None:
    old, newer, newest = (of(f"r{n}", strategy=CIP, of_run=True, born_ms=T0 + n) for n in (1, 2, 3))
    store = inside(newer, old)
    victim = oldest(state(store))
    assert victim is not None
    assert (victim.run_id, victim.task) == ("r1", None)
    assert isinstance(store.write(evict(newest, 0, victim, now_ms=T0 + 9, expires_at_s=9)), Applied)
    assert set(state(store).holders) == {"r2", "r3"}
    assert (state(store).taken, state(store).evicted) == (2, ("r1",))
    again = enter(replace(old, limit=9), 0, waited=False, now_ms=T0, expires_at_s=9)
    assert not isinstance(store.write(again), Applied), (
        "an evicted run may not enter again before it is cancelled"
    )
    assert not isinstance(store.write(evict(newest, 0, victim, now_ms=T0, expires_at_s=9)), Applied)
    store.write(eviction_paid(gate_key(GATE), "r1"))
    assert state(store).evicted == ()
    assert oldest(state_of(None)) is None


def test_a_mark_is_cleared_only_as_it_was_seen() -> None:
    store = inside(marked=True)
    assert not isinstance(store.write(clear(GATE, "other")), Applied)
    assert state(store).waiting == "m"
    store.write(clear(GATE, "m"))
    assert state(store).waiting is None


@pytest.mark.parametrize(
    ("limit", "items", "places"),
    [(0, 1, [0]), (1, 1, [1]), (20, 1, [20]), (21, 2, [11, 10]), (50, 3, [17, 17, 16])],
)
def test_a_limit_is_split_over_items(limit: int, items: int, places: list[int]) -> None:
    assert items_of(limit) == items
    assert [places_in(limit, number, items) for number in range(items)] == places
    assert places_in(limit, items, items) == 0


def test_a_limit_that_evicts_is_never_split() -> None:
    wide = of(limit=100, planned=200)
    assert (wide.items, wide.widest, wide.places_in(0)) == (5, 10, 20)
    assert 0 <= wide.home < 5
    one = replace(wide, strategy=CIP)
    assert (one.items, one.widest, one.places_in(0)) == (1, 1, 100)


# ---------------------------------------------------------------- which limits


@pytest.mark.parametrize(
    ("expression", "key"),
    [
        ("'constant'", "constant"),
        ('"a b"', "a b"),
        ("''", ""),
        ("input.id", None),
        ("'a' + 'b'", None),
        ("'a\\'b'", None),
        ("'", None),
    ],
)
def test_a_literal_needs_no_evaluation(expression: str, key: str | None) -> None:
    assert literal_key(expression) == key


def flow(*keys: str | NotEvaluated) -> RunRecord:
    """A workflow with a limit by input, whose task `b` has one of its own and a worker with slots."""
    made = replace(
        plan(task("a"), task("b", "a", gates=(gate("own", 2),))), gates=(gate("all", 3, key="input.id"),)
    )
    run = record(made)
    return replace(run, routing=replace(run.routing, keys=keys))


def names(found: tuple[Pass, ...]) -> list[tuple[str, str, int, bool]]:
    return [(each.name, each.member, each.limit, each.of_run) for each in found]


def test_what_a_task_has_to_pass() -> None:
    run, limits = flow("bob"), {"own": 5, "worker:default": 10}
    assert names(passes(run, "a", 1, worker="default", limits=limits)) == [
        ("all", "r1", 3, True),
        ("worker:default", "r1/a", 10, False),
    ]
    assert names(passes(run, "b", 1, worker="other", limits=limits)) == [("own", "r1/b", 5, False)]
    assert [each.gate for each in run_passes(run, limits={})] == ["gate#all#bob"]
    assert passes(record(plan(task("a"))), "a", 1, worker="default", limits={}) == ()
    alone = record(single("solo", gates=(gate("g"),)))
    assert run_passes(alone, limits={}) == ()
    assert names(passes(alone, "solo", 1, worker="default", limits={})) == [("g", "r1/solo", 1, False)]
    assert AtSlots("default") in [each.point for each in passes(run, "a", 1, worker="default", limits=limits)]


def test_a_key_that_could_not_be_evaluated() -> None:
    run = flow(NotEvaluated("no such field"))
    with pytest.raises(KeyFailed, match="no such field"):
        passes(run, "a", 1, worker="default", limits={})
    assert run_passes(run, limits={}) == ()
    assert group_of(run, "a") is None


def test_messages_are_grouped_by_the_first_key_that_comes_from_an_expression() -> None:
    assert group_of(flow("bob"), "a") == group_of(flow("bob"), "b") != group_of(flow("eve"), "a")
    assert group_of(flow(), "a") is None
    assert group_of(record(single("solo", gates=(gate("g"),))), "solo") is None
    assert RR is of().strategy


# ---------------------------------------------------------------- what a holder is called, and weighs

UUID_ = "0f6a3f1e-9c1b-4b7e-8f57-0d6c1d6f0a2b"


@pytest.mark.parametrize(
    ("gate", "member", "name"),
    [
        ("gate#export:export/0#acme", f"{UUID_}/export", "h:D2o_HpwbS36PVw1sHW8KKw/"),
        ("places#3#gate#export:export/0#acme", f"{UUID_}/export", "h:D2o_HpwbS36PVw1sHW8KKw/"),
        ("gate#export:other/0#acme", f"{UUID_}/export", "h:D2o_HpwbS36PVw1sHW8KKw/export"),
        ("gate#export/0#acme", UUID_, "h:D2o_HpwbS36PVw1sHW8KKw"),
        ("gate#worker:lane#", f"{UUID_}/export", "h:D2o_HpwbS36PVw1sHW8KKw/export"),
        ("gate#worker:a:b/0#", f"{UUID_}/b", "h:D2o_HpwbS36PVw1sHW8KKw/b"),
        ("gate#export:export/0#acme", f"{UUID_}/export#3", "h:D2o_HpwbS36PVw1sHW8KKw/export#3"),
        ("gate#g#x", "run-1/t", "h:=run-1/t"),
        ("gate#g#x", f"{UUID_.upper()}/t", f"h:={UUID_.upper()}/t"),
        ("gate#g#x", "a-name-of-22-characters/t", "h:=a-name-of-22-characters/t"),
    ],
)
def test_a_holder_is_named_in_few_bytes_and_read_back(gate: str, member: str, name: str) -> None:
    assert held_as(gate, member) == name
    assert set(state_of({"pk": gate, name: {"t": 1, "a": T0}, "c": 1}).holders) == {member}


@pytest.mark.parametrize("long_name", [f"h:{UUID_}/export", f"h:{UUID_}"], ids=["a task", "a run"])
@pytest.mark.parametrize("ends", ["dropped", "evicted", "entered again"])
def test_a_holder_that_entered_under_its_long_name_is_read_and_gives_its_place_away(
    long_name: str, ends: str
) -> None:
    store, point = MemoryStore(), AtConcurrency("export:export/0", "acme")
    mine = Pass(point=point, member=long_name[2:], ticket=2, limit=1, strategy=CIP)
    newer = replace(mine, member="r2/export")
    store.write(Put(key=gate_key(mine.gate), item={long_name: {"t": 1, "a": T0, "b": T0}, "c": 1, "n": 1}))
    [held] = state_of(store.get(gate_key(mine.gate))).holders.values()
    assert (held.member, held.ticket) == (mine.member, 1)
    write, left = {
        "dropped": (drop(gate_key(mine.gate), held), set[str]()),
        "evicted": (evict(newer, 0, held, now_ms=T0, expires_at_s=9), {held_as(mine.gate, newer.member)}),
        "entered again": (enter_again(mine, 0, held, now_ms=T0), {held_as(mine.gate, mine.member)}),
    }[ends]
    assert isinstance(store.write(write), Applied)
    item = store.get(gate_key(mine.gate)) or {}
    assert {name for name in item if name.startswith("h:")} == left
    assert item["c"] == len(left)


def test_a_holder_under_both_its_names_is_the_one_that_entered_last() -> None:
    short, long = held_as(GATE, f"{UUID_}/a"), f"h:{UUID_}/a"
    for names in ((short, long), (long, short)):
        tickets = {short: 2, long: 1}
        item: Item = {"pk": GATE, **{name: {"t": tickets[name], "a": T0} for name in names}, "c": 2}
        assert [held.ticket for held in state_of(item).holders.values()] == [2]


def test_an_item_full_of_holders_is_one_write_unit() -> None:
    store = MemoryStore()
    for number in range(PLACES_AN_ITEM):
        member = f"{uuid5(NAMESPACE_URL, str(number))}/export"
        point = AtConcurrency("export:export/0", "a-customer")
        each = Pass(point=point, member=member, ticket=1, limit=PLACES_AN_ITEM)
        store.write(enter(each, 0, waited=False, now_ms=T0, expires_at_s=T0 // 1000))
    store.write(mark(each.gate, "abcdefgh", limit=each.limit, expires_at_s=T0 // 1000))
    item = store.get(gate_key(each.gate))
    assert item is not None
    assert len(state_of(item).holders) == PLACES_AN_ITEM
    assert item_bytes(item) <= 1_024
