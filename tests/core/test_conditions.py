"""What a task does that waits for time or for events: the first that holds wins, then SKIP, CANCEL, run."""

from __future__ import annotations

import pytest
from support.records import T0, plan, record, task

from headrace.core.run.derived.graph import states
from headrace.core.run.derived.progress import finished, pending
from headrace.core.run.plans.encoding import decode_plan, encode_plan
from headrace.core.run.plans.plan import Groups, ParentLeaf, PlannedEvent, PlannedSleep
from headrace.core.run.record import TaskStatus
from headrace.core.waits.conditions import Cancels, Decision, EventSeen, Facts, Runs, Skips, Waits, decide


def sleep(number: int, seconds: int) -> PlannedSleep:
    return PlannedSleep(number=number, key=f"sleep:{seconds}s", duration_ms=seconds * 1000)


def event(number: int, key: str = "go") -> PlannedEvent:
    return PlannedEvent(number=number, key=key, event_key=key)


RACE = plan(
    task(
        "a",
        wait_for=((sleep(0, 10), event(1)),),
        skip_if=((sleep(2, 20),),),
        cancel_if=((event(3, "stop"),),),
    )
)


@pytest.mark.parametrize(
    ("after_s", "events", "decision"),
    [
        (0, {}, Waits(T0 + 10_000)),
        (9.999, {}, Waits(T0 + 10_000)),
        (10, {}, Runs(at_ms=T0 + 10_000, data={"sleep:10s": {"sleep_duration": "10s"}})),
        (5, {1: 4}, Runs(at_ms=T0 + 4_000, data={"go": {"n": 1}})),
        (5, {1: 4, 3: 3}, Cancels()),
        (5, {1: 3, 3: 4}, Runs(at_ms=T0 + 3_000, data={"go": {"n": 1}})),
        (5, {1: 3, 3: 3}, Cancels()),
        (30, {3: 15}, Runs(at_ms=T0 + 10_000, data={"sleep:10s": {"sleep_duration": "10s"}})),
    ],
)
def test_the_first_action_that_holds_is_taken(
    after_s: float, events: dict[int, int], decision: Decision
) -> None:
    seen = {n: EventSeen(at_ms=T0 + at_s * 1000, payload={"n": 1}) for n, at_s in events.items()}
    facts = Facts(now_ms=T0 + int(after_s * 1000), events=seen)
    assert pending(record(RACE)) == ("a",)
    assert decide(record(RACE), "a", facts) == decision


def test_skip_goes_before_run_where_both_hold_at_once() -> None:
    both = plan(task("a", wait_for=((sleep(0, 5),),), skip_if=((sleep(1, 5),),)))
    assert decide(record(both), "a", Facts(now_ms=T0 + 5_000, events={})) == Skips()


def test_all_groups_must_hold_and_the_last_of_them_says_when() -> None:
    flow = plan(task("a", wait_for=((sleep(0, 5),), (event(1), sleep(2, 60)))))
    seen = {1: EventSeen(at_ms=T0 + 2_000, payload={})}
    assert decide(record(flow), "a", Facts(now_ms=T0 + 4_000, events=seen)) == Waits(T0 + 5_000)
    found = decide(record(flow), "a", Facts(now_ms=T0 + 6_000, events=seen))
    assert isinstance(found, Runs)
    assert (found.at_ms, list(found.data)) == (T0 + 5_000, ["sleep:5s", "go"])


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"wait_for": ((ParentLeaf(number=0, parent="p"),),)}, TaskStatus.QUEUED),
        ({"wait_for": ((ParentLeaf(number=0, parent="p"), sleep(1, 5)),)}, TaskStatus.QUEUED),
        ({"wait_for": ((ParentLeaf(number=0, parent="p"),), (sleep(1, 5),))}, TaskStatus.WAITING),
        ({"skip_if": ((sleep(0, 5),),)}, TaskStatus.QUEUED),
        (
            {"wait_for": ((sleep(0, 5),),), "skip_if": ((ParentLeaf(number=1, parent="p"),),)},
            TaskStatus.SKIPPED,
        ),
        (
            {"wait_for": ((sleep(0, 5),),), "cancel_if": ((ParentLeaf(number=1, parent="p"),),)},
            TaskStatus.CANCELLED,
        ),
        (
            {"wait_for": ((ParentLeaf(number=0, parent="p", expression="false"),), (sleep(1, 5),))},
            TaskStatus.SKIPPED,
        ),
    ],
)
def test_what_the_parents_decide_alone_waits_for_nothing(
    options: dict[str, Groups], status: TaskStatus
) -> None:
    flow = plan(task("p"), task("a", "p", **options))
    state = states(record(flow, p=TaskStatus.COMPLETED))["a"]
    assert (state.status, state.pending) == (status, status is TaskStatus.WAITING)


def test_a_task_waits_only_once_its_parents_are_done_and_holds_its_run_open() -> None:
    flow = plan(task("p"), task("a", "p", wait_for=((sleep(0, 5),),)))
    assert pending(record(flow)) == ()
    assert pending(record(flow, p=TaskStatus.COMPLETED)) == ("a",)
    assert not finished(record(flow, p=TaskStatus.COMPLETED))
    assert states(record(flow, p=TaskStatus.FAILED))["a"].status is TaskStatus.CANCELLED


def test_the_plan_keeps_every_condition() -> None:
    full = PlannedEvent(
        number=2, key="k", event_key="order:paid", expression="input.x > 1", scope="s", since_ms=T0
    )
    flow = plan(
        task("p"), task("a", "p", wait_for=((ParentLeaf(number=0, parent="p"), sleep(1, 5)), (full,)))
    )
    assert decode_plan(flow.workflow, flow.version, encode_plan(flow)).tasks == flow.tasks
