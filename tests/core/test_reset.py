"""Replaying a run that is over: which tasks run again, what their rows keep, and the one write."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.lives import after, born, cancelled, raised, returned, started
from support.records import T0, plan, task

from headrace.core.changes import Applied, apply
from headrace.core.run.attempts.history import decode_past
from headrace.core.run.derived.progress import finished_at_ms, public_status, run_status, started_at_ms
from headrace.core.run.generation import Generation
from headrace.core.run.plans.plan import TaskKind
from headrace.core.run.record import Payload, Place, RunRecord, RunStatus, TaskStatus
from headrace.core.run.reset import ReplayOrder, failed_tasks, fits, replay, replayed, with_followers
from headrace.core.run.transitions.claim import create

FLOW = plan(task("a"), task("b", "a"), task("c", "b"), task("d", "a"), task("told", kind=TaskKind.ON_FAILURE))
FIRST = Generation(number=1, at_ms=T0 + 100, id="g")


def failed() -> RunRecord:
    """`b` has failed, so `c` did not run; `a`, `d` and the on-failure task have returned."""
    run = raised(returned(born(FLOW), "a"), "b")
    return returned(returned(run, "d"), "told")


def order(**given: object) -> ReplayOrder:
    return ReplayOrder(**{"generation": FIRST, "after": None, **given})  # type: ignore[arg-type]  # fields of ReplayOrder


@pytest.mark.parametrize(
    ("tasks", "again"),
    [
        (["b"], ("b", "c", "told")),
        (["a"], ("a", "b", "c", "d", "told")),
        (["c", "d"], ("c", "d", "told")),
        ([], ("told",)),
    ],
)
def test_what_depends_on_a_task_runs_again_with_it(tasks: list[str], again: tuple[str, ...]) -> None:
    assert with_followers(failed(), tasks) == again


def test_what_failed_or_never_ran_runs_again() -> None:
    assert failed_tasks(failed()) == ("b", "c", "told")


def test_of_a_run_that_completed_nothing_has_failed() -> None:
    run = returned(born(plan(task("a"))), "a")
    assert failed_tasks(run) == ()


@pytest.mark.parametrize(
    ("run", "asked", "fit"),
    [
        (failed(), order(), True),
        (failed(), order(after="1.5.f"), False),
        (returned(born(FLOW), "a"), order(), False),  # it goes on
        (cancelled(born(FLOW)), order(), True),
        (replace(failed(), generation=FIRST), order(after=FIRST.token), True),
        (replace(failed(), generation=FIRST), order(), False),
    ],
)
def test_a_replay_is_of_the_end_that_was_seen(run: RunRecord, asked: ReplayOrder, fit: bool) -> None:
    assert fits(run, asked) is fit


def test_a_task_that_runs_again_has_the_next_ticket_and_its_history() -> None:
    run = replayed(failed(), order(tasks=("b", "c")), starter="b")
    assert set(run.tasks) == {"a", "d", "told"}
    assert {name: (row.status, row.ticket) for name, row in run.again.items()} == {
        "b": (TaskStatus.WAITING, 2),
        "c": (TaskStatus.WAITING, 2),
    }
    assert [each.error.message for each in decode_past(run.again["b"].past) if each.error] == ["boom"]
    assert decode_past(run.again["c"].past) == ()
    assert (run.starter, run.generation) == ("b", FIRST)


def test_a_log_and_a_worker_may_be_given() -> None:
    run = replayed(failed(), order(logs={"b": "new"}, workers={"b": "gpu"}))
    assert run.again["b"].log == "new"
    assert run.routing.workers == {"b": "gpu"}


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (None, {"input": '{"n": 1}', "of": None}),
        (Payload.inline('{"n":2}'), {"input": '{"n":2}', "of": None}),
        (Payload(place=Place.ITEM), {"input": None, "of": "g"}),
    ],
    ids=["the same", "another", "another, as an item"],
)
def test_the_input_of_a_replay(given: Payload | None, stored: dict[str, str | None]) -> None:
    run = after(
        replace(failed(), input=Payload.inline('{"n": 1}')), replay(failed_with_input(), order(input=given))
    )
    assert {"input": run.input.text, "of": run.input_of} == stored


def failed_with_input() -> RunRecord:
    return replace(failed(), input=Payload.inline('{"n": 1}'))


def test_the_write_is_that_record_and_leaves_the_index_of_failures() -> None:
    run = failed()
    item = apply(create(run), None).item
    done = apply(replay(run, order(workers={"b": "gpu"})), item)
    assert isinstance(done, Applied)
    assert done.item is not None
    assert not {"fpk", "fsk", "x", "xr"} & set(done.item)
    assert after(run, replay(run, order(workers={"b": "gpu"}))) == replace(
        replayed(run, order(workers={"b": "gpu"})),
        weight=after(run, replay(run, order(workers={"b": "gpu"}))).weight,
    )


def test_of_two_replays_of_one_end_one_takes_place() -> None:
    run = failed()
    first = after(run, replay(run, order()))
    item = apply(create(first), None).item
    assert not isinstance(apply(replay(run, order(generation=replace(FIRST, id="h"))), item), Applied)


# ---------------------------------------------------------------- the run as users see it


@pytest.mark.parametrize(
    ("run", "status", "begun_ms", "ended_ms"),
    [
        (born(FLOW), RunStatus.QUEUED, None, None),
        (started(born(FLOW), "a"), RunStatus.RUNNING, T0 + 10, None),
        (returned(born(FLOW), "a", at_ms=T0 + 20), RunStatus.RUNNING, T0 + 15, None),
        (failed(), RunStatus.FAILED, T0 + 15, T0 + 20),
        (cancelled(born(FLOW), at_ms=T0 + 30), RunStatus.CANCELLED, None, T0 + 30),
    ],
    ids=["queued", "running", "between two tasks", "failed", "cancelled"],
)
def test_status_and_times_of_a_run(
    run: RunRecord, status: RunStatus, begun_ms: int | None, ended_ms: int | None
) -> None:
    assert (run_status(run), started_at_ms(run), finished_at_ms(run)) == (status, begun_ms, ended_ms)


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (TaskStatus.WAITING, RunStatus.QUEUED),
        (TaskStatus.QUEUED, RunStatus.QUEUED),
        (TaskStatus.PARKED, RunStatus.QUEUED),
        (TaskStatus.RUNNING, RunStatus.RUNNING),
        (TaskStatus.SUSPENDED, RunStatus.RUNNING),
        (TaskStatus.COMPLETED, RunStatus.COMPLETED),
        (TaskStatus.SKIPPED, RunStatus.COMPLETED),
        (TaskStatus.FAILED, RunStatus.FAILED),
        (TaskStatus.CANCELLED, RunStatus.CANCELLED),
    ],
)
def test_a_task_s_status_as_users_see_it(status: TaskStatus, shown: RunStatus) -> None:
    assert public_status(status) is shown
