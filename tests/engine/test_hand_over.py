"""A place that is handed over, on the memory ports: what becomes of it where a process dies, or a run is cancelled, in that moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from unittest.mock import patch

import pytest
from support.gates import gate, left_over, partition, single, state, statuses
from support.records import plan, record, task
from support.world import Killed, World

from headrace.core.points import AtConcurrency
from headrace.core.run.plans.plan import Json, RunPlan
from headrace.core.run.record import RunStatus, TaskRow, TaskStatus
from headrace.core.waits.concurrency import enter
from headrace.core.waits.heirs import Heir
from headrace.core.waits.passes import Pass
from headrace.engine.attempts.ports import Work
from headrace.engine.owed.cancel import cancel
from headrace.engine.waits import hand_over as handing
from headrace.engine.waits import heirs
from headrace.engine.waits.hand_over import free
from headrace.engine.waits.kinds.concurrency import states_of

DONE, CANCELLED = RunStatus.COMPLETED, RunStatus.CANCELLED
OF_TWO = replace(plan(task("flow", gates=(gate(),)), task("next", "flow"), workflow="flow"), gates=())
"""The place is the first task's."""


def _blocked(
    flow: RunPlan, runs: int, then: Callable[[World, list[str]], None] | None = None
) -> tuple[World, list[str]]:
    """The first of the runs holds the only place until the others wait. `then`: what happens right before it ends."""
    ids: list[str] = []

    def first_blocks(work: Work) -> Json:
        if work.record.run_id == ids[0] and work.task == "flow":
            while w.deliver_next():
                pass
            if then is not None:
                then(w, ids)
        return None

    w = World(plans={"flow": flow}, code={"flow": first_blocks, "next": lambda work: None})
    for _ in range(runs):
        ids.append(w.start("flow"))
        w.clock.advance(1)
    return w, ids


def _dies_once(module: object, name: str) -> object:
    """The process ends where it would call this; once."""
    original = getattr(module, name)
    left = [1]

    def dies(*arguments: object, **options: object) -> object:
        if left and left.pop():
            raise Killed(name)
        return original(*arguments, **options)

    return patch.object(module, name, dies)


def test_the_waiter_is_in_the_place_when_its_message_is_sent_and_writes_no_entry() -> None:
    inside: list[list[str]] = []
    original = handing.send_handed

    def seen(engine: object, waiter: object, seat: int) -> None:
        inside.append([held.run_id for held in state(w, partition()).holders.values()])
        original(engine, waiter, seat)  # type: ignore[arg-type]  # as they come

    w, ids = _blocked(single(gates=(gate(),)), 4)
    entries: list[object] = []

    def entered(of: Pass, *arguments: object, **options: object) -> object:
        entries.append(of.run_id)
        return enter(of, *arguments, **options)  # type: ignore[arg-type]  # as they come

    with (
        patch.object(handing, "send_handed", seen),
        patch("headrace.engine.waits.kinds.concurrency.enter", entered),
    ):
        w.drain()
    assert inside == [[ids[1]], [ids[2]], [ids[3]]]
    assert entries.count(ids[2]) == 0, "it was parked by a look, and handed its place"
    assert statuses(w, ids) == [DONE] * 4
    assert left_over(w) == []


@pytest.mark.parametrize("step", ["hand_over", "strike", "send_handed"])
@pytest.mark.parametrize("flow", [single(gates=(gate(),)), OF_TWO], ids=["alone", "the first of two tasks"])
def test_a_delivery_that_dies_while_it_hands_over_is_repaired_by_the_next(step: str, flow: RunPlan) -> None:
    w, ids = _blocked(flow, 3)
    with _dies_once(handing, step):  # type: ignore[attr-defined]  # a patch
        w.drain()
    assert statuses(w, ids) == [DONE] * 3
    assert left_over(w) == []


def test_it_is_repaired_where_the_run_that_ended_the_task_was_cancelled_since() -> None:
    w, ids = _blocked(OF_TWO, 3)
    died: list[bool] = []

    def cancelled_and_dead(*arguments: object) -> None:
        if died:
            original(*arguments)  # type: ignore[arg-type]  # as they come
            return
        died.append(True)
        cancel(w.engine, ids[0], reason="CANCELLED_BY_USER")
        raise Killed("send_handed")

    original = handing.send_handed
    with patch.object(handing, "send_handed", cancelled_and_dead):
        while w.deliver_next() or w.queues.next_visible_ms() is not None:
            w.clock.advance(1_000)
    assert died
    assert statuses(w, ids) == [CANCELLED, DONE, DONE]
    assert left_over(w) == []


def test_a_waiter_that_is_cancelled_between_its_naming_and_the_hand_over_holds_nothing() -> None:
    """Without the clock: its waiter is gone from the line when the place is handed over to it."""
    w, ids = _blocked(single(gates=(gate(),)), 3)
    named: list[str] = []

    def name(*arguments: object) -> str | None:
        heir = original(*arguments)  # type: ignore[arg-type]  # as they come
        if heir is not None and not named:
            named.append(heir)
            cancel(w.engine, ids[1], reason="CANCELLED_BY_USER")
        return heir

    original = heirs.name_heir
    with patch.object(heirs, "name_heir", name):
        while w.deliver_next():
            pass
    assert named == [f"2/{ids[1]}/flow"]
    assert statuses(w, ids) == [DONE, CANCELLED, DONE]
    assert left_over(w) == []


def test_a_replay_of_the_run_that_named_a_waiter_sees_to_it_before() -> None:
    from headrace.engine.runs.replay import replay_run

    w, ids = _blocked(single(gates=(gate(),)), 2)
    with patch.object(handing, "send_handed", side_effect=Killed("send_handed")):
        while w.deliver_next():
            pass
    assert statuses(w, ids) == [DONE, RunStatus.QUEUED]
    replay_run(w.engine, ids[0], deployed=w.plans.get)
    while w.deliver_next():
        pass
    assert statuses(w, ids)[1] is DONE


@pytest.mark.parametrize(
    ("row", "stays"),
    [
        (TaskRow(status=TaskStatus.PARKED, ticket=2), True),
        (TaskRow(status=TaskStatus.RUNNING, ticket=2), True),
        (TaskRow(status=TaskStatus.SUSPENDED, ticket=3), True),
        (TaskRow(status=TaskStatus.PARKED, ticket=3), False),
        (TaskRow(status=TaskStatus.COMPLETED, ticket=2), False),
        (None, False),
    ],
    ids=["waits", "runs", "is suspended", "was refused", "has ended", "is gone"],
)
def test_only_a_place_of_a_ticket_that_is_over_is_freed(row: TaskRow | None, stays: bool) -> None:
    w, _ = _blocked(single(gates=(gate(),)), 0)
    now_ms = w.clock.now_ms()
    of = Pass(point=gate_point(), member="heir/flow", ticket=2, limit=1)
    w.store.write(enter(of, 0, waited=True, now_ms=now_ms, expires_at_s=9))
    found = None if row is None else replace(record(plan(task("flow")), flow=row), run_id="heir")
    before = states_of(w.engine, of.gate, 1)[0]
    after = free(w.engine, of, 0, before, Heir(ticket=2, run_id="heir", task="flow"), found)
    assert (after.taken, "heir/flow" in after.holders) == ((1, True) if stays else (0, False))


def gate_point() -> AtConcurrency:
    return AtConcurrency("g", "x")
