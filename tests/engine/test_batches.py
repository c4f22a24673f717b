"""Batches on the memory ports: who is in one, when it runs, and that a death anywhere loses no member and runs none twice."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random

import pytest
from support.gates import rate
from support.records import plan, task
from support.world import KillAt, Killed, World, run_at_once

from headrace.core.changes import Item
from headrace.core.run.derived.progress import run_status
from headrace.core.run.message import BatchMessage, encode_batch
from headrace.core.run.plans.plan import BatchPlan, Json, RatePlan, RunPlan
from headrace.core.run.record import ErrorInfo, RunStatus, TaskStatus
from headrace.core.run.stored.record import record_of
from headrace.core.waits import batch
from headrace.core.waits.batch import MAX_BATCH_BYTES, PAGE_MEMBERS, At, Joining, Member
from headrace.engine.attempts.patience import INVOCATION_MARGIN_MS
from headrace.engine.attempts.ports import EachEnded, Host, Outcome, Raised, Runnable, Succeeded, Work
from headrace.engine.engine import Engine
from headrace.engine.owed.cancel import cancel
from headrace.engine.runs.claimed import Claimed
from headrace.engine.runs.deliver import deliver
from headrace.engine.runs.replay import replay_run
from headrace.engine.waits.kinds.pause import Pause, pause, unpause
from headrace.errors import QueueUnavailable, StoreUnavailable
from headrace.ports import Outgoing
from headrace.runtime.control import LiveControl
from headrace.runtime.deadline import Ending

SECOND_MS = 1_000


@dataclass(slots=True)
class Batches:
    """A batch task's code: it notes each call's members."""

    calls: list[list[str]] = field(default_factory=list)
    during: Callable[[Sequence[Work]], None] = lambda members: None
    error: ErrorInfo | None = None
    is_async: bool = False

    def call(self, work: Work) -> Outcome:
        self.calls.append([each.record.run_id for each in work.members])
        self.during(work.members)
        if self.error is not None:
            return Raised(self.error)
        size = len(work.members)
        return EachEnded({each.record.run_id: Succeeded(json.dumps({"of": size})) for each in work.members})

    async def acall(self, work: Work) -> Outcome:
        return self.call(work)

    @property
    def sizes(self) -> list[int]:
        return [len(call) for call in self.calls]


def flow(name: str = "b", *, rates: tuple[RatePlan, ...] = (), **batch: object) -> RunPlan:
    """A standalone batch task."""
    given = BatchPlan(**{"max_size": 3, "interval_ms": 5 * SECOND_MS, **batch})  # type: ignore[arg-type]  # its fields
    one = replace(task(name, schedule_timeout_ms=300_000), batch=given, rates=rates)
    return replace(plan(one, workflow=name), standalone=True)


def world(of: RunPlan, **options: object) -> tuple[World, Batches]:
    code = Batches()
    more = {(of.workflow, each.name): code for each in of.tasks if each.batch is not None}
    w = World(plans={of.workflow: of}, code={}, more=more, **options)  # type: ignore[arg-type]  # World's fields
    return w, code


def deliver_all(w: World) -> None:
    while w.deliver_next():
        pass


def pages(w: World) -> list[Item]:
    return [item for item in w.store.items() if str(item["sk"]).startswith("b#")]


def statuses(w: World) -> Counter[RunStatus]:
    records = [record_of(item) for item in w.store.items() if item["sk"] == "run"]
    return Counter(run_status(each) for each in records)


def output(w: World, run_id: str) -> Json:
    [row] = w.record(run_id).tasks.values()
    return json.loads(row.output.text or "null")


# ---------------------------------------------------------------- when a batch runs


def test_a_batch_runs_when_it_is_full_and_what_is_left_when_its_interval_is_over() -> None:
    w, code = world(flow(max_size=3, interval_ms=5 * SECOND_MS))
    ids = [w.start("b") for _ in range(7)]
    deliver_all(w)
    assert code.sizes == [3, 3]
    assert statuses(w) == {RunStatus.COMPLETED: 6, RunStatus.QUEUED: 1}
    w.clock.advance(4 * SECOND_MS)
    deliver_all(w)
    assert code.sizes == [3, 3], "not before its interval is over"
    w.clock.advance(SECOND_MS)
    deliver_all(w)
    assert code.sizes == [3, 3, 1]
    assert [output(w, each) for each in ids] == [{"of": 3}] * 6 + [{"of": 1}]
    assert (w.queues.depth(), pages(w)) == (0, [])


def test_a_batch_of_one_runs_at_once() -> None:
    w, code = world(flow(max_size=1, interval_ms=None))
    w.start("b")
    deliver_all(w)
    assert code.sizes == [1]
    assert w.queues.depth() == 0, "there is no timer to wait for"


def test_a_batch_ends_before_its_invocation_does() -> None:
    w, _ = world(flow(max_size=1))
    left_s: list[float] = []

    def runner(
        engine: Engine, host: Host, claimed: Claimed, control: LiveControl, code: Runnable, work: Work
    ) -> Ending:
        left_s.append(control.remaining_s())
        return run_at_once(engine, host, claimed, control, code, work)

    w.start("b")
    host = replace(w.host("default"), time_left_ms=lambda: 10_000)
    while not left_s:  # its run's message, then its batch's
        [received] = w.queues.receive("default", limit=1, wait_s=0)
        deliver(w.engine, host, received, runner=runner)
    assert 5.0 < left_s[0] <= (10_000 - INVOCATION_MARGIN_MS) / 1000


def test_without_an_interval_it_runs_before_its_first_member_could_wait_no_longer() -> None:
    w, code = world(flow(max_size=10, interval_ms=None))
    w.start("b")
    w.clock.advance(60 * SECOND_MS)
    w.start("b")
    deliver_all(w)
    w.clock.advance(230 * SECOND_MS)
    deliver_all(w)
    assert code.sizes == []
    w.clock.advance(6 * SECOND_MS)
    deliver_all(w)
    assert code.sizes == [2]
    assert statuses(w) == {RunStatus.COMPLETED: 2}


def test_an_interval_under_a_second_is_waited_for_by_the_invocation_that_opens_the_batch() -> None:
    w, code = world(flow(max_size=10, interval_ms=200))
    began_ms = w.clock.now_ms()
    w.start("b")
    deliver_all(w)
    assert code.sizes == [1]
    assert w.clock.now_ms() - began_ms == 200


def test_batches_are_of_one_key_each_and_a_key_that_fails_fails_its_run_alone() -> None:
    w, code = world(flow(max_size=2, key="input['k']"))
    ids = [w.start("b", {"k": key}) for key in ("x", "y", "x", "y")]
    bad = w.start("b", {"no": "key"})
    deliver_all(w)
    assert sorted(sorted(call) for call in code.calls) == sorted([sorted(ids[0::2]), sorted(ids[1::2])])
    [row] = w.record(bad).tasks.values()
    assert row.status is TaskStatus.FAILED
    assert row.error is not None
    assert row.error.message.startswith("failed to parse batch group key expression: ")


def test_pages_fill_up_in_turn() -> None:
    """More members than a page takes, and a last page that is smaller."""
    size = 2 * PAGE_MEMBERS + 5
    w, code = world(flow(max_size=size))
    for _ in range(2 * size + 1):
        w.start("b")
    w.drain()
    assert code.sizes == [size, size, 1]
    assert pages(w) == []


def test_a_batch_holds_four_megabytes_at_most() -> None:
    """A hundred inputs of 100 KB: forty fit into 4 MB, with their quotes and braces."""
    w, code = world(flow(max_size=100))
    ids = [w.start("b", {"x": "y" * (100 * 1024)}) for _ in range(100)]
    w.drain()
    assert code.sizes == [40, 40, 20]
    assert MAX_BATCH_BYTES // 40 > 100 * 1024 > MAX_BATCH_BYTES // 41
    assert statuses(w) == {RunStatus.COMPLETED: 100}
    assert sorted(run_id for call in code.calls for run_id in call) == sorted(ids)


def test_an_input_of_the_largest_size_has_a_batch_of_its_own() -> None:
    w, code = world(flow(max_size=10))
    w.start("b", {"x": 1})
    w.start("b", {"x": "y" * (MAX_BATCH_BYTES - 10)})
    w.start("b", {"x": 1})
    w.drain()
    assert sorted(code.sizes) == [1, 1, 1]


# ---------------------------------------------------------------- what becomes of members


def test_a_member_that_was_cancelled_is_left_out() -> None:
    w, code = world(flow(max_size=3))
    first, second = w.start("b"), w.start("b")
    deliver_all(w)
    cancel(w.engine, first, reason="test")
    third = w.start("b")
    w.drain()
    assert [set(call) for call in code.calls] == [{second, third}]
    assert statuses(w) == {RunStatus.COMPLETED: 2, RunStatus.CANCELLED: 1}


def test_a_member_that_is_cancelled_while_its_batch_runs_keeps_no_result_and_the_others_do() -> None:
    w, code = world(flow(max_size=2))
    ids = [w.start("b") for _ in range(2)]
    code.during = lambda members: cancel(w.engine, ids[0], reason="test") and None
    w.drain()
    assert statuses(w) == {RunStatus.COMPLETED: 1, RunStatus.CANCELLED: 1}
    assert code.sizes == [2]


def test_what_the_code_raises_fails_every_member_and_is_not_tried_again() -> None:
    w, code = world(flow(max_size=2))
    code.error = ErrorInfo(type="ValueError", message="no")
    for _ in range(2):
        w.start("b")
    w.drain()
    assert statuses(w) == {RunStatus.FAILED: 2}
    assert code.sizes == [2]


def test_code_that_is_gone_fails_every_member() -> None:
    w, _ = world(flow(max_size=2))
    w.more.clear()
    for _ in range(2):
        w.start("b")
    w.drain()
    assert statuses(w) == {RunStatus.FAILED: 2}
    assert pages(w) == []


def test_a_batch_of_a_workflow_comes_after_its_parents_and_before_its_children() -> None:
    middle = replace(
        task("m", "a", schedule_timeout_ms=300_000), batch=BatchPlan(max_size=2, interval_ms=5_000)
    )
    of = plan(task("a"), middle, task("z", "m"), workflow="dag")
    w, code = world(of)
    w.code = {"a": lambda work: {"a": 1}, "z": lambda work: json.loads(work.output_of("m") or "")}
    ids = [w.start("dag") for _ in range(2)]
    w.drain()
    assert code.sizes == [2]
    assert [json.loads(w.record(each).tasks["z"].output.text or "") for each in ids] == [{"of": 2}] * 2


def test_a_batch_that_waits_too_long_for_its_worker_cancels_its_members() -> None:
    w, code = world(flow(max_size=10, interval_ms=5_000))
    w.start("b")
    deliver_all(w)
    w.clock.advance(301 * SECOND_MS)
    deliver_all(w)
    assert code.sizes == []
    assert statuses(w) == {RunStatus.CANCELLED: 1}
    assert pages(w) == []


def test_a_run_that_is_replayed_joins_a_batch_again() -> None:
    w, code = world(flow(max_size=2))
    ids = [w.start("b") for _ in range(2)]
    w.drain()
    for each in ids:
        replay_run(w.engine, each, deployed=w.plans.get)
    w.drain()
    assert [set(call) for call in code.calls] == [set(ids)] * 2
    assert statuses(w) == {RunStatus.COMPLETED: 2}


@pytest.mark.parametrize("after_effect", [False, True])
def test_a_replay_whose_client_dies_anywhere_is_made_or_not(after_effect: bool) -> None:
    for n in range(12):
        fault = KillAt(10**9, after_effect)
        w, code = world(flow(max_size=2), faults=fault)
        ids = [w.start("b") for _ in range(2)]
        w.drain()
        fault.n = fault.calls + n
        for each in ids:
            with contextlib.suppress(Killed):
                replay_run(w.engine, each, deployed=w.plans.get)
        w.drain()
        check(w, code, ids, f"killed at call {n} ({fault.hit})", most=2)


def test_a_run_that_was_cancelled_and_replayed_is_not_taken_for_a_member_of_its_former_batch() -> None:
    w, code = world(flow(max_size=3))
    again, other = w.start("b"), w.start("b")
    deliver_all(w)
    cancel(w.engine, again, reason="test")
    replay_run(w.engine, again, deployed=w.plans.get)
    w.drain()
    assert sorted(code.calls) == sorted([[other], [again]])
    assert statuses(w) == {RunStatus.COMPLETED: 2}


# ---------------------------------------------------------------- what stands before


def test_a_paused_workflow_keeps_runs_from_their_batch() -> None:
    w, code = world(flow(max_size=2))
    pause(w.engine, "b", Pause(queue_ttl_ms=600_000))
    for _ in range(2):
        w.start("b")
    deliver_all(w)
    w.clock.advance(20 * SECOND_MS)
    deliver_all(w)
    assert (code.sizes, pages(w)) == ([], [])
    unpause(w.engine, "b")
    w.drain()
    assert code.sizes == [2]
    assert statuses(w) == {RunStatus.COMPLETED: 2}


def test_rate_limits_are_taken_by_each_run_before_it_joins() -> None:
    w, code = world(flow(max_size=10, interval_ms=3_000, rates=(rate("'api'", limit="2", window_s=60),)))
    for _ in range(4):
        w.start("b")
    w.drain()
    assert code.sizes == [2, 2]
    assert statuses(w) == {RunStatus.COMPLETED: 4}


@pytest.mark.parametrize("max_runs", [1, 2])
def test_so_many_batches_of_a_key_run_at_once(max_runs: int) -> None:
    w, code = world(flow(max_size=2, max_runs=max_runs))
    at_once, most = 0, 0

    def during(members: Sequence[Work]) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        deliver_all(w)  # whatever else could run meanwhile
        at_once -= 1

    code.during = during
    for _ in range(10):
        w.start("b")
    w.drain()
    assert most == max_runs
    assert code.sizes == [2] * 5
    assert statuses(w) == {RunStatus.COMPLETED: 10}


# ---------------------------------------------------------------- deaths, duplicates

FLOWS = {
    "by size": flow(max_size=2),
    "by interval": flow(max_size=10, interval_ms=3_000),
    "held": flow(max_size=10, interval_ms=200),
    "pages": flow(max_size=PAGE_MEMBERS + 2),
    "one at a time": flow(max_size=2, max_runs=1),
    "limited": flow(max_size=2, rates=(rate("'api'", limit="2", window_s=60),)),
    "in a DAG": plan(
        task("a"),
        replace(task("m", "a"), batch=BatchPlan(max_size=2, interval_ms=3_000)),
        task("z", "m"),
        workflow="dag",
    ),
}
RUNS = {"pages": PAGE_MEMBERS + 3}


def attempt(name: str, fault: KillAt, *, clock: bool = True) -> tuple[World, Batches, list[str]]:
    of = FLOWS[name]
    w, code = world(of, faults=fault)
    w.code = {"a": lambda work: {}, "z": lambda work: {}}
    ids: list[str] = []
    for _ in range(RUNS.get(name, 5)):
        with contextlib.suppress(Killed, StoreUnavailable, QueueUnavailable):
            ids.append(w.start(of.workflow))
        w.clock.advance(1)
    if clock:
        w.drain()
    while w.deliver_next() or wait(w):
        pass
    return w, code, ids


def wait(w: World) -> bool:
    """Move time to the next message. False: there is none."""
    due_ms = w.queues.next_visible_ms()
    if due_ms is not None:
        w.clock.advance_to(due_ms)
    return due_ms is not None


def check(w: World, code: Batches, ids: Sequence[str], where: str, *, most: int = 1) -> None:
    records = [record_of(item) for item in w.store.items() if item["sk"] == "run"]
    assert set(ids) <= {each.run_id for each in records}, where
    assert {run_status(each) for each in records} == {RunStatus.COMPLETED}, where
    assert (w.queues.depth(), pages(w)) == (0, []), where
    ran = Counter(run_id for call in code.calls for run_id in call)
    for each in records:
        lost = sum(row.takeovers for row in each.tasks.values())
        assert 1 <= ran[each.run_id] <= most + lost, (
            f"{where}: run {each.run_id} ran {ran[each.run_id]} times"
        )
    lines = [item for item in w.store.items() if item["sk"] == "batch"]
    assert not any({"r", "q"} & item.keys() for item in lines), f"{where}: {lines}"


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("name", FLOWS)
def test_any_crash_point(name: str, after_effect: bool) -> None:
    clean = KillAt(10**9, after_effect)
    check(*attempt(name, clean), "no fault")
    assert clean.calls > 20
    for n in range(clean.calls):
        fault = KillAt(n, after_effect)
        w, code, ids = attempt(name, fault)
        check(
            w,
            code,
            ids,
            f"killed at call {n} ({fault.hit}), {'after' if after_effect else 'before'} its effect",
        )


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("name", ["by interval", "held"])
def test_the_others_run_where_the_run_that_opened_their_batch_dies_and_is_cancelled(
    name: str, after_effect: bool
) -> None:
    for n in range(14):
        fault = KillAt(10**9, after_effect)
        w, _ = world(FLOWS[name], faults=fault)
        first = w.start("b")
        fault.n = fault.calls + n
        w.deliver_next()
        fault.armed = False
        other = w.start("b")
        deliver_all(w)
        cancel(w.engine, first, reason="test")
        w.drain()
        assert run_status(w.record(other)) is RunStatus.COMPLETED, f"killed at call {n} ({fault.hit})"


def test_a_batch_that_counts_as_running_and_is_not_there_keeps_none_waiting() -> None:
    w, code = world(flow(max_runs=1))
    w.store.write(batch.may_run("batch#b#b#", 7, 1))  # by a delivery that slept until the batch had run
    w.start("b")
    w.drain()
    assert (code.sizes, statuses(w)) == ([1], {RunStatus.COMPLETED: 1})
    assert not any({"r", "q"} & item.keys() for item in w.store.items() if item["sk"] == "batch")


def test_a_run_that_joins_a_batch_that_is_overdue_sees_to_its_message() -> None:
    w, code = world(flow())
    dead = Joining(
        member=Member(run_id="dead", ticket=1, queued_at_ms=1),
        size_bytes=0,
        max_size=3,
        max_runs=None,
        worker="default",
        expires_at_s=2**40,
    )
    w.store.write(batch.open_page("batch#b#b#", At(1), dead, before_bytes=0, due_ms=w.clock.now_ms() - 1))
    w.store.write(batch.moved_on("batch#b#b#", At(1), expires_at_s=2**40))
    w.start("b")
    w.drain()
    assert (code.sizes, statuses(w)) == ([1], {RunStatus.COMPLETED: 1})


class LostAt(KillAt):
    """In place of a death, a call that is answered with an error: its effect took place or not."""

    def _kill(self, port: str, call: str) -> None:
        self.armed, self.hit = False, f"{port}.{call}"
        raise (StoreUnavailable if port == "store" else QueueUnavailable)(self.hit)


@pytest.mark.parametrize("name", ["by size", "one at a time", "in a DAG"])
def test_any_lost_response(name: str) -> None:
    clean = LostAt(10**9, True)
    attempt(name, clean)
    for n in range(clean.calls):
        fault = LostAt(n, True)
        w, code, ids = attempt(name, fault, clock=False)
        check(w, code, ids, f"the response of call {n} ({fault.hit}) was lost")


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("seed", range(10))
def test_messages_that_come_twice_and_in_any_order(name: str, seed: int) -> None:
    """Each message is sent again, at random: no member is run twice, and none is lost."""
    random = Random(seed)
    of = FLOWS[name]
    w, code = world(of)
    w.code = {"a": lambda work: {}, "z": lambda work: {}}
    send = w.queues.send

    def twice(queue: str, messages: Sequence[Outgoing]) -> None:
        copies = [replace(each, delay_s=each.delay_s + random.choice((0, 0, 1, 4, 90))) for each in messages]
        both = [*messages, *(each for each in copies if random.random() < 0.6)]
        random.shuffle(both)
        send(queue, both)

    w.queues.send = twice  # type: ignore[method-assign]  # the queue delivers some of them twice
    ids = [w.start(of.workflow) for _ in range(RUNS.get(name, 5))]
    w.drain()
    check(w, code, ids, f"seed {seed}")


def test_a_delivery_that_lost_its_lease_commits_nothing_and_forgets_nothing() -> None:
    """It was held up past its lease: the batch's message came back, and another delivery runs the members."""
    w, code = world(flow(max_size=2))
    ids = [w.start("b") for _ in range(2)]

    def during(members: Sequence[Work]) -> None:
        code.during = lambda members: None
        w.clock.advance(61 * SECOND_MS)
        deliver_all(w)
        assert statuses(w) == {RunStatus.COMPLETED: 2}

    code.during = during
    w.drain()
    assert code.sizes == [2, 2]
    assert [w.record(each).tasks["b"].takeovers for each in ids] == [1, 1]
    assert pages(w) == []


def test_a_batch_that_is_run_elsewhere_is_left_alone() -> None:
    w, code = world(flow(max_size=2))
    for _ in range(2):
        w.start("b")

    def during(members: Sequence[Work]) -> None:
        [page] = pages(w)
        message = BatchMessage(line=str(page["pk"]), number=1)
        w.queues.send("default", [Outgoing(body=encode_batch(message))])
        deliver_all(w)

    code.during = during
    w.drain()
    assert code.sizes == [2]


def test_a_batch_whose_message_no_one_can_process_fails_its_members() -> None:
    w, code = world(flow(max_size=2), max_receive_count=3)

    def during(members: Sequence[Work]) -> None:
        raise Killed("out of memory")

    code.during = during
    for _ in range(2):
        w.start("b")
    w.drain()
    assert statuses(w) == {RunStatus.FAILED: 2}
    assert pages(w) == []
    errors = {record_of(i).tasks["b"].error for i in w.store.items() if i["sk"] == "run"}
    assert {error.type for error in errors if error is not None} == {"DeadLetterError"}
