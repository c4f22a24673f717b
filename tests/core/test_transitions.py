"""Every transition on real items: what it writes, when it is refused, what a refusal means."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.records import T0, plan, record, task

from headrace.core.changes import Applied, Item, Refused, Write, apply
from headrace.core.run.derived.graph import states
from headrace.core.run.derived.progress import run_status
from headrace.core.run.message import TaskMessage
from headrace.core.run.record import ErrorInfo, Payload, RunRecord, RunStatus, TaskStatus
from headrace.core.run.routing import Routing
from headrace.core.run.stored.record import record_of
from headrace.core.run.transitions.claim import (
    MAX_CRASHES,
    Busy,
    Lost,
    Mine,
    Spent,
    Stale,
    Vanished,
    claim,
    create,
    first_row,
    judge_claim,
    take_over,
)
from headrace.core.run.transitions.commit import Fenced, complete, fail, judge_commit
from headrace.core.run.transitions.fence import Attempt
from headrace.core.run.transitions.lease import beat
from headrace.core.run.transitions.settle import cancel_run, settle_unrun

FLOW = plan(task("a", retries=1), task("b", "a"))
ERROR = ErrorInfo(type="ValueError", message="no", trace="…")


def attempt(name: str = "a", *, ticket: int = 1, owner: str = "one", at: int = 10) -> Attempt:
    return Attempt(
        run_id="r1",
        task=name,
        number=FLOW.numbers.get(name, 0),
        ticket=ticket,
        owner=owner,
        now_ms=T0 + at,
        lease_until_ms=T0 + at + 60_000,
    )


def record_or_none(item: Item | None) -> RunRecord | None:
    return None if item is None else record_of(item)


def message(name: str = "a", ticket: int = 1) -> TaskMessage:
    return TaskMessage(
        run_id="r1",
        task=name,
        number=FLOW.numbers.get(name, 0),
        ticket=ticket,
        queued_at_ms=T0,
        start_by_ms=T0 + 300_000,
    )


def applied(item: Item | None, *writes: Write) -> Item:
    for write in writes:
        result = apply(write, item)
        assert isinstance(result, Applied), f"refused: {write}"
        item = result.item
    assert item is not None
    return item


def refused(item: Item | None, write: Write) -> Item | None:
    result = apply(write, item)
    assert isinstance(result, Refused)
    return result.item


NEW = applied(None, create(record(FLOW)))
CLAIMED = applied(NEW, claim(attempt(), queued_at_ms=T0))


def run_of(item: Item) -> RunRecord:
    return record_of(item)


def test_a_run_is_created_once() -> None:
    refused(NEW, create(record(FLOW)))


def test_a_claim_starts_the_task() -> None:
    row = run_of(CLAIMED).tasks["a"]
    assert (row.status, row.owner, row.started_at_ms, row.queued_at_ms) == (
        TaskStatus.RUNNING,
        "one",
        T0 + 10,
        T0,
    )


def test_a_ticket_is_used_once() -> None:
    item = refused(CLAIMED, claim(attempt(owner="two"), queued_at_ms=T0))
    assert isinstance(judge_claim(record_or_none(item), message(), owner="two", now_ms=T0 + 20), Busy)


def test_a_claim_whose_response_was_lost_is_ours() -> None:
    item = refused(CLAIMED, claim(attempt(), queued_at_ms=T0))
    assert isinstance(judge_claim(record_or_none(item), message(), owner="one", now_ms=T0 + 20), Mine)


def test_no_record_means_the_client_died() -> None:
    item = refused(None, claim(attempt(), queued_at_ms=T0))
    assert isinstance(judge_claim(record_or_none(item), message(), owner="one", now_ms=T0), Vanished)


def test_a_lease_that_is_over_is_taken_over_without_a_retry() -> None:
    verdict = judge_claim(record_or_none(CLAIMED), message(), owner="two", now_ms=T0 + 60_010)
    assert isinstance(verdict, Lost)
    row = run_of(applied(CLAIMED, take_over(attempt(owner="two", at=60_010), verdict.row))).tasks["a"]
    assert (row.owner, row.takeovers, row.retry_count, row.app_retry_count) == ("two", 1, 1, 0)


def test_a_takeover_is_refused_once_another_attempt_made_it() -> None:
    row = run_of(CLAIMED).tasks["a"]
    taken = applied(CLAIMED, take_over(attempt(owner="two"), row))
    refused(taken, take_over(attempt(owner="three"), row))


def test_too_many_takeovers_are_the_end() -> None:
    item = CLAIMED
    for n in range(MAX_CRASHES):
        item = applied(item, take_over(attempt(owner=f"o{n}"), run_of(item).tasks["a"]))
    assert isinstance(judge_claim(record_or_none(item), message(), owner="z", now_ms=T0 + 10**6), Spent)


def test_a_commit_is_fenced_by_a_takeover() -> None:
    taken = applied(CLAIMED, take_over(attempt(owner="two"), run_of(CLAIMED).tasks["a"]))
    item = refused(taken, complete(run_of(CLAIMED), attempt(), Payload(), now_ms=T0 + 99))
    assert isinstance(judge_commit(record_or_none(item), attempt()), Fenced)


def test_a_commit_is_fenced_by_a_cancel() -> None:
    cancelled = applied(CLAIMED, cancel_run("r1", now_ms=T0 + 50, reason="user"))
    item = refused(cancelled, complete(run_of(CLAIMED), attempt(), Payload(), now_ms=T0 + 99))
    assert isinstance(judge_commit(record_or_none(item), attempt()), Fenced)
    assert run_status(run_of(cancelled)) is RunStatus.CANCELLED


def test_a_commit_whose_response_was_lost_is_ours() -> None:
    write = complete(run_of(CLAIMED), attempt(), Payload.inline('{"n":1}'), now_ms=T0 + 99)
    done = applied(CLAIMED, write)
    assert isinstance(judge_commit(record_or_none(refused(done, write)), attempt()), Mine)
    assert run_of(done).tasks["a"].output.text == '{"n":1}'


def test_a_retry_issues_the_next_ticket_and_its_commit_is_recognised() -> None:
    write = fail(run_of(CLAIMED), attempt(), ERROR, now_ms=T0 + 99, retryable=True)
    again = applied(CLAIMED, write)
    row = run_of(again).tasks["a"]
    assert (row.status, row.ticket, row.retry_count, row.app_retry_count) == (TaskStatus.QUEUED, 2, 1, 1)
    assert isinstance(judge_commit(record_or_none(refused(again, write)), attempt()), Mine)
    assert isinstance(judge_claim(record_or_none(again), message(), owner="x", now_ms=T0 + 100), Stale)
    refused(again, claim(attempt(ticket=1, owner="x"), queued_at_ms=T0))
    second = applied(again, claim(attempt(ticket=2, owner="two"), queued_at_ms=T0 + 99))
    last = applied(
        second, fail(run_of(second), attempt(ticket=2, owner="two"), ERROR, now_ms=T0 + 199, retryable=True)
    )
    assert run_of(last).tasks["a"].status is TaskStatus.FAILED
    assert run_status(run_of(last)) is RunStatus.FAILED


def test_what_is_not_retryable_fails_at_once_and_enters_the_index_of_failures() -> None:
    failed = applied(CLAIMED, fail(run_of(CLAIMED), attempt(), ERROR, now_ms=T0 + 99, retryable=False))
    assert run_of(failed).tasks["a"].status is TaskStatus.FAILED
    assert failed["fpk"] == failed["lpk"]


def test_the_claim_of_an_only_child_rides_in_its_parents_commit() -> None:
    child = replace(attempt("b", owner="two"), via="a/1")
    done = applied(CLAIMED, complete(run_of(CLAIMED), attempt(), Payload(), now_ms=T0 + 99, then=[child]))
    rows = run_of(done).tasks
    assert (rows["a"].status, rows["b"].status, rows["b"].via) == (
        TaskStatus.COMPLETED,
        TaskStatus.RUNNING,
        "a/1",
    )
    assert isinstance(judge_claim(record_or_none(done), message(), owner="z", now_ms=T0 + 100), Busy)
    lost = judge_claim(record_or_none(done), message(), owner="z", now_ms=T0 + 10**6)
    assert isinstance(lost, Lost)
    assert lost.task == "b"


@pytest.mark.parametrize("status", [TaskStatus.FAILED, TaskStatus.CANCELLED])
def test_a_task_that_waits_can_end_without_running(status: TaskStatus) -> None:
    ended = applied(NEW, settle_unrun(run_of(NEW), "a", status, ERROR, ticket=1, now_ms=T0 + 5))
    assert states(run_of(ended))["b"].status is TaskStatus.CANCELLED
    refused(CLAIMED, settle_unrun(run_of(NEW), "a", status, ERROR, ticket=1, now_ms=T0 + 5))


def test_a_beat_keeps_the_lease_of_its_holder_only() -> None:
    kept = applied(CLAIMED, beat(attempt(), lease_until_ms=T0 + 10**7))
    assert isinstance(judge_claim(record_or_none(kept), message(), owner="two", now_ms=T0 + 10**6), Busy)
    refused(CLAIMED, beat(attempt(owner="two"), lease_until_ms=T0 + 10**7))
    refused(
        applied(CLAIMED, cancel_run("r1", now_ms=T0, reason="user")),
        beat(attempt(), lease_until_ms=T0 + 10**7),
    )


def test_a_record_survives_its_encoding() -> None:
    row = replace(
        first_row(attempt(), queued_at_ms=T0),
        status=TaskStatus.FAILED,
        error=ERROR,
        met=(1, 3),
        broken={2: "why"},
    )
    full = replace(
        record(FLOW, a=row),
        metadata={"k": [1, 2.5, None]},
        starter="a",
        routing=Routing(workers={"a": "gpu"}),
    )
    expected = replace(full, tasks={"a": replace(row, owner="one", lease_until_ms=row.lease_until_ms)})
    assert run_of(applied(None, create(full))) == expected
