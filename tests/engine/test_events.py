"""An event starts each of its runs once, whatever is delivered twice and wherever the process dies."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Any

import pytest
from support.events import EventWorld
from support.records import plan, task
from support.world import KillAt, Killed

from headrace import DefinitionError, PayloadTooLargeError
from headrace.clients.models.events import BulkPushEventWithMetadata
from headrace.core.run.derived.progress import run_status
from headrace.core.run.idempotency import IdempotencyRule
from headrace.core.run.record import RunStatus
from headrace.core.run.request import derived_run_id
from headrace.engine.catalog.workflows import DeclaredFilter, Published, publish_workflows

GREET = plan(task("greet"), workflow="greet")
BILL = plan(task("bill"), task("send", "bill"), workflow="bill")
OTHER = plan(task("other"), workflow="other")
ON: dict[str, dict[str, Any]] = {
    "greet": {"on_events": ("user:*",)},
    "bill": {
        "on_events": ("user:created", "order:paid"),
        "filters": (
            DeclaredFilter(expression="input.total > payload.least", scope="shop", payload={"least": 10}),
            DeclaredFilter(expression="true", scope="shop"),
            DeclaredFilter(expression="true", scope="elsewhere"),
        ),
    },
}


def world(faults: KillAt | None = None, **options: Any) -> EventWorld:
    plans = {each.workflow: each for each in (GREET, BILL, OTHER)}
    code = {each.name: (lambda work: {"ok": True}) for flow in plans.values() for each in flow.tasks}
    return EventWorld(plans=plans, code=code, faults=faults, **{"on_events": ON, **options})


def started(w: EventWorld) -> dict[str, int]:
    ids = [each["id"] for each in w.runs()]
    names = [w.record(run_id).plan.workflow for run_id in ids]
    return {name: names.count(name) for name in sorted(set(names))}


@pytest.mark.parametrize(
    ("key", "scope", "total", "expected"),
    [
        ("user:created", None, 50, {"greet": 1}),
        ("user:created", "shop", 50, {"bill": 2, "greet": 1}),
        ("user:created", "shop", 5, {"bill": 1, "greet": 1}),
        ("user:created", "elsewhere", 5, {"bill": 1, "greet": 1}),
        ("user:", "shop", 5, {"greet": 1}),
        ("order:paid", "shop", 11, {"bill": 2}),
        ("order:paid", "nowhere", 11, {}),
        ("user", None, 1, {}),
        ("USER:created", None, 1, {}),
    ],
)
def test_which_runs_an_event_starts(
    key: str, scope: str | None, total: int, expected: dict[str, int]
) -> None:
    w = world()
    w.app.event.push(key, {"total": total}, scope=scope)
    w.drain()
    assert started(w) == expected


def test_what_its_runs_are_given() -> None:
    w = world()
    pushed = w.app.event.push(
        "order:paid",
        {"total": 50},
        additional_metadata={"source": "web", "hatchet__mine": 1},
        priority=3,
        scope="shop",
    )
    w.drain()
    for run in w.runs():
        record = w.record(run["id"])
        assert record.priority == 3
        assert record.metadata == {
            "source": "web",
            "hatchet__event_id": pushed.event_id,
            "hatchet__event_key": "order:paid",
        }
        assert record.input.text == '{"total":50}'
    payloads = {w.record(run["id"]).routing.filter_payload for run in w.runs()}
    assert payloads == {None, '{"least":10}'}


def test_delivered_twice_it_starts_no_second_run_whatever_was_published_in_between() -> None:
    w = world()
    w.app.event.push("user:created", {"total": 50}, scope="shop")
    [body] = w.queues.bodies("events")
    w.push_again(body)
    w.drain()
    publish_workflows(w.app.engine, [Published(plan=OTHER, on_events=("user:created",))])
    w.clock.advance(10_000)
    w.push_again(body)
    w.drain()
    assert started(w) == {"bill": 2, "greet": 1}
    first, *others = w.handled  # twice of the second delivery: it comes while the first may be at work
    assert (first.started, {each.started for each in others}, len(others)) == (3, {0}, 3)
    assert sorted(w.ran) == ["bill", "bill", "greet", "send", "send"]


@pytest.mark.parametrize("after_effect", [False, True])
def test_any_crash_point(after_effect: bool) -> None:
    def attempt(fault: KillAt) -> tuple[EventWorld, bool]:
        w, pushed = world(fault), False
        with contextlib.suppress(Killed):
            w.app.event.push("user:created", {"total": 50}, scope="shop")
            pushed = True
        w.drain()
        return w, pushed

    clean = KillAt(10**9, after_effect)
    attempt(clean)
    assert clean.calls > 12
    for n in range(clean.calls):
        fault = KillAt(n, after_effect)
        w, pushed = attempt(fault)
        where = f"killed at call {n} ({fault.hit}), {'after' if after_effect else 'before'} its effect"
        assert w.queues.depth() == 0, where
        if not pushed and not w.runs():
            continue  # the client died before the queue had the event
        assert started(w) == {"bill": 2, "greet": 1}, where
        assert {run_status(w.record(run["id"])) for run in w.runs()} == {RunStatus.COMPLETED}, where
        assert len(w.app.event.list().rows) == 1, where


def test_a_held_idempotency_key_keeps_a_run_out_and_is_counted() -> None:
    rule = IdempotencyRule(expression="input.id", ttl_ms=3_600_000)
    w = world(on_events={"greet": {"on_events": ("user:*",), "idempotency": rule}, "other": ON["greet"]})
    w.app.event.bulk_push([BulkPushEventWithMetadata(key="user:x", payload={"id": "a"}) for _ in range(3)])
    w.drain()
    assert started(w) == {"greet": 1, "other": 3}
    assert [(each.started, each.collided) for each in w.handled] == [(2, 0), (1, 1), (1, 1)]


def test_one_run_that_cannot_start_leaves_the_others_alone(caplog: pytest.LogCaptureFixture) -> None:
    rule = IdempotencyRule(expression="input.missing", ttl_ms=3_600_000)
    w = world(on_events={"greet": {"on_events": ("user:*",), "idempotency": rule}, "other": ON["greet"]})
    w.app.event.push("user:x", {"id": "a"})
    w.drain()
    assert started(w) == {"other": 1}
    assert w.handled[0].refused == 1
    assert "starts no run of greet" in caplog.text
    assert "missing" in caplog.text


def test_a_filter_that_cannot_be_evaluated_is_not_true(caplog: pytest.LogCaptureFixture) -> None:
    filters = (
        DeclaredFilter(expression="input.a.b == 1", scope="s"),
        DeclaredFilter(expression="'text'", scope="s"),
    )
    w = world(on_events={"greet": {"on_events": ("a",), "filters": filters}})
    w.app.event.push("a", {}, scope="s")
    w.drain()
    assert started(w) == {}
    assert "no such key" in caplog.text
    assert "must give true or false" in caplog.text


def test_a_large_payload_lies_in_the_bucket() -> None:
    w = world()
    pushed = w.app.event.push("user:x", {"text": "y" * 300_000})
    assert len(w.queues.bodies("events")[0]) < 1_000
    w.drain()
    [run] = w.runs()
    assert run_status(w.record(run["id"])) is RunStatus.COMPLETED
    found = w.app.event.get(pushed.event_id)
    assert found.payload == {"text": "y" * 300_000}
    assert found.workflow_run_summary.succeeded == 1


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"event_key": ""}, DefinitionError, "the key of an event is ''"),
    ({"event_key": None}, DefinitionError, "the key of an event is None"),
    ({"event_key": "k" * 600}, DefinitionError, "600 bytes long; the limit is 512"),
    ({"event_key": "user:*"}, ValueError, "wildcards belong in on_events"),
    ({"payload": [1]}, TypeError, "event 'k': a payload is a dict"),
    ({"payload": {"x": object()}}, TypeError, "event 'k': the payload cannot be serialised"),
    ({"payload": {"x": "y" * 5_000_000}}, PayloadTooLargeError, "the payload of event 'k' is 5,000,"),
    ({"priority": 7}, DefinitionError, "event 'k': priority"),
    ({"scope": ""}, ValueError, "event 'k': scope is ''"),
    ({"additional_metadata": {"x": object()}}, TypeError, r"event 'k': additional_metadata\['x'\]"),
]


@pytest.mark.parametrize(("given", "error", "message"), BAD)
def test_what_is_no_event_is_refused_and_nothing_is_sent(
    given: dict[str, Any], error: type[Exception], message: str
) -> None:
    w = world()
    with pytest.raises(error, match=message):
        w.app.event.push(**{"event_key": "k", "payload": {}, **given})
    assert w.queues.depth() == 0


def test_bulk_push_takes_a_thousand_in_order() -> None:
    w = world()
    events = [BulkPushEventWithMetadata(key=f"k{n}", payload={"n": n}) for n in range(1_001)]
    with pytest.raises(ValueError, match="1,000 events a call, not 1,001"):
        w.app.event.bulk_push(events)
    with pytest.raises(ValueError, match="wildcards"):
        w.app.event.bulk_push([*events[:3], BulkPushEventWithMetadata(key="*")])
    assert w.queues.depth() == 0
    pushed = w.app.event.bulk_push(events[:1_000])
    assert [each.key for each in pushed] == [f"k{n}" for n in range(1_000)]
    assert len({each.event_id for each in pushed}) == 1_000
    assert w.queues.depth("events") == 1_000


def test_the_run_id_follows_from_event_workflow_and_filter() -> None:
    from headrace.core.run.request import Event

    ids = {
        derived_run_id(workflow, Event(event_id=event, event_key="k", filter_id=by))
        for workflow in ("a", "b")
        for event in ("1", "2")
        for by in (None, "f")
    }
    assert len(ids) == 8


@pytest.mark.parametrize("count", [30, pytest.param(10_000, marks=pytest.mark.scale)])
def test_each_event_of_one_key_starts_one_run_of_each_of_twenty_workflows(count: int) -> None:
    flows = [plan(task("step"), workflow=f"flow{n}") for n in range(20)]
    w = EventWorld(
        plans={each.workflow: each for each in flows},
        code={"step": lambda work: {"ok": True}},
        on_events={each.workflow: {"on_events": ("order:paid",)} for each in flows},
    )
    for first in range(0, count, 1_000):
        some = range(first, min(first + 1_000, count))
        w.app.event.bulk_push([BulkPushEventWithMetadata(key="order:paid", payload={"n": n}) for n in some])
    again = w.queues.bodies("events")[::7]
    w.drain(limit=100 * 20 * count)
    for body in again:
        w.push_again(body)
    w.drain(limit=100 * 20 * count)
    records = [w.record(run["id"]) for run in w.runs()]
    found = Counter((each.metadata["hatchet__event_id"], each.plan.workflow) for each in records)
    assert (len(found), set(found.values())) == (20 * count, {1})
    assert len(w.ran) == 20 * count
