"""Who is in, who waits, and for what, as clients see it: of worlds in which the engine has parked tasks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from support.gates import CIP, CN, gate, partition, rate, single
from support.world import World, run_at_once

from headrace.clients.admission.gates import GatesClient
from headrace.clients.metrics import MetricsClient
from headrace.clients.models.resource import at
from headrace.clients.runs.client import RunsClient
from headrace.core.labels import encode_required
from headrace.core.run.plans.plan import GateStrategy, Json, RatePlan, RunPlan
from headrace.core.run.routing import Routing
from headrace.core.waits.line import Waiter, mark, put_waiter
from headrace.core.waits.rate_limit import Window, put_limit
from headrace.engine.attempts.ports import Done, Work
from headrace.engine.catalog.workers import DeclaredWorker, publish_workers
from headrace.engine.catalog.workflows import Published, publish_workflows
from headrace.engine.clock.tick import tick
from headrace.engine.runs.deliver import deliver
from headrace.engine.waits.kinds.pause import Pause, pause
from headrace.engine.waits.lines import Line
from headrace.engine.waits.points import GateKind
from headrace.engine.waits.views import GateView, LimitView

if TYPE_CHECKING:
    from conftest import Desk


@dataclass(frozen=True)
class Slots:
    """A worker, as the client of gates sees it."""

    name: str
    slots: int | None


LIMITED = rate("'ai'", limit="1", window_s=60)


@pytest.fixture
def seen(desk: Desk) -> Callable[[World], Desk]:
    def look(world: World) -> Desk:
        desk.engine, desk.clock = world.engine, world.clock
        desk.has(*world.plans.values())
        return desk

    return look


class Escaped(BaseException):
    """An assertion failed within a task: no failure of the task."""


def world(*plans: RunPlan, inside: Callable[[], None] = lambda: None) -> World:
    """`inside` is called while the first task runs."""
    calls: list[int] = []

    def body(work: Work) -> Json:
        calls.append(1)
        if len(calls) == 1:
            try:
                inside()
            except Exception as error:
                raise Escaped from error
        return {"ok": True}

    names = [task.name for plan in plans for task in plan.tasks]
    return World(plans={plan.workflow: plan for plan in plans}, code=dict.fromkeys(names, body))


def deliver_all(w: World) -> None:
    while w.deliver_next():
        pass


def begin(w: World, *values: Json, workflow: str = "flow", **options: object) -> list[str]:
    """A run for each input, a second apart."""
    ids = []
    for value in values:
        ids.append(w.start(workflow, value, **options))
        w.clock.advance(1_000)
    return ids


def while_running(plan: RunPlan, *values: Json, look: Callable[[World, list[str]], None]) -> World:
    """What `look` sees while the first of the runs is in, and all others were delivered."""
    looks: list[int] = []

    def inside() -> None:
        deliver_all(w)
        looks.append(1)
        look(w, ids)

    w = world(plan, inside=inside)
    ids = begin(w, *values)
    deliver_all(w)
    assert looks == [1], "it did not look"
    return w


# ---------------------------------------------------------------- gates


def test_holders_and_waiters_of_a_key(seen: Callable[[World], Desk]) -> None:
    constant = gate("flow/0")

    def look(w: World, ids: list[str]) -> None:
        gates = GatesClient(seen(w))
        [view] = gates.list()
        assert (
            view == gates.get("flow/0") == gates.get("flow/0", "x") == asyncio.run(gates.aio_get(view.gate))
        )
        assert gates.find("flow") == gates.find("flow/0") == gates.find("x") == [view]
        assert (view.gate, view.kind, view.name, view.key) == (
            partition("flow/0"),
            GateKind.CONCURRENCY,
            "flow/0",
            "x",
        )
        assert (view.limit, view.taken) == (1, 1)
        [holder] = view.holders
        assert (holder.run_id, holder.task, holder.since_ms) == (ids[0], "flow", w.clock.now_ms())
        assert [(each.place, each.run_id, each.task, each.priority) for each in view.waiters] == [
            (1, ids[1], "flow", 1),
            (2, ids[2], "flow", 1),
        ]
        since = w.record(ids[1]).created_at_ms
        assert (view.waiters[0].since_ms, view.waiters[0].start_by_ms) == (since, since + 300_000)

    w = while_running(single(gates=(constant,)), {}, {}, {}, look=look)
    w.drain()
    gates = GatesClient(seen(w))
    assert gates.list() == []
    [idle] = gates.list(all=True)
    assert (idle.gate, idle.taken, idle.holders, idle.waiters, idle.limit) == (
        partition("flow/0"),
        0,
        (),
        (),
        1,
    )


def test_priorities_are_told(seen: Callable[[World], Desk]) -> None:
    def inside() -> None:
        for priority in (1, 3, 2):
            begin(w, {}, priority=priority)
        deliver_all(w)
        [view] = GatesClient(seen(w)).list()
        assert [(each.place, each.priority) for each in view.waiters] == [(1, 3), (2, 2), (3, 1)]

    w = world(single(gates=(gate(),)), inside=inside)
    begin(w, {})
    deliver_all(w)
    assert w.ran == ["flow"] * 4


def test_a_key_from_an_expression_is_found_where_tasks_wait_or_by_name(
    seen: Callable[[World], Desk],
) -> None:
    keyed = gate("flow/0", key="input['who']")

    def look(w: World, ids: list[str]) -> None:
        gates = GatesClient(seen(w))
        assert [(view.key, view.taken, len(view.waiters)) for view in gates.list()] == [("ann", 1, 1)]
        assert gates.get("flow/0", "ann").holders[0].run_id == ids[0]
        assert gates.get("flow/0", "bob") == GateView(
            gate=partition("flow/0", "bob"), kind=GateKind.CONCURRENCY, name="flow/0", key="bob", limit=1
        )
        with pytest.raises(ValueError, match=r"which gate is 'flow/0'\? Give its key"):
            gates.get("flow/0")

    while_running(single(gates=(keyed,)), {"who": "ann"}, {"who": "ann"}, {"who": "bob"}, look=look)


def test_a_limit_without_waiters(seen: Callable[[World], Desk]) -> None:
    gates = GatesClient(seen(world(single())))
    assert gates.list() == gates.list(all=True) == gates.find("flow") == []
    with pytest.raises(ValueError, match="which gate is 'nope'"):
        gates.get("nope")


def test_the_slots_of_a_worker(seen: Callable[[World], Desk]) -> None:
    def inside() -> None:
        deliver_all(w)
        desk = seen(w)
        desk.workers = [Slots("default", 1), Slots("other", None)]
        [view] = GatesClient(desk).list()
        assert (view.kind, view.name, view.key, view.limit, view.taken) == (
            GateKind.SLOTS,
            "worker:default",
            "",
            1,
            1,
        )
        assert [each.run_id for each in view.waiters] == [second]
        assert GatesClient(desk).find("default") == [view] == [GatesClient(desk).get("worker:default")]

    w = world(single(), inside=inside)
    w.engine = replace(w.engine, gate_limits=lambda: {"worker:default": 1})
    _, second = begin(w, {}, {})
    deliver_all(w)
    assert w.ran == ["flow"] * 2


def test_a_gate_of_several_items_is_one(seen: Callable[[World], Desk]) -> None:
    def look(w: World, ids: list[str]) -> None:
        view = GatesClient(seen(w)).get("flow/0")
        assert (view.limit, view.taken, len(view.holders), view.waiters) == (100, 1, 1, ())

    while_running(single(gates=(gate("flow/0", 100),)), {}, look=look)


def test_without_the_code_the_stack_s_plans_say_which_gates_there_are(desk: Desk) -> None:
    plan = single(gates=(gate("flow/0"),), rates=(RatePlan(key="ai"),))
    publish_workflows(desk.engine, [Published(plan=plan)])
    publish_workers(desk.engine, [DeclaredWorker(worker="default", workflows={"flow": {}, "gone": {}})])
    assert [view.gate for view in GatesClient(desk).list(all=True)] == [partition("flow/0"), "rate#ai"]


# ---------------------------------------------------------------- limits, pauses, labels


def test_what_is_left_of_a_window(seen: Callable[[World], Desk]) -> None:
    w = world(single(rates=(RatePlan(key="ai", units="3"),)))
    w.store.write(put_limit("ai", 4, 60_000, seen=Window()))
    desk = seen(w)
    [idle] = GatesClient(desk).list(all=True)
    start_ms = w.clock.now_ms() - w.clock.now_ms() % 60_000
    assert idle.window == LimitView(limit=4, left=4, window_ms=60_000, refills_at_ms=start_ms + 60_000)
    _, second = begin(w, {}, {})
    deliver_all(w)
    [view] = GatesClient(desk).list()
    assert (view.kind, view.name, view.limit, view.window) == (
        GateKind.RATE, "ai", None, LimitView(limit=4, left=1, window_ms=60_000, refills_at_ms=start_ms + 60_000),
    )  # fmt: skip
    assert [(each.run_id, each.cost) for each in view.waiters] == [(second, 3)]
    assert GatesClient(desk).find("ai") == [view]
    assert MetricsClient(desk).get_gate_stats()["rate#ai"].model_dump() == {
        "name": "ai", "key": "ai", "limit": 4, "taken": 3, "waiters": 1, "oldest": at(w.record(second).created_at_ms),
    }  # fmt: skip


def test_a_limit_that_was_never_set_is_not_found(seen: Callable[[World], Desk]) -> None:
    assert GatesClient(seen(world(single()))).find("ai") == []
    assert GatesClient(seen(world(single()))).get("rate#ai").window == LimitView(
        limit=None, left=0, window_ms=None, refills_at_ms=None
    )


def test_a_paused_workflow_is_listed_with_its_line_or_without(seen: Callable[[World], Desk]) -> None:
    w = world(single())
    pause(w.engine, "flow", Pause(queue_ttl_ms=3_600_000))
    [view] = GatesClient(seen(w)).list()
    assert (view.gate, view.kind, view.name, view.waiters) == ("pause#flow", GateKind.PAUSE, "flow", ())
    assert view.paused
    [waiting] = begin(w, {})
    delivered_ms = w.clock.now_ms()
    deliver_all(w)
    [view] = GatesClient(seen(w)).list()
    assert [(each.run_id, each.start_by_ms - delivered_ms) for each in view.waiters] == [(waiting, 3_600_000)]


def test_a_line_for_labels_tells_the_wishes(seen: Callable[[World], Desk]) -> None:
    required_labels = encode_required([("gpu", 3, 2)])
    w = world(single())
    [waiting] = begin(w, {}, routing=Routing(required_labels={"flow": required_labels}))
    [message] = w.queues.receive("default", limit=1, wait_s=0)
    host = replace(w.host("default"), labels=lambda: {"gpu": 1})
    assert deliver(w.engine, host, message, runner=run_at_once) == Done()
    [view] = GatesClient(seen(w)).list()
    assert (view.gate, view.kind, view.name) == ("labels#default", GateKind.LABELS, "default")
    assert [(each.run_id, json.loads(each.required_labels)) for each in view.waiters] == [
        (waiting, [["gpu", 3, 2]])
    ]


# ---------------------------------------------------------------- runs


def test_a_parked_task_says_what_it_waits_for_and_where_it_stands(seen: Callable[[World], Desk]) -> None:
    def look(w: World, ids: list[str]) -> None:
        runs = RunsClient(seen(w))
        rows = [runs.get(run_id).tasks[0] for run_id in ids]
        assert [(row.status.value, row.waits_for, row.place_in_line) for row in rows] == [
            ("RUNNING", None, None),
            ("QUEUED", "a place of flow/0, key 'x'", 1),
            ("QUEUED", "a place of flow/0, key 'x'", 2),
        ]
        assert runs.get_task_run(ids[2]).place_in_line == 2
        assert runs.get_details(ids[2]).task_runs["flow"].waits_for == rows[2].waits_for
        [row] = [row for row in runs.list(only_tasks=True).rows if row.task_external_id == ids[2]]
        assert (row.waits_for, row.place_in_line) == (rows[2].waits_for, None)

    while_running(single(gates=(gate("flow/0"),)), {}, {}, {}, look=look)


def test_a_cancelled_run_has_left_the_line(seen: Callable[[World], Desk]) -> None:
    def look(w: World, ids: list[str]) -> None:
        runs = RunsClient(seen(w))
        runs.cancel(ids[1])
        assert [(row.status.value, row.waits_for, row.place_in_line) for row in runs.get(ids[1]).tasks] == [
            ("CANCELLED", None, None)
        ]
        assert runs.get(ids[2]).tasks[0].place_in_line == 1

    while_running(single(gates=(gate(),)), {}, {}, {}, look=look)


def events(desk: Desk, run_id: str) -> str:
    return " ".join(event.event_type.value for event in RunsClient(desk).get(run_id).task_events)


def test_a_rate_limit_that_turned_a_task_back_is_an_event(seen: Callable[[World], Desk]) -> None:
    w = world(single(rates=(LIMITED,)))
    first, second = begin(w, {}, {})
    deliver_all(w)
    desk = seen(w)
    assert events(desk, first) == "CREATED QUEUED ASSIGNED STARTED FINISHED"
    assert events(desk, second) == "CREATED QUEUED REQUEUED_RATE_LIMIT"
    assert RunsClient(desk).get(second).tasks[0].waits_for == "units of rate limit 'ai'"
    w.drain()
    assert events(desk, second) == "CREATED QUEUED ASSIGNED STARTED FINISHED"


@pytest.mark.parametrize(("strategy", "whose"), [(CN, 1), (CIP, 0)])
def test_a_run_that_concurrency_cancels_says_why(
    seen: Callable[[World], Desk], strategy: GateStrategy, whose: int
) -> None:
    def look(w: World, ids: list[str]) -> None:
        details = RunsClient(seen(w)).get(ids[whose])
        assert details.run.status.value == details.tasks[0].status.value == "CANCELLED"
        for told in (
            details.run.error_message,
            details.tasks[0].error_message,
            details.task_events[-1].error_message,
        ):
            assert "CONCURRENCY" in str(told) or "CANCEL_NEWEST" in str(told)
        assert details.task_events[-1].event_type.value == "CANCELLED"

    while_running(single(gates=(replace(gate(), strategy=strategy),)), {}, {}, look=look)


# ---------------------------------------------------------------- metrics


def test_lines_are_counted_by_name_not_by_key(seen: Callable[[World], Desk]) -> None:
    keyed = gate("flow/0", key="input['who']")

    def look(w: World, ids: list[str]) -> None:
        since_ms = w.record(ids[1]).created_at_ms
        [stat] = MetricsClient(seen(w)).get_gate_stats().values()
        assert (stat.name, stat.key, stat.limit, stat.taken, stat.waiters) == ("flow/0", "ann", 1, 1, 2)
        assert stat.oldest == at(since_ms)
        with_another(w)
        assert tick(w.engine).lines == {"flow/0": Line(3, since_ms)}

    def with_another(w: World) -> None:
        """One more waits, at another key of the gate."""
        write = w.engine.store.write
        bob = partition("flow/0", "bob")
        late = w.clock.now_ms() + 9
        waiter = Waiter(
            gate=bob, sk="wait#3#1#r#flow", run_id="r", task="flow", number=0, ticket=1, worker="default", queued_at_ms=late,
            start_by_ms=late,
        )  # fmt: skip
        write(put_waiter(waiter, expires_at_s=9))
        write(mark(bob, "nonce", expires_at_s=9))

    while_running(single(gates=(keyed,)), {"who": "ann"}, {"who": "ann"}, {"who": "ann"}, look=look)
