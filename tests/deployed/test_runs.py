"""Runs of the deployed examples, started from outside through the SDK."""

from __future__ import annotations

import time

import pytest

from deployed.conftest import Stack
from deployed.waiting import until
from headrace import FailedTaskRunExceptionGroup, RunStatus

pytestmark = [pytest.mark.deployed, pytest.mark.timeout(280)]


def test_a_task_runs_and_gives_its_result(examples: Stack) -> None:
    from quickstart import SimpleInput, simple

    assert simple.run(SimpleInput(message="Hello, World!")).transformed_message == "hello, world!"


def test_many_at_once(examples: Stack) -> None:
    from quickstart import SimpleInput, simple

    items = [simple.create_bulk_run_item(input=SimpleInput(message=f"M{number}")) for number in range(40)]
    assert [each.transformed_message for each in simple.run_many(items)] == [
        f"m{number}" for number in range(40)
    ]


def test_retries_at_once_and_with_backoff(examples: Stack) -> None:
    from retries import Flaky, flaky, patient

    assert flaky.run(Flaky(failures=2)).attempts == 3
    assert patient.run(Flaky(failures=1)).attempts == 2


def test_a_task_that_keeps_failing_fails_with_its_own_error(examples: Stack) -> None:
    from retries import Flaky, flaky

    with pytest.raises(FailedTaskRunExceptionGroup) as caught:
        flaky.run(Flaky(failures=9))
    assert [error.exc_type for error in caught.value.exceptions] == ["ConnectionError"]
    assert "attempt 4 of 4" in caught.value.exceptions[0].exc


@pytest.mark.parametrize(("name", "limit"), [("too_slow", 2), ("too_slow_async", 1)])
def test_a_timeout_ends_sync_and_async_code_in_time(examples: Stack, name: str, limit: int) -> None:
    import timeouts

    started = time.monotonic()
    with pytest.raises(FailedTaskRunExceptionGroup) as caught:
        getattr(timeouts, name).run()
    assert caught.value.exceptions[0].exc == f"Task exceeded timeout of {limit}s"
    assert time.monotonic() - started < limit + 8


@pytest.mark.parametrize("name", ["endless", "polite"])
def test_cancelling(examples: Stack, name: str) -> None:
    import cancellation

    task, runs = getattr(cancellation, name), examples.app.runs
    run_id = task.run(wait_for_result=False).workflow_run_id
    until(lambda: runs.get_status(run_id) == RunStatus.RUNNING, within_s=20, what="running")
    runs.cancel(run_id)
    until(lambda: runs.get_status(run_id) == RunStatus.CANCELLED, within_s=20, what="cancelled")


def test_a_workflow_with_parents_and_children(examples: Stack) -> None:
    from nested import Numbers, sum_of_squares

    assert sum_of_squares.run(Numbers(numbers=[1, 2, 3])).total == 14
