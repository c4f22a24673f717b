"""Rate limits, as a table: a window as it is, what a task takes of it, and what is left."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.gates import rate, single
from support.records import record

from headrace.core.changes import Applied
from headrace.core.run.plans.plan import RatePlan
from headrace.core.run.routing import NotEvaluated, RateUnits, Units
from headrace.core.table import gate_key
from headrace.core.waits.passes import KeyFailed
from headrace.core.waits.rate_limit import (
    Take,
    Window,
    close,
    give_back,
    in_force,
    mark,
    move_schedule,
    put_limit,
    send_again,
    take,
    takes,
    window_of,
    window_start,
)
from headrace.memory.store import MemoryStore

NOW = 1_700_000_000_500
START = 1_700_000_000_000
GATE = "rate#api"
API = Take(key="api", units=1, limit=2, window_ms=1_000)
PUT = Take(key="api", units=1)


def seen(store: MemoryStore) -> Window:
    return window_of(store.get(gate_key(GATE)))


def taken(store: MemoryStore, of: Take, *, now_ms: int = NOW, waited: bool = False) -> bool:
    """Whether the units were taken of the window as it was read."""
    write, _ = take(of, seen(store), waited=waited, now_ms=now_ms)
    return isinstance(store.write(write), Applied)


def test_a_window_gives_its_units_once_and_the_next_one_gives_them_again() -> None:
    store = MemoryStore()
    assert [taken(store, API) for _ in range(3)] == [True, True, False]
    assert (seen(store).start_ms, seen(store).left, seen(store).room(NOW)) == (START, 0, 0)
    assert seen(store).room(START + 1_000) == 2
    assert taken(store, API, now_ms=START + 1_000)
    assert (seen(store).start_ms, seen(store).left) == (START + 1_000, 1)
    assert taken(store, API, now_ms=NOW), "a clock that is behind takes of the window that has begun"
    assert seen(store).start_ms == START + 1_000


def test_newcomers_take_nothing_while_a_task_waits() -> None:
    store = MemoryStore()
    store.write(mark(GATE, "m", due_ms=START + 1_000, by="b"))
    assert not taken(store, API)
    assert taken(store, API, waited=True)


def test_a_limit_that_a_task_says_counts_at_once() -> None:
    store = MemoryStore()
    assert taken(store, API)
    assert taken(store, replace(API, limit=9)), "more"
    assert (seen(store).limit, seen(store).left) == (9, 0), "what was left of the window stays"
    assert taken(store, replace(API, window_ms=60_000))
    assert seen(store).start_ms == window_start(NOW, 60_000)
    assert seen(store).left == 1


def test_what_was_put_counts_above_what_tasks_say() -> None:
    store = MemoryStore()
    store.write(put_limit("api", 1, 1_000, seen=Window()))
    static = seen(store)
    assert static.static
    assert in_force(API, static) == static
    assert [taken(store, replace(API, limit=99)), taken(store, API)] == [True, False]


def test_a_lower_limit_takes_what_is_left_with_it() -> None:
    store = MemoryStore()
    store.write(put_limit("api", 10, 1_000, seen=Window(), declared="app"))
    assert taken(store, PUT)
    assert seen(store).left == 9
    store.write(put_limit("api", 3, 60_000, seen=seen(store)))
    assert (seen(store).left, seen(store).limit, seen(store).window_ms) == (3, 3, 60_000)
    item = store.get(gate_key(GATE))
    assert item is not None
    assert item["declared"] == "app"


def test_units_go_back_to_the_window_that_they_are_of() -> None:
    store = MemoryStore()
    assert taken(store, API)
    store.write(give_back(API, START - 1_000))
    assert seen(store).left == 1
    store.write(give_back(API, START))
    assert seen(store).left == 2


def test_one_refill_is_due_at_a_time() -> None:
    store = MemoryStore()
    store.write(mark(GATE, "m", due_ms=START, by="b"))
    assert not isinstance(store.write(mark(GATE, "n", due_ms=START + 9, by="c")), Applied)
    assert isinstance(store.write(mark(GATE, "n", due_ms=None)), Applied)
    assert (seen(store).waiting, seen(store).scheduled_ms, seen(store).scheduled_by) == ("n", START, "b")
    assert not isinstance(store.write(move_schedule(GATE, START)), Applied), (
        "it does not move back, nor stays"
    )
    assert isinstance(store.write(move_schedule(GATE, START + 1_000)), Applied)
    assert (seen(store).scheduled_ms, seen(store).scheduled_by) == (START + 1_000, "")
    again = [isinstance(store.write(send_again(GATE, START + 1_000, minute=m)), Applied) for m in (7, 7, 8)]
    assert again == [True, False, True], "of several clocks in a minute one sends"
    assert not isinstance(store.write(send_again(GATE, START, minute=9)), Applied)
    assert not isinstance(store.write(close(GATE, "m")), Applied), "a task has parked since"
    assert isinstance(store.write(close(GATE, "n")), Applied)
    assert (seen(store).waiting, seen(store).scheduled_ms) == (None, None)
    assert isinstance(store.write(close(GATE, None)), Applied)


@pytest.mark.parametrize(
    ("window", "room", "next_ms"),
    [
        (Window(), 0, START + 1_000),
        (Window(limit=5, window_ms=1_000), 5, START + 1_000),
        (Window(limit=5, window_ms=1_000, start_ms=START, left=3), 3, START + 1_000),
        (Window(limit=2, window_ms=1_000, start_ms=START, left=3), 2, START + 1_000),
        (Window(limit=5, window_ms=1_000, start_ms=START - 1_000, left=0), 5, START + 1_000),
        (Window(limit=5, window_ms=1_000, start_ms=START + 2_000, left=1), 1, START + 3_000),
    ],
)
def test_the_room_of_a_window_and_when_the_next_begins(window: Window, room: int, next_ms: int) -> None:
    assert window.room(NOW) == room
    assert window.next_start_ms(NOW) == next_ms


FIXED = RatePlan(key="api", dynamic=False, units="2", limit="", window_s=0)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (
            (RateUnits(key="bob", units=3, limit=4),),
            [Take(key="api", units=2), Take(key="bob", units=3, limit=4, window_ms=1_000)],
        ),
        ((NotEvaluated("no such field"),), "no such field"),
        ((), "was not evaluated"),
    ],
)
def test_what_a_task_takes(stored: tuple[Units, ...], expected: list[Take] | str) -> None:
    run = record(single("solo", rates=(FIXED, rate(key="input.id"))))
    run = replace(run, routing=replace(run.routing, rates=stored))
    if isinstance(expected, str):
        with pytest.raises(KeyFailed, match=expected):
            takes(run, "solo")
    else:
        assert list(takes(run, "solo")) == expected
        assert takes(record(single("other")), "other") == ()
