"""Plans stand in the table by hash: written before the runs that name them, read by processes that have not met them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from support.records import plan, task
from support.world import KillAt, Killed, World

from headrace.core.changes import Delete
from headrace.core.run.derived.progress import finished, run_status
from headrace.core.run.message import decode_message, encode_message
from headrace.core.run.plans.encoding import plan_hash
from headrace.core.run.plans.known import _KNOWN, UnknownPlan, known_plan, remember_plan
from headrace.core.run.plans.plan import RunPlan
from headrace.core.run.record import RunStatus
from headrace.core.table import plan_key
from headrace.engine.attempts.ports import Done, Poison
from headrace.engine.runs.deliver import deliver

FLOW = plan(
    task("first"), task("second", "first"), task("third", "first", "second", worker="other"), workflow="flow"
)
NEXT = plan(task("first", retries=3), task("other"), workflow="flow")
DAY_MS = 86_400_000


@pytest.fixture(autouse=True)
def new_process() -> Iterator[None]:
    forget_plans()
    yield
    forget_plans()


def forget_plans() -> None:
    """As a process that has just begun."""
    _KNOWN.clear()


def world(flow: RunPlan = FLOW, fault: KillAt | None = None) -> World:
    names = {each.name for each in flow.tasks}
    return World(plans={flow.workflow: flow}, code=dict.fromkeys(names, lambda work: {}), faults=fault)


def drain_by_new_processes(w: World) -> None:
    """Every delivery is another process's first."""
    for _ in range(200):
        forget_plans()
        w.engine.plans.clear()
        if not w.deliver_next():
            due_ms = w.queues.next_visible_ms()
            if due_ms is None:
                return
            w.clock.advance_to(due_ms)
    raise AssertionError("not quiet")


def expiry_s(w: World, flow: RunPlan) -> int:
    item = w.store.get(plan_key(plan_hash(flow)))
    assert item is not None
    return int(str(item["expires_at"]))


def test_a_run_finishes_by_processes_that_never_met_its_plan() -> None:
    w = world()
    run_id = w.start("flow")
    w.plans = {"flow": replace(NEXT, tasks=(*NEXT.tasks, *FLOW.tasks[1:]))}  # another deployment's code
    drain_by_new_processes(w)
    record = w.record(run_id)
    assert (run_status(record), record.plan) == (RunStatus.COMPLETED, FLOW)
    assert sorted(w.ran) == ["first", "second", "third"]


@pytest.mark.parametrize("after_effect", [False, True])
def test_wherever_the_starter_dies_others_can_run_what_it_sent(after_effect: bool) -> None:
    for n in range(10):
        forget_plans()
        fault = KillAt(n, after_effect)
        w = world(fault=fault)
        with contextlib.suppress(Killed):
            w.start("flow")
        fault.armed = False
        drain_by_new_processes(w)
        runs = [str(item["pk"]).removeprefix("run#") for item in w.store.items() if item["sk"] == "run"]
        assert len(runs) <= 1
        assert all(finished(w.record(run_id)) for run_id in runs), f"killed at {fault.hit}"
        assert w.queues.depth() == 0


def test_the_plan_is_written_once_and_names_nothing_in_the_record() -> None:
    w = world()
    ids = [w.start("flow"), w.start("flow")]
    plans = [item for item in w.store.items() if item["sk"] == "plan"]
    assert [str(item["pk"]) for item in plans] == [f"plan#{plan_hash(FLOW)}"]
    for run_id in ids:
        item = w.store.get(w.record(run_id).key)
        assert item is not None
        assert "second" not in json.dumps(item["tasks"]) + str(item["ph"])


def test_the_plan_outlives_every_run_that_starts_with_it() -> None:
    w = world()
    for _ in range(12):
        run = w.record(w.start("flow"))
        assert expiry_s(w, FLOW) >= run.expires_at_s
        w.clock.advance(10 * DAY_MS)
    w.engine.plans.clear()
    run = w.record(w.start("flow"))
    assert expiry_s(w, FLOW) >= run.expires_at_s


def test_another_process_writes_no_plan_that_is_there() -> None:
    w = world()
    w.start("flow")
    before = expiry_s(w, FLOW)
    w.engine.plans.clear()
    w.clock.advance(DAY_MS)
    w.start("flow")
    assert expiry_s(w, FLOW) == before


def test_a_message_of_a_plan_that_is_not_there_says_so() -> None:
    w = world()
    w.start("flow")
    w.store.write(Delete(key=plan_key(plan_hash(FLOW))))
    [message] = w.queues.receive("default", limit=1, wait_s=0)
    forget_plans()
    verdict = deliver(w.engine, w.host("default"), message)
    assert isinstance(verdict, Poison)
    assert plan_hash(FLOW) in verdict.reason


def test_code_at_hand_costs_no_read() -> None:
    w = world()
    w.start("flow")
    w.store.write(Delete(key=plan_key(plan_hash(FLOW))))
    forget_plans()
    w.engine = replace(w.engine, own_plans=lambda: [NEXT, FLOW])
    [message] = w.queues.receive("default", limit=1, wait_s=0)
    assert deliver(w.engine, w.host("default"), message) == Done()


def test_a_hash_stands_for_all_that_a_plan_says() -> None:
    others = [
        replace(FLOW, version="2"),
        replace(FLOW, workflow="flow2"),
        replace(FLOW, tasks=FLOW.tasks[:2]),
        replace(FLOW, sticky="soft"),
    ]
    assert len({plan_hash(each) for each in (FLOW, *others)}) == 5
    name = remember_plan(FLOW)
    assert known_plan(name) == FLOW
    forget_plans()
    with pytest.raises(UnknownPlan):
        known_plan(name)


def test_a_start_message_needs_the_plan_to_be_read() -> None:
    w = world()
    w.start("flow")
    [received] = w.queues.receive("default", limit=1, wait_s=0)
    sent = decode_message(received.body)
    forget_plans()
    with pytest.raises(UnknownPlan):
        decode_message(received.body)
    remember_plan(FLOW)
    assert decode_message(received.body) == sent
    assert encode_message(sent) == received.body  # type: ignore[arg-type]  # it is a task's
