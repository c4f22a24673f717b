"""A process that dies at any call of a port, before or after its effect, while runs wait at gates and limits.

Whatever is killed, in the end every run has ended as it should, and no place, waiter, mark or message is left; and without the clock.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from support.gates import CIP, gate, left_over, rate, single, statuses
from support.records import plan, task
from support.world import KillAt, Killed, World

from headrace.core.run.plans.plan import Json, RunPlan
from headrace.core.run.record import RunStatus
from headrace.core.run.stored.record import record_of
from headrace.engine.attempts.ports import Work
from headrace.errors import QueueUnavailable, StoreUnavailable

RUNS = 3
DONE = RunStatus.COMPLETED

ONE_PLACE = single("one place", gates=(gate(),))
TWO_PLACES = single("two places", gates=(gate(max_runs=2),))
CHAINED = single("chained", gates=(gate("outer", 2), gate("inner", 1)))
RETRIED = single("retried", gates=(gate(),), retries=1)
NEWEST_WINS = single("newest wins", gates=(gate(strategy=CIP),))
OF_RUNS = replace(
    plan(task("a"), task("b"), task("c", "a", "b"), workflow="of runs"), gates=(gate("of runs/0"),)
)
A_SECOND = single("a second", rates=(rate(),))
BOTH = single("both", gates=(gate(max_runs=2),), rates=(rate(limit="2"),))
FLOWS = [ONE_PLACE, TWO_PLACES, CHAINED, RETRIED, NEWEST_WINS, OF_RUNS, A_SECOND, BOTH]


def body(work: Work) -> Json:
    row = work.record.tasks[work.task]
    if work.record.plan.workflow == "retried" and row.app_retry_count == 0:
        raise ValueError("first attempts fail")
    return {"task": work.task}


def attempt(flow: RunPlan, fault: KillAt) -> tuple[World, list[str]]:
    """Start some runs, the first of which delivers the others' messages while it runs, so that they have to wait."""
    w = World(plans={flow.workflow: flow}, code={}, faults=fault)
    nested = 0

    def at_once(work: Work) -> Json:
        nonlocal nested
        if nested < RUNS:
            nested += 1
            while w.deliver_next():
                pass
        return body(work)

    w.code = dict.fromkeys((each.name for each in flow.tasks), at_once)
    ids: list[str] = []
    for _ in range(RUNS):
        with contextlib.suppress(Killed):
            ids.append(w.start(flow.workflow))
        w.clock.advance(1)
    settle(w)
    return w, ids


def settle(w: World) -> None:
    """Deliver until nothing is left, without a clock that ticks."""
    for _ in range(2_000):
        if w.deliver_next():
            continue
        due_ms = w.queues.next_visible_ms()
        if due_ms is None:
            return
        w.clock.advance_to(due_ms)
    raise AssertionError(f"not quiet: {w.queues.depth()} messages left")


def runs(w: World) -> list[str]:
    """The runs that exist, oldest first: also one whose client died before it heard of it."""
    records = [record_of(item) for item in w.store.items() if item["sk"] == "run"]
    return [each.run_id for each in sorted(records, key=lambda each: each.created_at_ms)]


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.workflow)
def test_any_crash_point(flow: RunPlan, after_effect: bool) -> None:
    clean = KillAt(10**9, after_effect)
    attempt(flow, clean)
    assert clean.calls > 10
    for n in range(clean.calls):
        fault = KillAt(n, after_effect)
        w, ids = attempt(flow, fault)
        where = f"killed at call {n} ({fault.hit}), {'after' if after_effect else 'before'} its effect"
        ended = runs(w)
        assert set(ids) <= set(ended), where
        wanted = {DONE, RunStatus.CANCELLED} if flow is NEWEST_WINS else {DONE}
        assert set(statuses(w, ended)) <= wanted, where
        assert statuses(w, ended)[-1] is DONE, where
        assert w.queues.depth() == 0, where
        assert left_over(w) == [], where


class LostAt(KillAt):
    """In place of a death, a call that is answered with an error: its effect took place or not."""

    def _kill(self, port: str, call: str) -> None:
        self.armed, self.hit = False, f"{port}.{call}"
        raise (StoreUnavailable if port == "store" else QueueUnavailable)(self.hit)


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.workflow)
def test_any_call_may_fail(flow: RunPlan, after_effect: bool) -> None:
    clean = LostAt(10**9, after_effect)
    attempt(flow, clean)
    for n in range(clean.calls):
        fault = LostAt(n, after_effect)
        try:
            w, ids = attempt(flow, fault)
        except (StoreUnavailable, QueueUnavailable):
            continue  # the client was told
        where = f"call {n} ({fault.hit}) failed, {'after' if after_effect else 'before'} its effect"
        wanted = {DONE, RunStatus.CANCELLED} if flow is NEWEST_WINS else {DONE}
        assert set(statuses(w, ids)) <= wanted, where
        assert w.queues.depth() == 0, where
        assert left_over(w) == [], where
