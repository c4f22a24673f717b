"""Runs that have started do not stand behind those that have not: hand-overs, refills and retries go to a worker's second queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from support.fleet import Fleet
from support.gates import gate, left_over, rate, single
from support.records import plan, task
from support.world import World

from headrace.core.run.plans.plan import RunPlan
from headrace.core.run.record import TaskStatus
from headrace.engine.attempts.ports import Work
from headrace.errors import StackNotFound
from headrace.memory.clock import VirtualClock
from headrace.memory.queues import MemoryQueues
from headrace.ports import NEXT, Outgoing

PLAIN = plan(task("plain"), workflow="plain")
GATED = single(gates=(gate(key="input['key']"),))
LIMITED = single(rates=(rate(limit="10"),))
POLLED = ("default" + NEXT, "default")


def world(*flows: RunPlan, has_next: bool = True) -> World:
    w = World(
        plans={flow.workflow: flow for flow in flows},
        code={each.name: lambda work: {} for flow in flows for each in flow.tasks},
        max_receive_count=1_000,
    )
    if has_next:
        w.engine = replace(w.engine, next_queues=lambda: {"default"})
    return w


def work_through(w: World, ids: Sequence[str], *, slots: int, polled: tuple[str, ...] = POLLED) -> Fleet:
    fleet = Fleet(w, slots, queues=polled)
    fleet.drain(60 * 60_000)
    statuses = {row.status for run_id in ids for row in w.record(run_id).tasks.values()}
    assert statuses == {TaskStatus.COMPLETED}
    assert left_over(w) == []
    return fleet


def gated_ms(gated: int, *, plain: int, slots: int, has_next: bool = True) -> int:
    """How long the runs of 3 keys take, among so many that nothing holds back."""
    w = world(PLAIN, GATED, has_next=has_next)
    began_ms = w.clock.now_ms()
    ids = []
    for n in range(gated):
        ids += [w.start("plain") for _ in range(plain // gated)]
        ids.append(w.start("flow", {"key": f"k{n % 3}"}))
    fleet = work_through(w, ids, slots=slots, polled=POLLED if has_next else ("default",))
    assert fleet.most_held == 1
    return max(fleet.ended_ms["flow"]) - began_ms


@pytest.mark.parametrize(
    ("gated", "plain", "slots"), [(60, 600, 40), pytest.param(400, 4_000, 60, marks=pytest.mark.scale)]
)
def test_gated_runs_among_ten_times_as_many_others_take_half_as_long_again_at_most(
    gated: int, plain: int, slots: int
) -> None:
    alone = gated_ms(gated, plain=0, slots=slots)
    assert gated_ms(gated, plain=plain, slots=slots) <= 1.5 * alone


def test_with_one_queue_gated_runs_wait_for_all_the_others() -> None:
    alone = gated_ms(60, plain=0, slots=40)
    assert gated_ms(60, plain=600, slots=40, has_next=False) > 1.5 * alone


@pytest.mark.parametrize("backlog", [0, 500, pytest.param(6_000, marks=pytest.mark.scale)])
def test_a_limit_gives_nine_tenths_of_its_units_under_any_backlog(backlog: int) -> None:
    w = world(PLAIN, LIMITED)
    ids = [w.start("flow", {"key": "k"}) for _ in range(100)] + [w.start("plain") for _ in range(backlog)]
    fleet = work_through(w, ids, slots=20)
    ended = fleet.ended_ms["flow"]
    assert len(ended) == 100
    assert 100 / ((max(ended) - min(ended) + 1_000) / 1_000) >= 9


def test_what_starts_goes_to_the_first_queue_and_what_goes_on_to_the_next() -> None:
    isolated = task("a", retries=1, isolated=True)  # else its retry goes on in the same invocation
    retried = plan(isolated, task("c"), task("b", "a", "c"), workflow="flow")

    def body(work: Work) -> dict[str, str]:
        if work.task == "a" and work.record.tasks["a"].app_retry_count == 0:
            raise ValueError("no")
        return {}

    w = World(plans={"flow": retried}, code=dict.fromkeys("abc", body))
    w.engine = replace(w.engine, next_queues=lambda: {"default"})
    w.start("flow")
    assert (w.queues.depth("default"), w.queues.depth("default" + NEXT)) == (2, 0)
    [received] = w.queues.receive("default", limit=1, wait_s=0)
    from support.world import run_at_once

    from headrace.engine.runs.deliver import deliver

    deliver(w.engine, w.host("default"), received, runner=run_at_once)
    assert w.queues.depth("default" + NEXT) == 1


def test_a_stack_without_the_second_queue_has_it_all_in_the_first() -> None:
    class OneQueue(MemoryQueues):
        def __init__(self, clock: VirtualClock) -> None:
            super().__init__(clock)
            self.only = frozenset({"default"})

    w = world(GATED)
    queues = OneQueue(w.clock)
    w.queues, w.engine = queues, replace(w.engine, queues=queues)
    ids = [w.start("flow", {"key": "k"}) for _ in range(5)]
    work_through(w, ids, slots=3, polled=("default",))
    with pytest.raises(StackNotFound):
        w.engine.send("other", [Outgoing(body="{}")])
