"""Whole runs on the memory ports: what is delivered, in which order, and what the record says in the end."""

from __future__ import annotations

import json
from random import Random

import pytest
from support.records import plan, task
from support.world import PermanentError, World

from headrace.core.run.derived.graph import states
from headrace.core.run.derived.progress import run_status
from headrace.core.run.message import TaskMessage, encode_message
from headrace.core.run.plans.plan import Json, ParentLeaf, RunPlan, TaskKind
from headrace.core.run.record import Place, RunStatus, TaskStatus
from headrace.engine.attempts.ports import Work
from headrace.engine.engine import Limits
from headrace.engine.owed.cancel import cancel
from headrace.engine.runs.read import output_text, read
from headrace.ports import Outgoing


def noise(size: int) -> str:
    """A text that does not become much smaller by compression."""
    return Random(1).randbytes(size // 2).hex()


def echo(work: Work) -> Json:
    return {"task": work.task, "input": json.loads(work.input) if work.input else None}


def fails_until(attempt: int) -> object:
    def body(work: Work) -> Json:
        if work.record.tasks[work.task].app_retry_count + 1 < attempt:
            raise ValueError("not yet")
        return {"attempt": attempt}

    return body


def world(*plans: RunPlan, **code: object) -> World:
    names = {each.name for p in plans for each in p.tasks}
    return World(
        plans={p.workflow: p for p in plans},
        code={name: code.get(name.replace("-", "_"), echo) for name in names},  # type: ignore[misc]  # bodies
    )


SIMPLE = plan(task("a"), workflow="simple")
DIAMOND = plan(task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c"), workflow="diamond")


def test_a_task_goes_from_trigger_to_result() -> None:
    w = world(SIMPLE)
    run_id = w.start("simple", {"n": 1})
    assert run_status(w.record(run_id)) is RunStatus.QUEUED
    w.drain()
    record = w.record(run_id)
    assert run_status(record) is RunStatus.COMPLETED
    assert output_text(w.engine, record, "a") == '{"task": "a", "input": {"n": 1}}'
    assert w.queues.depth() == 0


@pytest.mark.parametrize(
    ("retries", "needed", "status", "runs"), [(2, 3, RunStatus.COMPLETED, 3), (1, 3, RunStatus.FAILED, 2)]
)
def test_retries(retries: int, needed: int, status: RunStatus, runs: int) -> None:
    w = world(plan(task("a", retries=retries), workflow="simple"), a=fails_until(needed))
    run_id = w.start("simple")
    w.drain()
    assert (run_status(w.record(run_id)), len(w.ran)) == (status, runs)


def test_a_permanent_error_is_not_retried() -> None:
    def body(work: Work) -> Json:
        raise PermanentError("never")

    w = world(plan(task("a", retries=5), workflow="simple"), a=body)
    run_id = w.start("simple")
    w.drain()
    row = w.record(run_id).tasks["a"]
    assert (row.status, len(w.ran), row.error and row.error.message) == (TaskStatus.FAILED, 1, "never")


@pytest.mark.parametrize(("factor", "seconds"), [(2.0, 2), (600.0, 600), (7200.0, 7200)])
def test_backoff_waits_as_long_as_it_says_with_a_timer_past_fifteen_minutes(
    factor: float, seconds: int
) -> None:
    w = world(plan(task("a", retries=1, backoff_factor=factor), workflow="simple"), a=fails_until(2))
    began = w.clock.now_ms()
    run_id = w.start("simple")
    w.drain()
    row = w.record(run_id).tasks["a"]
    assert row.status is TaskStatus.COMPLETED
    assert row.started_at_ms is not None
    assert seconds <= (row.started_at_ms - began) / 1000 <= seconds + 1


def test_a_chain_is_one_message() -> None:
    names = [f"t{i}" for i in range(10)]
    chain = plan(*[task(name, *names[max(0, i - 1) : i]) for i, name in enumerate(names)], workflow="chain")
    w = world(chain)
    run_id = w.start("chain")
    assert w.deliver_next()
    assert w.ran == names
    assert w.queues.depth() == 0
    assert run_status(w.record(run_id)) is RunStatus.COMPLETED


def test_of_several_ready_children_one_goes_on_here_and_the_others_are_sent() -> None:
    w = world(DIAMOND)
    run_id = w.start("diamond")
    w.deliver_next()
    assert w.ran == ["a", "b"]
    assert w.queues.depth("default") == 1
    w.deliver_next()
    assert w.ran == ["a", "b", "c", "d"]
    w.drain()
    assert run_status(w.record(run_id)) is RunStatus.COMPLETED
    assert w.ran == ["a", "b", "c", "d"]


def test_an_isolated_task_gets_its_own_message() -> None:
    w = world(plan(task("a"), task("b", "a", isolated=True), workflow="two"))
    w.start("two")
    w.deliver_next()
    assert w.ran == ["a"]
    w.drain()
    assert w.ran == ["a", "b"]


def test_a_child_on_another_worker_goes_through_its_queue() -> None:
    w = world(plan(task("a"), task("b", "a", worker="gpu"), workflow="two"))
    w.start("two")
    w.deliver_next()
    assert w.queues.depth("gpu") == 1
    w.drain()
    assert w.ran == ["a", "b"]


def test_a_parents_output_reaches_its_descendants_from_wherever_it_is() -> None:
    big = {"text": noise(5_000)}
    seen: list[str | None] = []

    def last(work: Work) -> Json:
        seen.append(work.output_of("a"))
        return {"ok": True}

    flow = plan(task("a"), task("b", "a", isolated=True), task("c", "b", isolated=True), workflow="flow")
    w = world(flow, a=lambda work: big, c=last)
    run_id = w.start("flow")
    w.drain()
    assert w.record(run_id).tasks["a"].output.place is Place.ITEM
    assert [json.loads(text or "null") for text in seen] == [big]


@pytest.mark.parametrize(("size", "place"), [(10, Place.RECORD), (5_000, Place.ITEM), (390_000, Place.BLOB)])
def test_an_input_reaches_the_task_whatever_its_size(size: int, place: Place) -> None:
    w = world(SIMPLE, a=lambda work: {"size": len(json.loads(work.input or "{}")["text"])})
    run_id = w.start("simple", {"text": noise(size)})
    w.drain()
    record = w.record(run_id)
    assert record.input.place is place
    assert output_text(w.engine, record, "a") == json.dumps({"size": size})


@pytest.mark.parametrize(
    ("size", "place"), [(16_000, Place.RECORD), (150_000, Place.ITEM), (3_900_000, Place.BLOB)]
)
def test_a_text_that_shrinks_to_nothing_sits_in_the_record_only_up_to_a_size(size: int, place: Place) -> None:
    """Its start message carries it as it is, and each reader of the record unpacks it."""
    w = world(DIAMOND, a=lambda work: json.loads(work.input or "{}"))
    run_id = w.start("diamond", {"text": "y" * size})
    w.drain()
    record = w.record(run_id)
    assert (record.input.place, record.tasks["a"].output.place) == (place, place)
    assert run_status(record) is RunStatus.COMPLETED


def test_an_output_over_the_limit_fails_the_task_with_size_and_limit() -> None:
    w = world(SIMPLE, a=lambda work: {"text": "x" * 2_000})
    w.engine = type(w.engine)(
        store=w.store, queues=w.queues, clock=w.clock, ids=w.engine.ids, limits=Limits(payload_bytes=1_000)
    )
    run_id = w.start("simple")
    w.drain()
    error = w.record(run_id).tasks["a"].error
    assert error is not None
    assert "1,000 bytes" in error.message


def test_a_cancelled_run_is_not_started() -> None:
    w = world(SIMPLE)
    run_id = w.start("simple")
    assert cancel(w.engine, run_id)
    w.drain()
    assert (w.ran, run_status(w.record(run_id))) == ([], RunStatus.CANCELLED)


def test_a_run_cancelled_while_it_runs_keeps_no_result() -> None:
    def body(work: Work) -> Json:
        cancel(w.engine, work.record.run_id)
        return {"late": True}

    w = world(DIAMOND, b=body)
    run_id = w.start("diamond")
    w.drain()
    assert run_status(w.record(run_id)) is RunStatus.CANCELLED
    assert [s.status for s in states(w.record(run_id)).values()] == [
        TaskStatus.COMPLETED,
        *[TaskStatus.CANCELLED] * 3,
    ]
    assert not cancel(w.engine, run_id)


def test_a_task_that_waits_too_long_is_cancelled_by_the_first_look() -> None:
    for look in ("deliver", "read"):
        w = world(plan(task("a", schedule_timeout_ms=5_000), workflow="simple"))
        run_id = w.start("simple")
        w.clock.advance(6_000)
        if look == "deliver":
            w.drain()
        else:
            assert read(w.engine, run_id) is not None
        row = w.record(run_id).tasks["a"]
        assert (row.status, row.error and row.error.type) == (TaskStatus.CANCELLED, "SCHEDULING_TIMED_OUT")
        w.drain()
        assert w.ran == []


def test_the_on_failure_task_sees_the_errors() -> None:
    seen: list[str] = []

    def clean(work: Work) -> Json:
        seen.extend(f"{name}: {error.message}" for name, error in work.errors.items())
        return None

    def boom(work: Work) -> Json:
        raise ValueError("boom")

    flow = plan(task("a"), task("b", "a"), task("x-on-failure", kind=TaskKind.ON_FAILURE), workflow="flow")
    w = world(flow, b=boom, x_on_failure=clean)
    run_id = w.start("flow")
    w.drain()
    assert (seen, run_status(w.record(run_id))) == (["b: boom"], RunStatus.FAILED)


def test_a_condition_is_evaluated_by_its_parents_commit() -> None:
    def leaf(number: int, expression: str) -> tuple[tuple[ParentLeaf, ...], ...]:
        return ((ParentLeaf(number=number, parent="a", expression=expression),),)

    flow = plan(
        task("a"),
        task("left", "a", skip_if=leaf(0, "output['n'] > 50")),
        task("right", "a", skip_if=leaf(1, "output['n'] <= 50")),
        task("join", "left", "right"),
        workflow="flow",
    )
    w = world(flow, a=lambda work: {"n": 70})
    run_id = w.start("flow")
    w.drain()
    assert w.ran == ["a", "right", "join"]
    assert states(w.record(run_id))["left"].status is TaskStatus.SKIPPED


def test_a_task_whose_code_is_gone_fails_with_that_reason() -> None:
    w = world(SIMPLE)
    w.code = {}
    run_id = w.start("simple")
    w.drain()
    error = w.record(run_id).tasks["a"].error
    assert error is not None
    assert "no task a of workflow simple" in error.message


@pytest.mark.parametrize("body", ["{", '{"run":"r"}', "null"])
def test_a_message_that_is_none_of_ours_ends_in_the_dead_letters_and_is_dropped(body: str) -> None:
    w = world(SIMPLE)
    w.queues.send("default", [Outgoing(body=body)])
    w.drain(limit=100)
    assert w.queues.depth() == 0


def test_a_message_of_a_run_that_vanished_is_dropped() -> None:
    w = world(SIMPLE)
    now = w.clock.now_ms()
    gone = TaskMessage(run_id="gone", task="a", number=0, queued_at_ms=now, start_by_ms=now + 10**9)
    w.queues.send("default", [Outgoing(body=encode_message(gone))])
    w.drain(limit=100)
    assert (w.queues.depth(), w.ran) == (0, [])
