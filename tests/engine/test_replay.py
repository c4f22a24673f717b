"""Replay: a run that is over runs again, whole or what failed of it, whatever dies, comes twice or comes late."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch

import pytest
from support.gates import CIP, CN, gate, left_over, rate, single
from support.records import plan, task
from support.world import KillAt, Killed, PermanentError, World, run_at_once

from headrace.core.changes import Applied
from headrace.core.run.derived.progress import finished, run_status
from headrace.core.run.idempotency import IdempotencyKey
from headrace.core.run.plans.plan import Json, RunPlan, TaskKind
from headrace.core.run.record import RunRecord, RunStatus, TaskStatus
from headrace.core.run.transitions.settle import cancel_run
from headrace.core.table import idempotency_key, idempotency_partition
from headrace.engine.attempts.payloads import load_input
from headrace.engine.attempts.ports import Done, Work
from headrace.engine.owed.cancel import cancel
from headrace.engine.runs.deliver import deliver
from headrace.engine.runs.replay import NewInput
from headrace.engine.runs.replay import replay_run as engine_replay
from headrace.errors import IdempotencyCollisionError, NotDeployed, RunNotFound, RunNotOver
from headrace.memory.faults import NoFaults
from headrace.ports import Received

CHAIN = plan(task("a"), task("b", "a"), task("c", "b"), workflow="chain")
DIAMOND = plan(task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c"), workflow="diamond")
TWO_ROOTS = plan(task("a"), task("b", worker="other"), task("c", "a", "b"), workflow="roots")
RETRIED = plan(task("a", retries=1), task("b", "a"), workflow="retried")
ISOLATED = plan(task("a"), task("b", "a", isolated=True), task("c", "b", worker="other"), workflow="isolated")
BIG = plan(task("a"), task("b", "a"), workflow="big")
WITH_CLEANUP = plan(
    task("a"), task("b", "a"), task("cleanup", kind=TaskKind.ON_FAILURE), workflow="with cleanup"
)
GATED = replace(plan(task("a"), task("b"), task("c", "a", "b"), workflow="gated"), gates=(gate("of runs/0"),))
LIMITED = single("limited", gates=(gate(),), rates=(rate(),))
FLOWS = [CHAIN, DIAMOND, TWO_ROOTS, RETRIED, ISOLATED, BIG, WITH_CLEANUP, GATED, LIMITED]


def body(work: Work) -> Json:
    """The last task of a first generation fails for good."""
    first = work.record.generation is None
    if first and work.task == last(work.record.plan):
        raise PermanentError("it fails at first")
    row = work.record.tasks[work.task]
    if work.record.plan.workflow == "retried" and work.task == "a" and row.app_retry_count == 0:
        raise ValueError("first attempts fail")
    if work.record.plan.workflow == "big":
        return {"text": "x" * 3_000, "of": work.task}
    return {"of": work.task}


def last(flow: RunPlan) -> str:
    return [each.name for each in flow.tasks if each.kind is TaskKind.NORMAL][-1]


def world(*flows: RunPlan, code: Callable[[Work], Json] = body, faults: object = None) -> World:
    names = {each.name for flow in flows for each in flow.tasks}
    w = World(
        plans={flow.workflow: flow for flow in flows},
        code=dict.fromkeys(names, code),
        faults=faults,  # type: ignore[arg-type]
    )
    return w


def replay_run(
    w: World, run_id: str, *, input: NewInput | None = None, only_failed: bool = False
) -> RunRecord:
    return engine_replay(w.engine, run_id, deployed=w.plans.get, input=input, only_failed=only_failed)


def ended(w: World, flow: RunPlan, value: Json = None, **options: object) -> str:
    """A run of the flow that is over."""
    run_id = w.start(flow.workflow, value, **options)
    w.drain()
    assert finished(w.record(run_id))
    w.ran.clear()
    return run_id


# ---------------------------------------------------------------- what runs again


def test_all_tasks_run_again_under_the_same_id() -> None:
    w = world(CHAIN)
    run_id = ended(w, CHAIN, {"n": 1})
    assert run_status(w.record(run_id)) is RunStatus.FAILED

    replayed = replay_run(w, run_id)

    assert run_status(replayed) is RunStatus.QUEUED
    w.drain()
    record = w.record(run_id)
    assert run_status(record) is RunStatus.COMPLETED
    assert w.ran == ["a", "b", "c"]
    assert {name: (row.retry_count, row.ticket) for name, row in record.tasks.items()} == {
        "a": (1, 2),
        "b": (1, 2),
        "c": (1, 2),
    }
    assert load_input(w.engine, record) == '{"n": 1}'
    assert record.again == {}


def test_a_replay_leaves_the_index_of_failures() -> None:
    w = world(CHAIN)
    run_id = ended(w, CHAIN)
    assert failed_ids(w) == [run_id]
    replay_run(w, run_id)
    assert failed_ids(w) == []


def failed_ids(w: World) -> list[str]:
    return [str(item["pk"]).removeprefix("run#") for item in w.store.items() if "fpk" in item]


def test_what_completed_stays_where_only_the_failed_tasks_run_again() -> None:
    w = world(DIAMOND, WITH_CLEANUP)
    diamond, cleaned = ended(w, DIAMOND), ended(w, WITH_CLEANUP)
    for run_id in (diamond, cleaned):
        replay_run(w, run_id, only_failed=True)
        w.drain()
        assert run_status(w.record(run_id)) is RunStatus.COMPLETED
    assert w.ran == ["d", "b"]
    assert w.record(diamond).tasks["a"].retry_count == 0
    assert "cleanup" not in w.record(cleaned).tasks, "nothing has failed in this generation"


def test_a_run_without_failures_has_no_failed_tasks_to_replay() -> None:
    w = world(CHAIN, code=lambda work: {"of": work.task})
    run_id = ended(w, CHAIN)
    before = w.record(run_id)
    assert replay_run(w, run_id, only_failed=True) == before
    assert w.queues.depth() == 0


@pytest.mark.parametrize("size", [10, 3_000])
def test_another_input(size: int) -> None:
    seen: list[Json] = []

    def code(work: Work) -> Json:
        seen.append(work.input)
        return {}

    w = world(CHAIN, code=code)
    run_id = ended(w, CHAIN, {"text": "y" * size})
    text = '{"text":"' + "z" * size + '"}'
    replay_run(w, run_id, input=NewInput(text=text))
    w.drain()
    assert seen[3:] == [text] * 3
    assert load_input(w.engine, w.record(run_id)) == text
    replay_run(w, run_id)
    w.drain()
    assert seen[6:] == [text] * 3, "a later replay keeps it"


def test_a_task_moved_to_another_worker_runs_there() -> None:
    w = world(CHAIN)
    run_id = ended(w, CHAIN)
    moved = replace(CHAIN, tasks=tuple(replace(each, worker="new") for each in CHAIN.tasks))
    w.plans = {"chain": moved}
    replay_run(w, run_id)
    w.drain()
    assert run_status(w.record(run_id)) is RunStatus.COMPLETED
    assert w.ran == ["a", "b", "c"]


# ---------------------------------------------------------------- refused


def test_what_cannot_be_replayed_says_why() -> None:
    w = world(CHAIN)
    with pytest.raises(RunNotFound, match="Workflow run nothing not found"):
        replay_run(w, "nothing")
    run_id = w.start("chain")
    with pytest.raises(RunNotOver, match=rf"run {run_id} is QUEUED: only a run that is over can be replayed"):
        replay_run(w, run_id)
    w.drain()
    w.plans = {}
    with pytest.raises(NotDeployed, match="workflow chain is not deployed any more"):
        replay_run(w, run_id)
    shorter = plan(task("a"), task("b", "a"), workflow="chain")
    w.plans = {"chain": shorter}
    with pytest.raises(NotDeployed, match="workflow chain has no task c any more"):
        replay_run(w, run_id)
    assert run_status(w.record(run_id)) is RunStatus.FAILED
    assert w.queues.depth() == 0


# ---------------------------------------------------------------- deaths


def replayed_under(flow: RunPlan, fault: KillAt, **how: object) -> tuple[World, str, bool]:
    w = world(flow, faults=fault)
    fault.armed = False
    value: Json = {"text": "y" * 2_000} if flow is BIG else {"n": 1}
    run_id = ended(w, flow, value)
    fault.armed = True
    returned = False
    with contextlib.suppress(Killed):
        replay_run(w, run_id, **how)  # type: ignore[arg-type]
        returned = True
    w.drain()
    return w, run_id, returned


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("only_failed", [False, True])
@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.workflow)
def test_any_crash_point(flow: RunPlan, only_failed: bool, after_effect: bool) -> None:
    clean = KillAt(10**9, after_effect)
    again = len(replayed_under(flow, clean, only_failed=only_failed)[0].ran)
    assert clean.calls >= 5
    for n in range(clean.calls):
        fault = KillAt(n, after_effect)
        w, run_id, returned = replayed_under(flow, fault, only_failed=only_failed)
        where = f"killed at call {n} ({fault.hit}), {'after' if after_effect else 'before'} its effect"
        assert w.queues.depth() == 0, where
        assert left_over(w) == [] or flow is LIMITED, where
        record = w.record(run_id)
        if record.generation is None:
            assert not returned, where
            assert run_status(record) is RunStatus.FAILED, where
            assert w.ran == [], where
            continue
        assert finished(record), where
        assert run_status(record) is RunStatus.COMPLETED, where
        assert record.generation_number == 1, where
        lost = sum(row.takeovers for row in record.tasks.values())
        assert len(w.ran) <= again + lost + 1, where


@pytest.mark.parametrize("n", range(6))
def test_a_message_that_is_faster_than_its_replays_write_is_not_lost(n: int) -> None:
    """The client writes after its message was refused, at any call of who received it."""

    @dataclass(slots=True)
    class Between(NoFaults):
        calls: int = -1
        write: Callable[[], object] | None = None

        def before(self, port: str, call: str) -> None:
            if self.write is None or port != "store":
                return
            self.calls += 1
            if self.calls == n:
                write, self.write = self.write, None
                write()

    between = Between()
    w = world(CHAIN, faults=between)
    run_id = ended(w, CHAIN)
    store, written = type(w.store), type(w.store).write
    held: list[Callable[[], object]] = []

    def later(of: Any, write: Any) -> Any:
        """The client's write takes place later; it is told what was there."""
        held.append(lambda: written(of, write))
        return Applied(of.get(write.key))

    with patch.object(store, "write", later):
        replay_run(w, run_id)
    between.write = held[-1]
    w.drain()
    assert between.write is None or n > 2, "the message was delivered before"
    record = w.record(run_id)
    assert run_status(record) is RunStatus.COMPLETED
    assert (record.generation_number, w.ran) == (1, ["a", "b", "c"])


@pytest.mark.parametrize("first_failed", [False, True])
def test_of_two_replays_of_one_end_one_takes_place(first_failed: bool) -> None:
    """The second reads the run before the first has written: at any of the first one's calls."""

    @dataclass(slots=True)
    class Meanwhile(NoFaults):
        n: int
        calls: int = 0
        then: Callable[[], object] | None = None
        hits: list[str] = field(default_factory=list)

        def before(self, port: str, call: str) -> None:
            if self.then is None:
                return
            if self.calls == self.n:
                then, self.then = self.then, None
                then()
            self.calls += 1

    for n in range(6):
        other = Meanwhile(n)
        w = world(DIAMOND, faults=other)
        run_id = ended(w, DIAMOND)
        other.then = lambda w=w, run_id=run_id: replay_run(w, run_id, only_failed=not first_failed)  # type: ignore[misc]
        with contextlib.suppress(RunNotOver):
            replay_run(w, run_id, only_failed=first_failed)
        if other.then is not None:
            assert n > 2, "it reads, sends and writes"
            return
        w.drain()
        record = w.record(run_id)
        assert run_status(record) is RunStatus.COMPLETED
        assert record.generation_number == 1
        assert w.ran in (["a", "b", "c", "d"], ["d"]), (n, w.ran)
        assert w.queues.depth() == 0


@pytest.mark.parametrize("flow", [CHAIN, TWO_ROOTS, GATED], ids=lambda flow: flow.workflow)
def test_every_message_of_an_earlier_generation_comes_again(flow: RunPlan) -> None:
    """Each message that ever was delivered is delivered once more, at the end and in the middle of the replay."""
    w = world(flow)
    seen: list[tuple[str, Received]] = []

    def deliver_all(keep: bool) -> None:
        for _ in range(100):
            for worker in ("default", "other"):
                for received in w.queues.receive(worker, limit=10, wait_s=0):
                    if keep:
                        seen.append((worker, received))
                    if isinstance(deliver(w.engine, w.host(worker), received, runner=run_at_once), Done):
                        w.queues.delete(received)

    run_id = w.start(flow.workflow, {"n": 1})
    deliver_all(True)
    w.ran.clear()
    replay_run(w, run_id)
    for worker, received in list(seen):
        deliver(w.engine, w.host(worker), received, runner=run_at_once)
    assert w.ran == []
    deliver_all(True)
    w.drain()
    ran = sorted(w.ran)
    assert ran == sorted(each.name for each in flow.tasks)
    for worker, received in seen:
        deliver(w.engine, w.host(worker), received, runner=run_at_once)
    w.drain()
    assert sorted(w.ran) == ran
    assert w.record(run_id).generation_number == 1
    assert run_status(w.record(run_id)) is RunStatus.COMPLETED
    assert left_over(w) == []


def test_a_zombie_of_the_earlier_generation_commits_nothing() -> None:
    w = world(CHAIN)
    run_id = w.start("chain")

    def cancelled_and_replayed(work: Work) -> Json:
        if work.record.generation is None:
            cancel(w.engine, run_id)
            replay_run(w, run_id)
            return {"of": "a zombie"}
        return {"of": "the replay"}

    w.code = {**w.code, "a": cancelled_and_replayed}
    w.drain()
    record = w.record(run_id)
    assert run_status(record) is RunStatus.COMPLETED
    assert record.tasks["a"].output.text == '{"of": "the replay"}'
    assert record.cancelled_at_ms is None


@pytest.mark.parametrize("after_start", [0, 1, 2])
def test_a_cancelled_run_is_replayed(after_start: int) -> None:
    w = world(CHAIN)
    run_id = w.start("chain")
    for _ in range(after_start):
        w.deliver_next()
    w.store.write(cancel_run(run_id, now_ms=w.clock.now_ms(), reason="CANCELLED_BY_USER"))
    replay_run(w, run_id)
    w.drain()
    assert run_status(w.record(run_id)) is RunStatus.COMPLETED


def test_a_message_that_kills_its_worker_fails_the_replay_once() -> None:
    w = world(CHAIN)
    run_id = ended(w, CHAIN)

    def dies(work: Work) -> Json:
        raise Killed("out of memory")

    w.code = {**w.code, "a": dies}
    replay_run(w, run_id)
    w.drain()
    record = w.record(run_id)
    assert run_status(record) is RunStatus.FAILED
    assert record.tasks["a"].status is TaskStatus.FAILED


# ---------------------------------------------------------------- what a run holds


def test_the_idempotency_key_is_taken_again_and_given_up_again() -> None:
    w = world(CHAIN)
    key = IdempotencyKey(key="k", ttl_ms=60_000, until_over=True)
    run_id = ended(w, CHAIN, idempotency=key)
    assert held(w) is None
    replay_run(w, run_id)
    assert held(w) == run_id
    with pytest.raises(IdempotencyCollisionError):
        w.start("chain", idempotency=key)
    w.drain()
    assert held(w) is None

    other = w.start("chain", idempotency=key)
    with pytest.raises(IdempotencyCollisionError, match=other):
        replay_run(w, run_id)
    assert w.record(run_id).generation_number == 1


def held(w: World) -> object:
    item = w.store.get(idempotency_key(idempotency_partition("chain", "k")))
    return item["run"] if item is not None else None


@pytest.mark.parametrize("after_effect", [False, True])
def test_a_key_is_never_stuck(after_effect: bool) -> None:
    key = IdempotencyKey(key="k", ttl_ms=60_000, until_over=True)
    for n in range(12):
        fault = KillAt(n, after_effect, armed=False)
        w = world(CHAIN, faults=fault)
        run_id = ended(w, CHAIN, idempotency=key)
        fault.armed = True
        with contextlib.suppress(Killed):
            replay_run(w, run_id)
        fault.armed = False
        w.drain()
        w.start("chain", idempotency=key)


@pytest.mark.parametrize("strategy", [CIP, CN])
def test_an_old_run_that_is_replayed_is_as_new_as_its_replay(strategy: object) -> None:
    flow = replace(GATED, gates=(gate("of runs/0", strategy=strategy),))  # type: ignore[arg-type]
    w = world(flow, code=lambda work: {"of": work.task})
    old = ended(w, flow)
    w.clock.advance(10_000)
    new = ended(w, flow)
    w.clock.advance(10_000)
    replay_run(w, old)
    w.drain()
    assert [run_status(w.record(each)) for each in (old, new)] == [RunStatus.COMPLETED] * 2


def records(w: World) -> list[RunRecord]:
    ids = [str(item["pk"]).removeprefix("run#") for item in w.store.items() if item["sk"] == "run"]
    return [w.record(each) for each in ids]
