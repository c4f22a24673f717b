"""A task that ends, or goes back to wait, without having run: parked again and again, turned away, or too late."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.lives import after, born, cancelled, started
from support.records import T0, plan, task

from headrace.core.changes import Applied, apply
from headrace.core.points import AdmissionPoint, AtConcurrency, AtPause, AtSlots
from headrace.core.run.record import ErrorInfo, RunRecord, TaskStatus
from headrace.core.run.transitions.claim import create
from headrace.core.run.transitions.fence import Attempt
from headrace.core.run.transitions.lease import save_log
from headrace.core.run.transitions.settle import overdue, schedule_timed_out, turn_away, unclaim

FLOW = plan(task("a", schedule_timeout_ms=90_000), task("b", "a"))
AT = T0 + 50
GATE, SLOTS, PAUSE = AtConcurrency("flow/0", "k"), AtSlots("default"), AtPause("flow")


def attempt(record: RunRecord, *, owner: str | None = None) -> Attempt:
    row = record.tasks["a"]
    return Attempt(
        run_id="r1",
        task="a",
        number=0,
        ticket=row.ticket,
        owner=owner or row.owner or "",
        now_ms=AT,
        lease_until_ms=AT + 1,
    )


def parked(record: RunRecord, point: AdmissionPoint, *, at_ms: int = AT) -> RunRecord:
    return after(record, unclaim(record, attempt(record), point=point, now_ms=at_ms))


def again(record: RunRecord) -> RunRecord:
    """Its waiter was woken and its ticket claimed."""
    return started(record, "a", AT + 10)


def test_a_task_that_has_to_wait_is_parked_with_the_next_ticket_and_has_not_started() -> None:
    row = parked(started(born(FLOW), "a"), GATE).tasks["a"]
    assert (row.status, row.ticket, row.waits_at, row.lined_up) == (TaskStatus.PARKED, 2, GATE, (GATE,))
    assert (row.started_at_ms, row.lease_until_ms, row.queued_at_ms) == (None, None, T0)


def test_a_task_remembers_every_line_that_it_stood_in_once() -> None:
    run = parked(again(parked(again(parked(started(born(FLOW), "a"), GATE)), SLOTS)), GATE)
    assert run.tasks["a"].lined_up == (GATE, SLOTS)
    assert run.tasks["a"].ticket == 4


@pytest.mark.parametrize(
    ("first", "then", "queued_ms"),
    [(PAUSE, GATE, AT + 20), (PAUSE, PAUSE, T0), (GATE, SLOTS, T0)],
    ids=["the pause is over", "paused still", "from one limit to another"],
)
def test_a_pause_stops_the_time_in_the_queue(
    first: AdmissionPoint, then: AdmissionPoint, queued_ms: int
) -> None:
    waited = parked(started(born(FLOW), "a"), first)
    claimed = again(waited)
    claimed = claimed.with_row("a", replace(claimed.tasks["a"], queued_at_ms=T0))
    assert parked(claimed, then, at_ms=AT + 20).tasks["a"].queued_at_ms == queued_ms


@pytest.mark.parametrize(
    ("status", "listed"), [(TaskStatus.CANCELLED, False), (TaskStatus.FAILED, True)], ids=str
)
def test_a_task_that_is_not_admitted_ends_with_the_reason(status: TaskStatus, listed: bool) -> None:
    run = started(born(FLOW), "a")
    error = ErrorInfo(type="CONCURRENCY", message="a newer run is in")
    done = apply(turn_away(run, attempt(run), status, error, now_ms=AT), apply(create(run), None).item)
    assert isinstance(done, Applied)
    assert done.item is not None
    assert ("fpk" in done.item) is listed  # the index of failed runs
    row = after(run, turn_away(run, attempt(run), status, error, now_ms=AT)).tasks["a"]
    assert (row.status, row.error, row.finished_at_ms, row.started_at_ms) == (status, error, AT, None)


REFUSED = {
    "another attempt has taken over": (started(born(FLOW), "a"), "another"),
    "the run was cancelled": (cancelled(started(born(FLOW), "a")), None),
}


@pytest.mark.parametrize(("run", "owner"), REFUSED.values(), ids=REFUSED.keys())
def test_an_attempt_that_is_fenced_changes_nothing(run: RunRecord, owner: str | None) -> None:
    item = apply(create(run), None).item
    me = attempt(run, owner=owner)
    error = ErrorInfo(type="E", message="m")
    for write in (
        unclaim(run, me, point=GATE, now_ms=AT),
        turn_away(run, me, TaskStatus.FAILED, error, now_ms=AT),
        save_log(me, "log"),
        save_log(me, None),
    ):
        assert not isinstance(apply(write, item), Applied)


def test_the_log_of_a_running_task_is_written_and_taken_away() -> None:
    run = started(born(FLOW), "a")
    written = after(run, save_log(attempt(run), "a log"))
    assert written.tasks["a"].log == "a log"
    assert after(written, save_log(attempt(written), None)).tasks["a"].log is None


@pytest.mark.parametrize(("waited_ms", "late"), [(0, False), (90_000, False), (90_001, True)])
def test_a_task_may_wait_as_long_as_its_schedule_timeout(waited_ms: int, late: bool) -> None:
    assert overdue(born(FLOW), "a", queued_at_ms=T0, now_ms=T0 + waited_ms) is late


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (born(FLOW), "Task a did not start within 90s"),
        (parked(started(born(FLOW), "a"), GATE), "Task a did not start within 90s"),
        (
            parked(started(born(FLOW), "a"), PAUSE),
            "Task a waited longer than the queue_ttl of its paused workflow",
        ),
    ],
    ids=["queued", "at a limit", "at a pause"],
)
def test_why_a_task_that_did_not_start_has_ended(run: RunRecord, message: str) -> None:
    assert schedule_timed_out(run, "a") == ErrorInfo(type="SCHEDULING_TIMED_OUT", message=message)
