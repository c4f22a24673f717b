"""Waiting for events: satisfied once, by the first; nothing is lost, wherever a process dies; an event costs what it concerns."""

from __future__ import annotations

import contextlib
import gc
import time
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from support.events import EventWorld
from support.pace import pace_of_work
from support.records import plan, record, task
from support.world import KillAt, Killed

from headrace.core.changes import Item, Key, Write, Written
from headrace.core.events.event import APART_MS, HANDLED_WITHIN_MS, Event, event_id_at, short
from headrace.core.events.subscription import Subscription, subscription_key
from headrace.core.points import AtOperations
from headrace.core.run.record import TaskRow, TaskStatus
from headrace.core.run.transitions.claim import create
from headrace.core.sizes import item_bytes
from headrace.engine.engine import Engine
from headrace.engine.events.handle import Handled, handle
from headrace.engine.events.subscriptions import arm, disarm, look_back, look_up, satisfy
from headrace.engine.waits.conditions import wake_suspended

WAITER = plan(task("wait"), workflow="waiter")


def world(faults: KillAt | None = None, **options: Any) -> EventWorld:
    return EventWorld(plans={"waiter": WAITER}, code={"wait": lambda work: None}, faults=faults, **options)


def sub(run_id: str = "r", **given: Any) -> Subscription:
    return Subscription(
        **{"run_id": run_id, "task": "wait", "node": 1, "leaf": 0, "event_key": "order:paid", **given}
    )


SHAPES: list[tuple[dict[str, Any], dict[str, Any], str | None, bool]] = [
    ({}, {}, None, True),
    ({}, {"id": 1}, "s", True),
    ({"scope": "s"}, {}, "s", True),
    ({"scope": "s"}, {}, "t", False),
    ({"scope": "s"}, {}, None, False),
    ({"expression": "input.id == 'A'"}, {"id": "A"}, None, True),
    ({"expression": "input.id == 'A'"}, {"id": "A"}, "s", True),
    ({"expression": "input.id == 'A'"}, {"id": "B"}, None, False),
    ({"expression": "input.id == 'A'"}, {}, None, False),
    ({"expression": "input.id == 'A' && input.n > 3"}, {"id": "A", "n": 3}, None, False),
    ({"expression": "input.id == 'A' && input.n > 3"}, {"id": "A", "n": 4}, None, True),
    ({"expression": "input.id == 'A'", "scope": "s"}, {"id": "A"}, "s", True),
    ({"expression": "input.id == 'A'", "scope": "s"}, {"id": "A"}, None, False),
    ({"expression": "input.n > 3"}, {"n": 4}, None, True),
    ({"expression": "input.n > 3"}, {"n": "x"}, None, False),
    ({"expression": "event_key == 'order:paid'"}, {}, None, True),
    ({"event_key": "order:other"}, {}, None, False),
]


@pytest.mark.parametrize(("given", "payload", "scope", "expected"), SHAPES)
def test_what_an_event_satisfies(
    given: dict[str, Any], payload: dict[str, Any], scope: str | None, expected: bool
) -> None:
    w = world()
    suspended(w)
    one = sub(**given)
    arm(w.app.engine, [one])
    pushed = w.app.event.push("order:paid", payload, scope=scope, additional_metadata={"m": 1})
    w.drain()
    [found] = look_up(w.app.engine, [one])
    assert (found is not None) is expected
    if found is not None:
        assert (found.event_id, found.key, found.metadata) == (pushed.event_id, "order:paid", {"m": 1})
        assert found.payload == pushed.payload


def test_an_event_wakes_where_its_write_was_made_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first response was lost, the client library tried again by itself, and was refused."""
    w = world()
    suspended(w)
    arm(w.app.engine, [sub()])
    once, woken = w.app.engine.store.write, []

    def twice(write: Write) -> Written:
        once(write)
        return once(write)

    def wake(engine: Engine, run_id: str, name: str) -> bool:
        woken.append((run_id, name))
        return True

    monkeypatch.setattr(w.app.engine.store, "write", twice)
    event = Event(event_id="e", key="order:paid", pushed_at_ms=w.clock.now_ms(), payload="{}")
    satisfy(w.app.engine, event, wake)
    assert woken == [("r", "wait")]


def test_a_task_whose_clock_is_ahead_is_woken_by_the_event_that_has_satisfied_it() -> None:
    """The delivery that satisfied it died before it woke it, and by its clock the wait began later than the event came."""
    w = world()
    suspended(w)
    arm(w.app.engine, [sub()])
    armed_ms, woken = w.clock.now_ms(), []

    def dies(engine: Engine, run_id: str, name: str) -> bool:
        raise Killed

    def wake(engine: Engine, run_id: str, name: str) -> bool:
        woken.append((run_id, name))
        return True

    event = Event(event_id="e", key="order:paid", pushed_at_ms=armed_ms, payload="{}")
    other = Event(event_id="f", key="order:paid", pushed_at_ms=armed_ms, payload="{}")
    with pytest.raises(Killed):
        satisfy(w.app.engine, event, dies)
    satisfy(w.app.engine, other, wake, came_ms=armed_ms - 200)
    assert woken == []
    satisfy(w.app.engine, event, wake, came_ms=armed_ms - 200)
    assert woken == [("r", "wait")]


def suspended(w: EventWorld, run_id: str = "r") -> None:
    """A run whose task is suspended, with ticket 2."""
    row = TaskRow(status=TaskStatus.SUSPENDED, ticket=2, waits_at=AtOperations())
    w.store.write(create(replace(record(WAITER, wait=row), run_id=run_id)))


def test_an_event_whose_handler_died_before_it_was_listed_is_found_by_a_task_that_looked_back_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The event's item is there, its entry in the scope is not: who looks back sees nothing, so the next delivery has to tell."""
    w = world()
    suspended(w)
    engine = w.app.engine
    one = sub(scope="s")
    store, many = type(engine.store), type(engine.store).write_many

    def dies_after_the_first(of: Any, writes: Any) -> list[Written]:
        monkeypatch.setattr(store, "write_many", many)
        of.write(writes[0])
        raise Killed

    w.app.event.push("order:paid", {}, scope="s")
    monkeypatch.setattr(store, "write_many", dies_after_the_first)
    with contextlib.suppress(Killed):
        w.deliver_next()
    monkeypatch.setattr(store, "write_many", many)
    w.clock.advance(10)
    assert look_back(engine, one, 0) is None
    w.clock.advance(60_000)
    w.drain()
    assert look_up(engine, [one])[0] is not None


def test_the_first_event_wins_and_arming_again_changes_nothing() -> None:
    w = world()
    suspended(w)
    arm(w.app.engine, [sub()])
    first = w.app.event.push("order:paid", {"n": 1})
    w.drain()
    arm(w.app.engine, [sub()])
    w.app.event.push("order:paid", {"n": 2})
    w.drain()
    [found] = look_up(w.app.engine, [sub()])
    assert found is not None
    assert (found.event_id, found.payload) == (first.event_id, '{"n":1}')
    disarm(w.app.engine, [sub()])
    disarm(w.app.engine, [sub()])
    assert look_up(w.app.engine, [sub()]) == [None]


def test_a_payload_of_more_than_a_kilobyte_is_read_from_its_event() -> None:
    for size in (5_000, 300_000):
        w = world()
        suspended(w)
        arm(w.app.engine, [sub()])
        w.app.event.push("order:paid", {"text": "y" * size})
        w.drain()
        item = w.store.get(subscription_key(sub()))
        assert item is not None
        assert len(str(item["by"])) < 300
        [found] = look_up(w.app.engine, [sub()])
        assert found is not None
        assert found.payload == '{"text":"' + "y" * size + '"}'


def test_a_subscription_of_a_run_that_is_over_is_removed_by_the_event_that_meets_it() -> None:
    w = world()
    arm(w.app.engine, [sub("gone")])
    w.app.event.push("order:paid", {})
    w.drain()
    assert w.store.get(subscription_key(sub("gone"))) is None


# ---------------------------------------------------------------- looking back


def test_looking_back_finds_the_first_that_is_taken_since_then() -> None:
    w = world()
    times = []
    for n in range(5):
        times.append(w.clock.now_ms())
        w.app.event.push("order:paid", {"n": n}, scope="s")
        w.app.event.push("order:paid", {"n": 100 + n}, scope="t")
        w.drain()
        w.clock.advance(1_000)
    one = sub(scope="s", expression="input.n >= 1")
    assert look_back(w.app.engine, replace(one, node=9), w.clock.now_ms()) is None
    found = look_back(w.app.engine, one, times[0])
    assert found is not None
    assert found.payload == '{"n":1}'
    assert look_back(w.app.engine, one, times[3]) == found
    later = look_back(w.app.engine, replace(one, node=2), times[3])
    assert later is not None
    assert later.payload == '{"n":3}'
    with pytest.raises(ValueError, match="looking back needs a scope"):
        look_back(w.app.engine, sub(), 0)


def test_an_event_that_is_pushed_while_one_looks_back_is_not_lost() -> None:
    """At every port call of either side the other runs as a whole: the event is found by one of the two."""
    for n in range(40):
        w = world()
        suspended(w)
        one, seen = sub(scope="s"), []
        w.app.event.push("order:paid", {"n": 1}, scope="s")

        class Meanwhile:
            calls = 0

            def before(
                self,
                port: str,
                call: str,
                n: int = n,
                w: EventWorld = w,
                one: Subscription = one,
                seen: list[Any] = seen,
            ) -> None:
                self.calls += 1
                if self.calls == n:
                    w.store.faults = type(w.store)().faults
                    seen.append(look_back(w.app.engine, one, 0))

            def after(self, port: str, call: str) -> None: ...

        w.store.faults = Meanwhile()
        w.drain()
        w.store.faults = type(w.store)().faults
        [found] = look_up(w.app.engine, [one])
        assert found is not None or not seen


# ---------------------------------------------------------------- crashes


@pytest.mark.parametrize("after_effect", [False, True])
def test_a_suspended_task_is_woken_wherever_the_process_dies(after_effect: bool) -> None:
    def attempt(fault: KillAt) -> tuple[EventWorld, bool]:
        fault.armed = False
        w, pushed = world(fault), False
        suspended(w)
        arm(w.app.engine, [sub()])
        fault.armed, fault.calls = True, 0
        with contextlib.suppress(Killed):
            w.app.event.push("order:paid", {})
            pushed = True
        for _ in range(50):
            if not w.queues.bodies("events"):
                break
            due_ms = w.queues.next_visible_ms()
            w.clock.advance_to(due_ms if due_ms is not None else 0)
            with contextlib.suppress(Killed):
                w._deliver_from("events")
        return w, pushed

    clean = KillAt(10**9, after_effect)
    w, _ = attempt(clean)
    assert len(w.queues.bodies("default")) == 1
    for n in range(clean.calls):
        fault = KillAt(n, after_effect)
        w, pushed = attempt(fault)
        where = f"killed at call {n} ({fault.hit}), {'after' if after_effect else 'before'} its effect"
        fault.armed = False
        if not pushed and look_up(w.app.engine, [sub()]) == [None]:
            continue
        assert look_up(w.app.engine, [sub()]) != [None], where
        assert w.queues.bodies("default"), where
        assert all('"ticket":2' in body for body in w.queues.bodies("default")), where


# ---------------------------------------------------------------- at scale


@dataclass(slots=True)
class Reads:
    """Read units of a world's store: 4 KB of consistent reading each, one at least a call (DynamoDB, "Read consistency")."""

    units: float = 0
    what: list[str] = field(default_factory=list)

    def count(self, items: list[Item] | Item | None, *, consistent: bool = True) -> None:
        found = items if isinstance(items, list) else [items] if items is not None else []
        size = sum(item_bytes(item) for item in found)
        self.units += max(1, -(-size // 4096)) * (1 if consistent else 0.5)


def metered(w: EventWorld) -> Reads:
    reads, get, query = Reads(), w.store.get, w.store.query

    def counted_get(key: Key, *, consistent: bool = True) -> Item | None:
        found = get(key, consistent=consistent)
        reads.count(found, consistent=consistent)
        reads.what.append(str(key))
        return found

    def counted_query(pk: str, **options: Any) -> list[Item]:
        found = query(pk, **options)
        reads.count(found, consistent=options.get("consistent", True))
        reads.what.append(pk)
        return found

    object.__setattr__(w.store, "get", counted_get)
    object.__setattr__(w.store, "query", counted_query)
    return reads


@pytest.mark.parametrize("count", [20_000, pytest.param(100_000, marks=pytest.mark.scale)])
def test_an_event_costs_no_more_when_many_wait_for_others(record_property: Any, count: int) -> None:
    """Each for its own order: three read units at most, and milliseconds of the processor."""
    w = world()
    many = [sub(f"r{n}", expression=f"input.order.id == 'A{n}' && input.total > 0") for n in range(count)]
    for first in range(0, len(many), 10_000):
        arm(w.app.engine, many[first : first + 10_000])
    suspended(w, "r7777")
    w.app.event.push("order:paid", {"order": {"id": "A1"}, "total": 1})
    w.drain()
    w.app.event.push("order:paid", {"order": {"id": "A7777"}, "total": 1})
    reads = metered(w)
    gc.collect()
    began = time.process_time()
    assert w._deliver_from("events")
    spent_ms = (time.process_time() - began) * 1000
    units = reads.units
    assert look_up(w.app.engine, [many[7_777]]) != [None]
    assert len(w.queues.bodies("default")) == 1
    record_property("told", f"{units:g} read units and {spent_ms:.1f} ms for one of {count:,} subscribers")
    assert units <= 3, reads.what  # one of them is the record of the run that is woken
    assert spent_ms < 20 * pace_of_work()


def test_a_page_that_runs_out_of_time_goes_on_in_a_message() -> None:
    """Without an equality everybody is asked; here each message has time for one page of a hundred."""
    w = world(page_after_ms=0)
    many = [sub(f"r{n}", expression=f"input.n % 1000 == {n}") for n in range(450)]
    arm(w.app.engine, many)
    for n in (5, 449):
        suspended(w, f"r{n}")
    w.app.event.push("order:paid", {"n": 449})
    w.app.event.push("order:paid", {"n": 5})
    w.drain()
    found = look_up(w.app.engine, many)
    assert [n for n, each in enumerate(found) if each is not None] == [5, 449]
    assert len(w.handled) > 8


# ---------------------------------------------------------------- two deliveries of one event


def delivered(w: EventWorld, of: Event) -> Handled:
    return handle(w.app.engine, of, None, start=lambda wanted: [], wake=wake_suspended)


def an_event(w: EventWorld, *, scope: str | None = None) -> Event:
    name = event_id_at(w.clock.now_ms(), b"e")
    return Event(event_id=name, key="order:paid", pushed_at_ms=w.clock.now_ms(), payload="{}", scope=scope)


def messages(w: EventWorld) -> int:
    return w.queues.depth()


def test_a_second_delivery_leaves_the_message_while_the_first_may_be_at_work() -> None:
    """The first has satisfied a subscription that the second has not seen, and dies before it wakes the task."""
    w = world()
    suspended(w)
    event = an_event(w)
    assert delivered(w, event) == Handled()
    assert delivered(w, event).later_s == (HANDLED_WITHIN_MS + APART_MS) // 1000

    def dies(engine: Engine, run_id: str, name: str) -> bool:
        raise Killed

    arm(w.app.engine, [sub()])
    with pytest.raises(Killed):
        satisfy(w.app.engine, event, dies)
    assert delivered(w, event).later_s
    before = messages(w)
    w.clock.advance(HANDLED_WITHIN_MS + APART_MS)
    assert delivered(w, event) == Handled()
    assert messages(w) == before + 1, "the task is woken"


@pytest.mark.parametrize("scope", [None, "s"])
def test_a_delivery_whose_response_was_lost_goes_on(
    monkeypatch: pytest.MonkeyPatch, scope: str | None
) -> None:
    """The client library makes its writes again, and they are refused: by themselves, so this is no second delivery."""
    w = world()
    suspended(w)
    arm(w.app.engine, [sub()])
    once, many = w.store.write, w.store.write_many
    monkeypatch.setattr(w.app.engine.store, "write", lambda write: (once(write), once(write))[1])
    monkeypatch.setattr(w.app.engine.store, "write_many", lambda writes: (many(writes), many(writes))[1])
    assert delivered(w, an_event(w, scope=scope)) == Handled()
    assert messages(w) == 1


def test_an_event_whose_handler_died_is_not_lost_to_a_subscription_of_a_clock_that_is_ahead() -> None:
    w = world()
    suspended(w)
    woken: list[str] = []

    def wake(engine: Engine, run_id: str, name: str) -> bool:
        woken.append(name)
        return True

    event, came_ms = an_event(w), w.clock.now_ms()
    w.clock.advance(APART_MS)  # by which the clock of who waits is ahead: the subscription was there first
    arm(w.app.engine, [sub()])
    satisfy(w.app.engine, event, wake, came_ms=came_ms)
    assert woken == ["wait"]


def test_an_event_that_comes_again_does_not_satisfy_a_task_that_has_had_it() -> None:
    """Its next wait began when the event had just come: what clocks say does not tell it from one that was there before."""
    w = world()
    suspended(w)
    event = an_event(w)
    came_ms = w.clock.now_ms()
    arm(w.app.engine, [replace(sub(), node=2, had=(short(event.event_id),)), replace(sub(), node=3)])
    satisfy(w.app.engine, event, wake_suspended, came_ms=came_ms)
    found = look_up(w.app.engine, [replace(sub(), node=2), replace(sub(), node=3)])
    assert [each is not None for each in found] == [False, True]
