"""Reply queues: whatever ends a run tells those who wait, wherever a process dies; a queue without a process is swept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace

import pytest
from support.records import plan, task
from support.world import KillAt, Killed, PermanentError, World

from headrace.core.run import replies
from headrace.core.run.derived.progress import finished, run_status
from headrace.core.run.plans.plan import Json, RunPlan
from headrace.core.run.record import RunStatus
from headrace.core.run.replies import LEASE_MS, SWEPT_AFTER_MS, decode_reply
from headrace.core.run.routing import Routing
from headrace.core.run.stored.record import decode_record, encode_record
from headrace.core.table import REPLY_QUEUES
from headrace.engine.attempts.ports import Work
from headrace.engine.clock.reply_queues import make_queue, renew_queue, sweep_queues
from headrace.engine.clock.tick import tick
from headrace.engine.owed.cancel import cancel
from headrace.engine.owed.replies import ask
from headrace.engine.runs.read import read
from headrace.errors import AccessDenied

SIMPLE = plan(task("a"), workflow="simple")
CHAIN = plan(task("a"), task("b", "a"), task("c", "b"), workflow="chain")
SPREAD = plan(task("a"), task("b", "a", worker="other"), task("c", "a"), workflow="spread")
FAILS = plan(task("a"), task("b", "a"), workflow="fails")
HERS = "reply-hers"
HIS = "reply-his"


def body(work: Work) -> Json:
    if work.record.plan.workflow == "fails" and work.task == "a":
        raise PermanentError("no")
    return {"task": work.task}


def world(flow: RunPlan, fault: KillAt | None = None) -> World:
    names = {each.name for each in flow.tasks}
    w = World(plans={flow.workflow: flow}, code=dict.fromkeys(names, body), faults=fault)
    w.engine = replace(w.engine, replies=w.queues)
    return w


def told(w: World, queue: str) -> set[str | None]:
    return {decode_reply(text) for text in w.queues.bodies(queue)}


def deliver_all(w: World) -> None:
    for _ in range(200):
        while w.deliver_next():
            pass
        if all(w.queues.depth(name) == 0 for name in w.queues.known()):
            return
        w.clock.advance(61_000)


@pytest.mark.parametrize("flow", [SIMPLE, CHAIN, SPREAD, FAILS], ids=lambda flow: flow.workflow)
def test_the_end_of_a_run_is_told_to_the_queue_named_at_its_start_and_to_those_that_asked(
    flow: RunPlan,
) -> None:
    w = world(flow)
    w.queues.make(HERS)
    w.queues.make(HIS)
    run_id = w.start(flow.workflow, routing=Routing(reply_to=HERS))
    [record] = ask(w.engine, [run_id], HIS)
    assert record is not None
    assert record.reply_queues == (HERS, HIS)
    assert told(w, HERS) == set()
    deliver_all(w)
    assert finished(w.record(run_id))
    assert (told(w, HERS), told(w, HIS)) == ({run_id}, {run_id})


def test_a_client_that_asks_when_the_run_is_over_reads_that_it_is() -> None:
    w = world(SIMPLE)
    w.queues.make(HIS)
    run_id = w.start("simple")
    deliver_all(w)
    [record, unknown] = ask(w.engine, [run_id, "no-such-run"], HIS)
    assert record is not None
    assert finished(record)
    assert unknown is None
    assert [item["sk"] for item in w.store.items("run#no-such-run")] == []


def test_a_cancelled_run_tells() -> None:
    w = world(CHAIN)
    w.queues.make(HERS)
    run_id = w.start("chain", routing=Routing(reply_to=HERS))
    cancel(w.engine, run_id)
    assert told(w, HERS) == {run_id}


def test_a_run_that_waited_too_long_to_start_tells_the_others_when_one_looks() -> None:
    w = world(plan(task("a", schedule_timeout_ms=1_000), workflow="simple"))
    w.queues.make(HERS)
    run_id = w.start("simple", routing=Routing(reply_to=HERS))
    w.clock.advance(5_000)
    record = read(w.engine, run_id)
    assert record is not None
    assert run_status(record) is RunStatus.CANCELLED
    assert told(w, HERS) == {run_id}


def test_a_run_goes_on_where_the_queue_that_it_names_is_gone() -> None:
    w = world(CHAIN)
    run_id = w.start("chain", routing=Routing(reply_to="reply-gone"))
    deliver_all(w)
    assert run_status(w.record(run_id)) is RunStatus.COMPLETED
    assert w.ran == ["a", "b", "c"]
    assert w.queues.depth() == 0


def test_waiting_processes_are_part_of_the_record() -> None:
    w = world(SIMPLE)
    run_id = w.start("simple", routing=Routing(reply_to=HERS))
    [record] = ask(w.engine, [run_id], HIS)
    assert record is not None
    item = encode_record(record)
    assert decode_record(run_id, item) == record
    assert item[f"rq#{HIS}"] == 1


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("flow", [SIMPLE, CHAIN, SPREAD, FAILS], ids=lambda flow: flow.workflow)
def test_a_worker_that_dies_anywhere_owes_the_reply_all_the_same(flow: RunPlan, after_effect: bool) -> None:
    def lives(fault: KillAt) -> tuple[World, str | None]:
        w = world(flow, fault)
        fault.armed = False
        w.queues.make(HERS)
        w.queues.make(HIS)
        fault.armed = True
        run_id = None
        with contextlib.suppress(Killed):
            run_id = w.start(flow.workflow, routing=Routing(reply_to=HERS))
            ask(w.engine, [run_id], HIS)
        deliver_all(w)
        return w, run_id

    clean = KillAt(10**9, after_effect)
    lives(clean)
    for n in range(clean.calls):
        fault = KillAt(n, after_effect)
        w, run_id = lives(fault)
        where = f"killed at call {n} ({fault.hit}), {'after' if after_effect else 'before'} its effect"
        records = [item for item in w.store.items("run#") if item["sk"] == "run"]
        for item in records:
            record = w.record(str(item["pk"]).removeprefix("run#"))
            assert finished(record), where
            assert told(w, HERS) == {record.run_id}, where
            if record.waiters:
                assert told(w, HIS) == {record.run_id}, where
        assert records or run_id is None, where


# ---------------------------------------------------------------- the queues themselves


def leased(w: World) -> list[str]:
    return [str(item["sk"]) for item in w.store.items(REPLY_QUEUES)]


def test_a_queue_is_swept_once_its_lease_is_long_over() -> None:
    w = world(SIMPLE)
    queue = make_queue(w.engine)
    assert queue.startswith("reply-")
    w.clock.advance(LEASE_MS - 1_000)
    assert renew_queue(w.engine, queue)
    w.clock.advance(LEASE_MS + SWEPT_AFTER_MS - 1_000)
    tick(w.engine)
    assert leased(w) == [queue]
    w.clock.advance(1_000)
    tick(w.engine)
    assert leased(w) == []
    assert queue not in w.queues._queues
    assert not renew_queue(w.engine, queue)
    assert leased(w) == []


def test_a_queue_that_is_being_swept_is_not_renewed() -> None:
    w = world(SIMPLE)
    queue = make_queue(w.engine)
    w.clock.advance(LEASE_MS + SWEPT_AFTER_MS)
    w.store.write(replies.condemn(queue, now_ms=w.clock.now_ms()))
    assert not renew_queue(w.engine, queue)
    assert sweep_queues(w.engine) == 1
    assert leased(w) == []


class Forbids:
    """A policy that allows no CreateQueue."""

    def make(self, queue: str) -> None:
        raise AccessDenied("Allow sqs:CreateQueue on it")

    def remove(self, queue: str) -> None:
        raise AccessDenied("Allow sqs:DeleteQueue on it")


def test_a_process_that_may_not_make_a_queue_leaves_no_item_behind() -> None:
    w = world(SIMPLE)
    engine = replace(w.engine, replies=Forbids())
    with pytest.raises(AccessDenied, match="sqs:CreateQueue"):
        make_queue(engine)
    assert leased(w) == []
    queue = make_queue(w.engine)
    w.clock.advance(LEASE_MS + SWEPT_AFTER_MS)
    assert sweep_queues(engine) == 0
    assert leased(w) == [queue]
    assert sweep_queues(w.engine) == 1


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("act", [make_queue, sweep_queues], ids=lambda act: act.__name__)
def test_no_queue_is_left_behind_wherever_its_process_or_the_clock_dies(
    act: Callable[..., object], after_effect: bool
) -> None:
    for n in range(12):
        fault = KillAt(10**9, after_effect)
        w = world(SIMPLE, fault)
        if act is sweep_queues:
            make_queue(w.engine)
            w.clock.advance(LEASE_MS + SWEPT_AFTER_MS)
        fault.n, fault.calls = n, 0
        with contextlib.suppress(Killed):
            act(w.engine)
        fault.armed = False
        w.clock.advance(LEASE_MS + SWEPT_AFTER_MS)
        sweep_queues(w.engine)
        assert leased(w) == [], (n, fault.hit)
        assert [name for name in w.queues._queues if name.startswith("reply-")] == [], (n, fault.hit)
