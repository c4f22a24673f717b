"""Each failed attempt leaves a line in the log: which run, task and attempt, and the type of the error."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from support.gates import gate, single
from support.world import Killed, PermanentError, World

from headrace.core.run.plans.plan import BatchPlan, Json, RunPlan
from headrace.engine.attempts.ports import Work
from headrace.engine.engine import Limits
from headrace.engine.runs.deliver import deliver
from headrace.runtime.deadline import Ending, TimedOut

SECRET = "card 4242"


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    found = [record for record in caplog.records if record.name == "headrace.attempts"]
    assert all(getattr(record, "error_type", None) and getattr(record, "run_id", None) for record in found)
    return [(record.levelname, record.getMessage()) for record in found]


def raises(work: Work) -> Json:
    raise (PermanentError if work.record.tasks[work.task].app_retry_count else ValueError)(SECRET)


def run(plan: RunPlan, caplog: pytest.LogCaptureFixture, **options: object) -> tuple[World, str]:
    caplog.set_level(logging.INFO, "headrace.attempts")
    w = World(plans={"flow": plan}, code={"flow": raises}, **options)  # type: ignore[arg-type]  # World's fields
    return w, w.start("flow")


def test_a_retry_is_a_warning_and_the_end_an_error(caplog: pytest.LogCaptureFixture) -> None:
    w, run_id = run(single(retries=3), caplog)
    w.drain()
    assert lines(caplog) == [
        (
            "WARNING",
            f"task flow of workflow flow failed: ValueError (run {run_id}, attempt 1); it is tried again",
        ),
        ("ERROR", f"task flow of workflow flow failed: PermanentError (run {run_id}, attempt 2)"),
    ]
    assert SECRET not in caplog.text


def test_a_member_of_a_batch(caplog: pytest.LogCaptureFixture) -> None:
    w, run_id = run(single(batch=BatchPlan(max_size=1)), caplog)
    w.drain()
    assert [(level, run_id in text) for level, text in lines(caplog)] == [("ERROR", True)]


def test_a_timeout(caplog: pytest.LogCaptureFixture) -> None:
    def late(*of: object) -> Ending:
        return TimedOut(2)

    w, run_id = run(single(), caplog)
    (received,) = w.queues.receive("default", limit=1, wait_s=0, visibility_s=60)
    deliver(w.engine, w.host("default"), received, runner=late)
    assert lines(caplog) == [
        ("ERROR", f"task flow of workflow flow failed: timed out after 2 s (run {run_id}, attempt 1)")
    ]


def test_a_worker_that_was_lost_too_often(caplog: pytest.LogCaptureFixture) -> None:
    def dies(*of: object) -> Ending:
        raise Killed

    w, run_id = run(single(), caplog, limits=Limits(max_crashes=0))
    (received,) = w.queues.receive("default", limit=1, wait_s=0, visibility_s=60)
    with pytest.raises(Killed):
        deliver(w.engine, w.host("default"), received, runner=dies)
    w.clock.advance(61_000)
    w.drain()
    assert lines(caplog) == [
        ("ERROR", f"task flow of workflow flow failed: LostWorkerError (run {run_id}, attempt 1)")
    ]


def test_a_key_that_cannot_be_evaluated(caplog: pytest.LogCaptureFixture) -> None:
    w, _ = run(replace(single(gates=(gate(key="input.nothing"),))), caplog)
    w.drain()
    assert [(level, "ExpressionError" in text) for level, text in lines(caplog)] == [("ERROR", True)]


@pytest.mark.parametrize("claimed", [False, True], ids=["never claimed", "claimed by a worker that died"])
@pytest.mark.parametrize("batched", [False, True], ids=["task", "batch"])
def test_a_message_that_came_to_the_dead_letters(
    caplog: pytest.LogCaptureFixture, claimed: bool, batched: bool
) -> None:
    plan = single(batch=BatchPlan(max_size=1)) if batched else single()
    w, run_id = run(plan, caplog, max_receive_count=1)
    if batched:
        w.deliver_next()  # into its batch, whose message is the next
    (received,) = w.queues.receive("default", limit=1, wait_s=0, visibility_s=60)
    if claimed:
        with pytest.raises(Killed):
            deliver(w.engine, w.host("default"), received, runner=_dies)
    w.clock.advance(61_000)
    w.drain()
    assert lines(caplog) == [
        ("ERROR", f"task flow of workflow flow failed: DeadLetterError (run {run_id}, attempt 1)")
    ]


def _dies(*of: object) -> Ending:
    raise Killed


def test_a_key_of_a_batch_that_cannot_be_evaluated(caplog: pytest.LogCaptureFixture) -> None:
    w, _ = run(single(batch=BatchPlan(max_size=2, key="input.nothing")), caplog)
    w.drain()
    assert [(level, "ExpressionError" in text) for level, text in lines(caplog)] == [("ERROR", True)]


def test_what_succeeds_leaves_none(caplog: pytest.LogCaptureFixture) -> None:
    w, _ = run(single(), caplog)
    w.code = {"flow": lambda work: {"ok": True}}
    w._hosted.clear()
    w.drain()
    assert lines(caplog) == []
