"""How earlier attempts are kept in a row: bounded, and read back as they were written."""

from __future__ import annotations

import pytest
from support.lives import born, lost, raised, returned, started
from support.records import T0, plan, task

from headrace.core.run.attempts.history import (
    FIRST,
    LAST,
    Ending,
    PastAttempt,
    decode_error_item,
    decode_past,
    encode_error_item,
    with_attempt,
)
from headrace.core.run.generation import Generation
from headrace.core.run.record import ErrorInfo, RunRecord
from headrace.core.run.reset import ReplayOrder, replayed

FLAKY = born(plan(task("a", retries=50)))
ERROR = ErrorInfo(type="ValueError", message="no “way”", trace="Traceback …\n  line 1")


def attempts(record: RunRecord, name: str = "a") -> tuple[PastAttempt, ...]:
    row = record.tasks.get(name) or record.again[name]
    return decode_past(row.past)


@pytest.mark.parametrize(
    "attempt",
    [
        PastAttempt(
            ending=Ending.RETRIED, number=0, ticket=1, started_at_ms=T0, ended_at_ms=T0 + 9, error=ERROR
        ),
        PastAttempt(ending=Ending.LOST, number=3, ticket=2, started_at_ms=T0, ended_at_ms=T0 + 60_000),
        PastAttempt(ending=Ending.CANCELLED, number=0, ticket=1, started_at_ms=None, ended_at_ms=T0),
    ],
    ids=lambda each: each.ending.value,
)
def test_an_attempt_is_read_as_it_was_written(attempt: PastAttempt) -> None:
    assert decode_past(with_attempt(None, attempt)) == (attempt,)
    assert decode_past(with_attempt(with_attempt(None, attempt), attempt)) == (attempt, attempt)


def test_an_error_beside_leaves_its_beginning() -> None:
    error = ErrorInfo(type="ValueError", message="m" * 500, trace="t" * 5_000)
    attempt = PastAttempt(
        ending=Ending.RETRIED, number=0, ticket=7, started_at_ms=T0, ended_at_ms=T0, error=error, beside=True
    )
    text = with_attempt(None, attempt)
    [found] = decode_past(text)
    assert len(text) < 220
    assert (found.beside, found.ticket) == (True, 7)
    assert found.error is not None
    assert found.error.message.startswith("mmm")
    assert decode_error_item(encode_error_item(error)) == error


def test_each_failed_attempt_is_kept_with_its_times_and_its_error() -> None:
    record = raised(FLAKY, "a", "first", trace="at one", at_ms=T0 + 20)
    record = raised(record, "a", "second", trace="at two", at_ms=T0 + 40)
    assert [
        (each.number, each.ticket, each.started_at_ms, each.ended_at_ms) for each in attempts(record)
    ] == [
        (0, 1, T0 + 15, T0 + 20),
        (1, 2, T0 + 35, T0 + 40),
    ]
    assert [each.error.trace for each in attempts(record) if each.error] == ["at one", "at two"]
    done = returned(record, "a", {"n": 1}, at_ms=T0 + 60)
    assert len(attempts(done)) == 2, "the end keeps them"


def test_a_lost_worker_is_an_attempt() -> None:
    record = lost(started(FLAKY, "a"), "a")
    assert [(each.ending, each.number) for each in attempts(record)] == [(Ending.LOST, 0)]


def test_the_first_and_the_last_are_kept() -> None:
    record = FLAKY
    for n in range(40):
        record = raised(record, "a", f"number {n}", at_ms=T0 + 20 * (n + 1))
    kept = [each.number for each in attempts(record)]
    assert kept == [*range(FIRST), *range(40 - LAST, 40)]


def test_a_replay_keeps_how_the_generation_ended() -> None:
    failed = raised(born(plan(task("a"))), "a", "boom", trace="x" * 5_000)
    order = ReplayOrder(generation=Generation(number=1, at_ms=T0 + 90, id="i"), after=None)
    [attempt] = attempts(replayed(failed, order))
    assert attempt.ending is Ending.FAILED
    assert attempt.error is not None
    assert 1_500 < len(attempt.error.trace) <= 2_000
