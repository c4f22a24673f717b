"""Concurrency on the memory ports: who runs, who waits, in which order, and what is left in the end."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from uuid import UUID

import pytest
from support.families import Family
from support.gates import CIP, CN, Order, gate, left_over, line, partition, single, state, statuses
from support.records import plan, task
from support.world import PermanentError, World

from headrace.core.changes import Item, Put
from headrace.core.run.derived.graph import states
from headrace.core.run.derived.progress import run_status
from headrace.core.run.plans.plan import Json, RunPlan
from headrace.core.run.record import RunStatus, TaskStatus
from headrace.core.table import gate_key
from headrace.engine.attempts.ports import Outcome, Work
from headrace.engine.clock.tick import tick
from headrace.engine.owed.cancel import cancel
from headrace.engine.runs.dead_letter import fail_dead_letter
from headrace.engine.runs.read import read
from headrace.engine.runs.start import NewRun, start_many

DONE, CANCELLED, FAILED = RunStatus.COMPLETED, RunStatus.CANCELLED, RunStatus.FAILED


def world(*plans: RunPlan, code: object = None, limits: dict[str, int] | None = None) -> World:
    names = {each.name for p in plans for each in p.tasks}
    body = code or (lambda work: {"ok": True})
    w = World(plans={p.workflow: p for p in plans}, code=dict.fromkeys(names, body))  # type: ignore[arg-type]  # a body
    if limits is not None:
        w.engine = replace(w.engine, gate_limits=lambda: limits)
    return w


def begin(w: World, runs: int, workflow: str = "flow") -> list[str]:
    """So many runs, a millisecond apart: their ages tell them apart."""
    ids = []
    for _ in range(runs):
        ids.append(w.start(workflow))
        w.clock.advance(1)
    return ids


@dataclass(slots=True)
class AtOnce:
    """Delivers everything that is visible while it runs, `depth` deep: what Lambdas would do at the same time."""

    w: World | None = None
    most: int = 0
    now: int = 0

    def __call__(self, work: Work) -> Json:
        assert self.w is not None
        self.now += 1
        self.most = max(self.most, self.now)
        if self.now < 8:
            while self.w.deliver_next():
                pass
        self.now -= 1
        return {"ok": True}


@pytest.mark.parametrize(("max_runs", "runs"), [(1, 5), (2, 6), (3, 3), (5, 12)])
def test_never_more_than_max_runs_at_once_and_all_run(max_runs: int, runs: int) -> None:
    code = AtOnce()
    w = world(single(gates=(gate(max_runs=max_runs),)), code=code)
    code.w = w
    ids = begin(w, runs, "flow")
    w.drain()
    assert statuses(w, ids) == [DONE] * runs
    assert code.most == min(max_runs, runs)
    assert left_over(w) == []


def test_a_freed_place_is_taken_by_one_message_without_the_clock() -> None:
    order = Order()
    w = world(single(gates=(gate(),)))
    blocked: list[str] = []

    def first_blocks(work: Work) -> Json:
        if not order.runs:
            order(work)
            while w.deliver_next():
                pass
            blocked.extend(line(w, partition()))
            return None
        return order(work)

    w.code = {"flow": first_blocks}
    ids = begin(w, 4, "flow")
    while w.deliver_next():
        pass
    assert blocked == ids[1:]
    assert order.runs == ids
    assert left_over(w) == []


def test_priority_then_age_decides_and_a_retry_lines_up_ahead_of_high() -> None:
    """The first run fails once while the others wait. Its place goes to the head, and it lines up before all others."""
    order = Order()
    w = world(single(gates=(gate(),), retries=1))

    def body(work: Work) -> Json:
        if not order.runs:
            order(work)
            for priority in (1, 3, 2, 3):
                w.clock.advance(10)
                names.append(w.start("flow", priority=priority))
            while w.deliver_next():
                pass
            raise ValueError("once")
        return order(work)

    w.code = {"flow": body}
    names = [w.start("flow", priority=1)]
    w.drain()
    first, low, high, medium, high_too = names
    assert order.runs == [first, high, first, high_too, medium, low]


def test_runs_that_one_call_starts_wait_in_the_order_given() -> None:
    """They are equally old, and their messages may come in any order."""
    order = Order()
    w = world(single(gates=(gate(),)))

    def first_blocks(work: Work) -> Json:
        if not order.runs:
            order(work)
            while w.deliver_next():
                pass
            return None
        return order(work)

    w.code = {"flow": first_blocks}
    ids = [record.run_id for record in start_many(w.engine, [NewRun(plan=w.plans["flow"], input=None)] * 12)]
    w.drain()
    assert order.runs == ids
    assert ids != sorted(ids)


def test_a_newcomer_does_not_overtake_a_waiter() -> None:
    order = Order()
    w = world(single(gates=(gate(),)))
    late: list[str] = []

    def body(work: Work) -> Json:
        order(work)
        if len(order.runs) == 1:
            while w.deliver_next():
                pass
        elif not late:
            late.append(w.start("flow"))
            while w.deliver_next():
                pass
        return None

    w.code = {"flow": body}
    ids = begin(w, 3, "flow")
    w.drain()
    assert order.runs == [*ids, *late]


def test_each_value_of_a_key_has_its_own_places() -> None:
    code = AtOnce()
    w = world(single(gates=(gate(key="input['user']"),)), code=code)
    code.w = w
    ids = [w.start("flow", {"user": user}) for user in "aabbb"]
    w.drain()
    assert statuses(w, ids) == [DONE] * 5
    assert code.most == 2
    assert left_over(w) == []


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("input['user']", {"n": 1}, "input['user']"),
        ("input", {"n": 1}, "a dict"),
        ("input['user']", None, "user"),
    ],
)
def test_a_key_that_cannot_be_evaluated_fails_the_task_with_the_reason(
    key: str, value: Json, reason: str
) -> None:
    w = world(single(gates=(gate(key=key),)))
    run_id = w.start("flow", value)
    w.drain()
    row = w.record(run_id).tasks["flow"]
    assert (row.status, w.ran) == (TaskStatus.FAILED, [])
    assert row.error is not None
    assert reason in row.error.message


def test_cancel_newest_cancels_a_run_that_finds_the_places_taken() -> None:
    code = AtOnce()
    w = world(single(gates=(gate(strategy=CN),)), code=code)
    code.w = w
    ids = begin(w, 3, "flow")
    w.drain()
    assert statuses(w, ids) == [DONE, CANCELLED, CANCELLED]
    error = w.record(ids[1]).tasks["flow"].error
    assert error is not None
    assert "CANCEL_NEWEST" in error.message
    assert left_over(w) == []


def test_cancel_in_progress_lets_the_newest_run() -> None:
    code = AtOnce()
    w = world(single(gates=(gate(strategy=CIP),)), code=code)
    code.w = w
    ids = []
    for _ in range(4):
        ids.append(w.start("flow"))
        w.clock.advance(5)
    w.drain()
    assert statuses(w, ids) == [CANCELLED, CANCELLED, CANCELLED, DONE]
    assert "took its place" in str(w.record(ids[0]).cancel_reason)
    assert left_over(w) == []


def test_a_run_that_comes_late_does_not_put_out_a_newer_one() -> None:
    """Messages arrive in any order: the older run cancels itself."""
    w = world(single(gates=(gate(strategy=CIP),)))
    old = w.start("flow")
    [held_back] = w.queues.receive("default", limit=1, wait_s=0)
    w.clock.advance(5)

    def newer(work: Work) -> Json:
        if work.record.run_id != old:
            w.queues.hide(held_back, 0)
            w.deliver_next()
        return None

    w.code = {"flow": newer}
    new = w.start("flow")
    w.drain()
    assert statuses(w, [old, new]) == [CANCELLED, DONE]
    assert w.ran == ["flow"]


def test_two_gates_are_passed_in_order_and_held_together() -> None:
    code = AtOnce()
    w = world(single(gates=(gate("outer", 3), gate("inner", 2, "input['user']"))), code=code)
    code.w = w
    ids = [w.start("flow", {"user": user}) for user in "aaaabbbb"]
    w.drain()
    assert statuses(w, ids) == [DONE] * 8
    assert code.most == 3
    assert left_over(w) == []


# ---------------------------------------------------------------- runs as a whole


def gated_run(max_runs: int = 1, **strategy: object) -> RunPlan:
    flow = plan(task("a"), task("b"), task("c", "a", "b"), workflow="flow")
    return replace(flow, gates=(gate("flow/0", max_runs, **strategy),))  # type: ignore[arg-type]  # gate's options


def test_a_runs_place_is_held_until_its_last_task_is_done() -> None:
    order = Order()
    w = world(gated_run(), code=order)
    ids = begin(w, 3, "flow")
    w.drain()
    assert statuses(w, ids) == [DONE] * 3
    assert order.runs == [ids[0]] * 3 + [ids[1]] * 3 + [ids[2]] * 3
    assert left_over(w) == []


def test_one_root_stands_at_the_runs_gate_for_all() -> None:
    w = world(gated_run())
    w.start("flow")
    assert w.queues.depth() == 1, "the other root's message comes once the first was admitted"


@pytest.mark.parametrize("end", ["fails", "cancelled"])
def test_a_run_that_ends_otherwise_frees_its_place_too(end: str) -> None:
    w = world(gated_run())

    def body(work: Work) -> Json:
        if work.record.run_id == ids[0] and end == "fails":
            raise PermanentError("no")
        if work.record.run_id == ids[0]:
            cancel(w.engine, ids[0])
        return None

    w.code = dict.fromkeys("abc", body)
    ids = begin(w, 2, "flow")
    w.drain()
    assert statuses(w, ids) == [FAILED if end == "fails" else CANCELLED, DONE]
    assert left_over(w) == []


def test_a_run_that_is_turned_away_is_cancelled_as_a_whole() -> None:
    code = AtOnce()
    w = world(gated_run(strategy=CN), code=code)
    code.w = w
    ids = begin(w, 2, "flow")
    w.drain()
    assert statuses(w, ids) == [DONE, CANCELLED]
    assert {each.status for each in states(w.record(ids[1])).values()} == {TaskStatus.CANCELLED}
    assert left_over(w) == []


def test_a_root_that_waited_too_long_lets_no_other_root_past_the_gate() -> None:
    flow = gated_run()
    short = replace(flow, tasks=tuple(replace(each, schedule_timeout_ms=30_000) for each in flow.tasks))
    w = world(short)
    seen: list[str] = []

    def body(work: Work) -> Json:
        seen.append(work.record.run_id)
        if len(seen) == 1:
            while w.deliver_next():
                pass
            w.clock.advance(31_000)
            tick(w.engine)
            while w.deliver_next():
                pass
        return None

    w.code = dict.fromkeys("abc", body)
    ids = begin(w, 2, "flow")
    w.drain()
    assert run_status(w.record(ids[1])) is CANCELLED
    assert ids[1] not in seen
    assert left_over(w) == []


def test_roots_whose_gatekeeper_has_ended_let_each_other_in() -> None:
    """The root that stood at the gate for all was buried; the others line up, and the first one in wakes the rest."""
    flow = replace(plan(task("a"), task("b"), task("c"), workflow="flow"), gates=(gate("flow/0"),))
    w = world(flow)
    seen: list[str] = []

    def body(work: Work) -> Json:
        if not seen:
            seen.append(work.task)
            [letter] = [
                each for each in w.queues.receive("default", limit=10, wait_s=0) if second in each.body
            ]
            fail_dead_letter(w.engine, letter, reason="delivered too often")
            w.queues.delete(letter)
            while w.deliver_next():
                pass
            seen.extend(line(w, partition("flow/0")))
        return None

    w.code = dict.fromkeys("abc", body)
    first = w.start("flow")
    w.clock.advance(1)
    second = w.start("flow")
    w.drain()
    assert statuses(w, [first, second]) == [DONE, FAILED]
    assert seen == ["a", second, second]
    assert {name: row.status for name, row in w.record(second).tasks.items()} == {
        "a": TaskStatus.FAILED,
        "b": TaskStatus.COMPLETED,
        "c": TaskStatus.COMPLETED,
    }
    assert left_over(w) == []


# ---------------------------------------------------------------- who waits and ends


def blocked_world(**options: object) -> tuple[World, list[str], list[str]]:
    """A world whose first run waits, in user code, for what a test does then: `during` is called once."""
    w = world(single(gates=(gate(),), **options))
    return w, [], []


def test_a_run_that_is_cancelled_while_it_waits_leaves_the_line_at_once() -> None:
    w, ids, seen = blocked_world()

    def body(work: Work) -> Json:
        if work.record.run_id == ids[0]:
            while w.deliver_next():
                pass
            assert cancel(w.engine, ids[1])
            seen.extend(line(w, partition()))
        return None

    w.code = {"flow": body}
    ids.extend(begin(w, 3))
    w.drain()
    assert seen == [ids[2]]
    assert statuses(w, ids) == [DONE, CANCELLED, DONE]
    assert left_over(w) == []


@pytest.mark.parametrize("by", ["the clock", "a read"])
def test_a_task_that_waits_past_the_schedule_timeout_is_cancelled(by: str) -> None:
    w, ids, seen = blocked_world(schedule_timeout_ms=20_000)

    def body(work: Work) -> Json:
        if work.record.run_id == ids[0]:
            while w.deliver_next():
                pass
            w.clock.advance(21_000)
            if by == "the clock":
                tick(w.engine)
                while w.deliver_next():
                    pass
            else:
                read(w.engine, ids[1])
            seen.extend(line(w, partition()))
        return None

    w.code = {"flow": body}
    ids.extend(begin(w, 2))
    w.drain()
    error = w.record(ids[1]).tasks["flow"].error
    assert seen == []
    assert error is not None
    assert (statuses(w, ids), error.type) == ([DONE, CANCELLED], "SCHEDULING_TIMED_OUT")
    assert left_over(w) == []


def test_a_waiter_whose_run_is_gone_does_not_block_the_line() -> None:
    w, ids, _ = blocked_world()

    def body(work: Work) -> Json:
        if work.record.run_id == ids[0]:
            while w.deliver_next():
                pass
            del w.store._partitions[f"run#{ids[1]}"]  # it expired
        return None

    w.code = {"flow": body}
    ids.extend(begin(w, 3))
    w.drain()
    assert statuses(w, [ids[0], ids[2]]) == [DONE, DONE]
    assert left_over(w) == []


def test_the_clock_frees_the_place_of_a_holder_that_entered_under_its_long_name() -> None:
    w = world(single(gates=(gate(),)))
    ended = str(UUID(int=1))
    item: Item = {f"h:{ended}/flow": {"t": 1, "a": w.clock.now_ms()}, "c": 1, "n": 1}
    w.store.write(Put(key=gate_key(partition()), item=item))
    ids = begin(w, 1)
    while w.deliver_next():
        pass
    assert line(w, partition()) == ids
    w.clock.advance(60_001)
    tick(w.engine)
    w.drain()
    assert statuses(w, ids) == [DONE]
    assert left_over(w) == []


# ---------------------------------------------------------------- slots, limits that change, many places


def test_slots_cap_a_worker_and_cost_weighs() -> None:
    code = AtOnce()
    flow = replace(plan(task("heavy", slot_cost=2), task("light"), workflow="flow"), gates=())
    w = world(flow, code=code, limits={"worker:default": 3})
    code.w = w
    ids = begin(w, 4, "flow")
    w.drain()
    assert statuses(w, ids) == [DONE] * 4
    assert code.most in (2, 3)
    assert left_over(w) == []


def test_a_limit_that_a_deployment_raises_wakes_its_waiters() -> None:
    limits = {"g": 1}
    code = AtOnce()
    w = world(single(gates=(gate(),)), code=code, limits=limits)
    code.w = w

    def first_raises(work: Work) -> Json:
        if code.now == 0 and limits["g"] == 1:
            while w.deliver_next():
                pass
            limits["g"] = 3
        return code(work)

    w.code = {"flow": first_raises}
    ids = begin(w, 7, "flow")
    w.drain()
    assert statuses(w, ids) == [DONE] * 7
    assert code.most == 3
    assert left_over(w) == []


def test_a_limit_that_a_deployment_lowers_loses_no_waiter() -> None:
    limits = {"g": 3}
    w = world(single(gates=(gate(max_runs=3),)), limits=limits)
    running: list[int] = []
    now = 0

    def body(work: Work) -> Json:
        nonlocal now
        now += 1
        if now < 5:
            while w.deliver_next():
                pass
        limits["g"] = 1
        running.append(now)
        now -= 1
        return None

    w.code = {"flow": body}
    ids = begin(w, 8, "flow")
    w.drain()
    assert statuses(w, ids) == [DONE] * 8
    assert running[:3] == [3, 2, 1]
    assert set(running[3:]) == {1}
    assert left_over(w) == []


def test_many_places_are_spread_over_items_and_hold_together() -> None:
    code = AtOnce()
    w = world(single(gates=(gate(max_runs=100),)), code=code)
    code.w = w
    ids = begin(w, 30, "flow")
    w.drain()
    assert statuses(w, ids) == [DONE] * 30
    assert sum(str(item["pk"]).startswith("places#") for item in w.store.items()) == 4
    assert left_over(w) == []


def test_a_gate_of_several_items_fills_up_to_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.core.waits.passes.PLACES_AN_ITEM", 2)
    code = AtOnce()
    w = world(single(gates=(gate(max_runs=5),)), code=code)
    code.w = w
    ids = begin(w, 12, "flow")
    w.drain()
    assert statuses(w, ids) == [DONE] * 12
    assert code.most == 5
    assert left_over(w) == []


# ---------------------------------------------------------------- a durable parent


@dataclass(frozen=True, slots=True)
class Waits:
    """A parent of two children that holds no invocation while it waits."""

    w: World
    is_async: bool = False

    def call(self, work: Work) -> Outcome:
        self.w.ran.append(work.record.run_id)
        return Family(self.w.engine, self.w.plans["child"], 2).call(work)

    async def acall(self, work: Work) -> Outcome:
        return self.call(work)


def test_a_parent_that_waits_for_its_children_keeps_its_place() -> None:
    w = world(single("parent", gates=(gate(),)), single("child"))
    w.code = {"child": lambda work: {"ok": json.dumps(work.task)}}
    w.more["parent", "parent"] = Waits(w)
    ids = begin(w, 3, "parent")
    w.drain()
    assert statuses(w, ids) == [DONE] * 3
    order = [name for name in w.ran if name in ids]
    assert order == sorted(order, key=ids.index), "one family after the other"
    assert left_over(w) == []


def test_a_parent_that_is_cancelled_while_it_waits_frees_its_place() -> None:
    w = world(single("parent", gates=(gate(),)), single("child"))
    seen: list[str] = []

    def child(work: Work) -> Json:
        if not seen and work.record.parent is not None:
            seen.append(work.record.parent.run_id)
            cancel(w.engine, seen[0])
        return None

    w.code = {"child": child}
    w.more["parent", "parent"] = Waits(w)
    ids = begin(w, 2, "parent")
    w.drain()
    assert statuses(w, ids) == [CANCELLED, DONE]
    assert left_over(w) == []
    assert state(w, partition()).taken == 0
