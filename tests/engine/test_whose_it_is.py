"""What one run or attempt holds is not given up, hidden for too short, or ended by another."""

from __future__ import annotations

from support.records import plan, task
from support.world import World

from headrace.core.changes import ITEM_MISSING, Put
from headrace.core.run.idempotency import release
from headrace.core.run.record import TaskStatus
from headrace.core.table import gate_key, idempotency_key
from headrace.core.waits.rate_limit import Take, window_of
from headrace.engine.attempts.ports import Done, Host, Later, Runnable, Succeeded, Work
from headrace.engine.engine import Engine
from headrace.engine.runs.claimed import Claimed
from headrace.engine.runs.dead_letter import fail_dead_letter
from headrace.engine.runs.deliver import deliver
from headrace.engine.waits.kinds.rate_limit import Taken, return_units, take_units
from headrace.ports import Received
from headrace.runtime.control import LiveControl
from headrace.runtime.deadline import Ending
from headrace.runtime.heartbeat import beat_once


def one_task() -> tuple[World, str, Received]:
    w = World(plans={"flow": plan(task("a"))}, code={"a": lambda work: None})
    run_id = w.start("flow")
    [received] = w.queues.receive("default", limit=1, wait_s=0, visibility_s=5)
    return w, run_id, received


def test_an_idempotency_key_is_given_up_by_the_run_that_holds_it_alone() -> None:
    w, run_id, _ = one_task()
    key = idempotency_key("order-1")
    w.store.write(Put(key=key, item={"run": run_id}, require=ITEM_MISSING))
    w.store.write(release("order-1", "another run"))
    assert w.store.get(key) is not None
    w.store.write(release("order-1", run_id))
    assert w.store.get(key) is None


def test_units_of_a_window_do_not_go_back_to_a_later_one() -> None:
    w, _, _ = one_task()
    of = Take(key="api", units=3, limit=10, window_ms=1_000)
    first = take_units(w.engine, of, waited=False)
    assert isinstance(first, Taken)
    w.clock.advance(1_000)
    second = take_units(w.engine, of, waited=False)
    assert isinstance(second, Taken)
    return_units(w.engine, of, first)
    assert window_of(w.store.get(gate_key(of.gate))).left == 7
    return_units(w.engine, of, second)
    assert window_of(w.store.get(gate_key(of.gate))).left == 10


def test_a_beat_hides_the_message_for_as_long_as_it_renews_the_lease() -> None:
    w, run_id, received = one_task()
    lease_ms = int(w.engine.limits.lease_s * 1_000)

    def runner(
        engine: Engine,
        host: Host,
        claimed: Claimed,
        control: LiveControl,
        runnable: Runnable,
        work: Work,
    ) -> Ending:
        for _ in range(3):
            assert beat_once(engine, received, claimed.attempt, control)
            w.clock.advance(lease_ms - 1_000)
            assert w.queues.receive("default", limit=1, wait_s=0) == []
        return Succeeded(None)

    assert isinstance(deliver(w.engine, w.host("default"), received, runner=runner), Done)
    assert w.record(run_id).tasks["a"].status is TaskStatus.COMPLETED


def test_a_dead_letter_does_not_end_a_task_that_is_alive() -> None:
    w, run_id, received = one_task()
    seen: list[object] = []

    def runner(
        engine: Engine,
        host: Host,
        claimed: Claimed,
        control: LiveControl,
        runnable: Runnable,
        work: Work,
    ) -> Ending:
        seen.append(fail_dead_letter(w.engine, received, reason="delivered too often"))
        return Succeeded(None)

    deliver(w.engine, w.host("default"), received, runner=runner)
    assert [type(each) for each in seen] == [Later]
    assert w.record(run_id).tasks["a"].status is TaskStatus.COMPLETED


def test_a_lease_holds_to_its_last_millisecond() -> None:
    w, run_id, received = one_task()
    seen: list[object] = []

    def late(*_: object) -> Ending:
        raise AssertionError("it began beside the attempt that is alive")

    def runner(
        engine: Engine,
        host: Host,
        claimed: Claimed,
        control: LiveControl,
        runnable: Runnable,
        work: Work,
    ) -> Ending:
        until_ms = w.record(run_id).tasks["a"].lease_until_ms
        assert until_ms is not None
        w.clock.advance_to(until_ms - 1)
        seen.append(deliver(w.engine, w.host("default"), received, runner=late))
        return Succeeded(None)

    deliver(w.engine, w.host("default"), received, runner=runner)
    assert [type(each) for each in seen] == [Later]
    assert w.record(run_id).tasks["a"].status is TaskStatus.COMPLETED
