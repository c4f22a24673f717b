"""What a task without a row is, and what follows for the run."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from support.records import T0, plan, record, task

from headrace.core.run.derived.graph import ancestors, state_of, states
from headrace.core.run.derived.progress import finished, made_ready_by, ready, run_status
from headrace.core.run.plans.plan import ParentLeaf, TaskKind
from headrace.core.run.record import RunRecord, RunStatus, TaskRow, TaskStatus

C, F, X, S, R = (
    TaskStatus.COMPLETED,
    TaskStatus.FAILED,
    TaskStatus.CANCELLED,
    TaskStatus.SKIPPED,
    TaskStatus.RUNNING,
)
JOIN = plan(task("a"), task("b"), task("c", "a", "b"))


@pytest.mark.parametrize(
    ("rows", "status", "is_ready"),
    [
        ({}, TaskStatus.WAITING, False),
        ({"a": C}, TaskStatus.WAITING, False),
        ({"a": C, "b": R}, TaskStatus.WAITING, False),
        ({"a": C, "b": C}, TaskStatus.QUEUED, True),
        ({"a": C, "b": S}, TaskStatus.QUEUED, True),
        ({"a": S, "b": S}, TaskStatus.SKIPPED, False),
        ({"a": F}, TaskStatus.CANCELLED, False),
        ({"a": C, "b": F}, TaskStatus.CANCELLED, False),
        ({"a": C, "b": X}, TaskStatus.CANCELLED, False),
    ],
)
def test_a_child_is_judged_by_all_its_parents(
    rows: dict[str, TaskStatus], status: TaskStatus, is_ready: bool
) -> None:
    found = states(record(JOIN, **rows))["c"]
    assert (found.status, found.ready) == (status, is_ready)


def test_a_cascade_of_cancels_needs_no_rows() -> None:
    chain = plan(task("a"), task("b", "a"), task("c", "b"), task("d", "c"))
    found = states(record(chain, a=F))
    assert [found[name].status for name in "abcd"] == [F, X, X, X]
    assert finished(record(chain, a=F))
    assert run_status(record(chain, a=F)) is RunStatus.FAILED


def test_only_the_last_parent_makes_the_join_ready() -> None:
    assert made_ready_by(record(JOIN, a=C), "a") == ()
    both = record(JOIN, a=C, b=C)
    assert made_ready_by(both, "a") == ("c",)
    assert made_ready_by(both, "b") == ("c",)
    assert made_ready_by(record(JOIN, a=C, b=C, c=R), "b") == ()


def test_a_root_is_made_ready_by_no_commit() -> None:
    assert ready(record(JOIN)) == ("a", "b")
    assert made_ready_by(record(JOIN, a=C), "a") == ()


ON_FAILURE = plan(task("a"), task("b", "a"), task("clean-on-failure", kind=TaskKind.ON_FAILURE))


@pytest.mark.parametrize(
    ("rows", "on_failure", "status", "over"),
    [
        ({"a": C, "b": C}, None, RunStatus.COMPLETED, True),
        ({"a": C, "b": R}, None, RunStatus.RUNNING, False),
        ({"a": F}, TaskStatus.QUEUED, RunStatus.RUNNING, False),
        ({"a": F, "clean-on-failure": C}, C, RunStatus.FAILED, True),
        ({"a": F, "clean-on-failure": F}, F, RunStatus.FAILED, True),
        ({"a": X}, None, RunStatus.CANCELLED, True),
    ],
)
def test_the_on_failure_task_runs_once_all_others_are_settled_and_one_failed(
    rows: dict[str, TaskStatus], on_failure: TaskStatus | None, status: RunStatus, over: bool
) -> None:
    run = record(ON_FAILURE, **rows)
    state = states(run).get("clean-on-failure")
    assert (state.status if state else None, run_status(run), finished(run)) == (on_failure, status, over)


def test_a_failed_leaf_owes_the_on_failure_task() -> None:
    assert made_ready_by(record(ON_FAILURE, a=F), "a") == ("clean-on-failure",)


def _leaf(number: int, expression: str | None = "output.x > 1") -> tuple[tuple[ParentLeaf, ...], ...]:
    return ((ParentLeaf(number=number, parent="a", expression=expression),),)


@pytest.mark.parametrize(
    ("options", "met", "expected"),
    [
        ({"skip_if": _leaf(0)}, (0,), S),
        ({"skip_if": _leaf(0)}, (), TaskStatus.QUEUED),
        ({"cancel_if": _leaf(0)}, (0,), X),
        ({"wait_for": _leaf(0)}, (0,), TaskStatus.QUEUED),
        ({"wait_for": _leaf(0)}, (), S),
        ({"skip_if": _leaf(0), "cancel_if": _leaf(1)}, (0, 1), S),
        ({"cancel_if": _leaf(0), "wait_for": _leaf(1)}, (0, 1), X),
        ({"skip_if": _leaf(0, None)}, (), S),
        ({"skip_if": (*_leaf(0), *_leaf(1))}, (0,), TaskStatus.QUEUED),
        ({"skip_if": ((*_leaf(0)[0], *_leaf(1)[0]),)}, (1,), S),
    ],
)
def test_skip_goes_before_cancel_goes_before_run(
    options: dict[str, object], met: tuple[int, ...], expected: TaskStatus
) -> None:
    flow = plan(task("a"), task("b", "a", **options))
    run = record(flow, a=TaskRow(status=C, met=met, finished_at_ms=T0))
    assert states(run)["b"].status is expected


def test_a_condition_that_cannot_be_evaluated_fails_the_task_with_the_reason() -> None:
    flow = plan(task("a"), task("b", "a", skip_if=_leaf(0)))
    run = record(flow, a=TaskRow(status=C, broken={0: "no such key: x"}, finished_at_ms=T0))
    state = states(run)["b"]
    assert state.status is F
    assert "output.x > 1" in (state.reason or "")
    assert "no such key: x" in (state.reason or "")
    assert run_status(run) is RunStatus.FAILED


def test_a_cancelled_run_cancels_what_is_not_settled_and_keeps_what_is() -> None:
    run = replace(record(JOIN, a=C, b=R), cancelled_at_ms=T0 + 5)
    found = states(run)
    assert [found[name].status for name in "abc"] == [C, X, X]
    assert run_status(run) is RunStatus.CANCELLED


def test_a_cancel_after_the_end_changes_nothing() -> None:
    run = replace(record(JOIN, a=C, b=C, c=C), cancelled_at_ms=T0 + 5)
    assert run_status(run) is RunStatus.COMPLETED


def test_a_failure_outranks_a_cancelled_sibling() -> None:
    assert run_status(record(JOIN, a=F, b=X)) is RunStatus.FAILED


def test_ancestors_reach_over_generations() -> None:
    chain = plan(task("a"), task("b", "a"), task("c", "b"), task("other"))
    assert ancestors(chain, "c") == {"a", "b"}


# ---------------------------------------------------------------- large graphs: what is asked of a few tasks looks at few


def some_record(seed: int) -> RunRecord:
    """A run of up to 14 tasks, as far as it may have got: most rows COMPLETED, parents first."""
    dice = random.Random(seed)
    names = [f"t{number}" for number in range(dice.randint(2, 14))]
    tasks = [
        task(name, *dice.sample(names[:at], min(at, dice.randint(0, 3)))) for at, name in enumerate(names)
    ]
    if dice.random() < 0.3:
        tasks.append(task("handler", kind=TaskKind.ON_FAILURE))
    if dice.random() < 0.3 and tasks[1].parents:
        tasks[1] = replace(tasks[1], skip_if=_leaf(0))
    usual = (C, C, C, C, C, C, R, TaskStatus.QUEUED)
    odd = (F, X, S) if dice.random() < 0.5 else ()
    rows: dict[str, TaskStatus] = {}
    for each in tasks:
        reached = all(rows.get(parent) in (C, S) for parent in each.parents)
        if reached and each.kind is TaskKind.NORMAL and dice.random() < 0.8:
            rows[each.name] = dice.choice((*usual, *odd))
    found = record(plan(*tasks), **rows)
    return replace(found, cancelled_at_ms=T0 + 9) if dice.random() < 0.1 else found


def test_one_state_and_what_a_task_made_ready_are_what_all_states_say() -> None:
    seen_ready, seen_finished = 0, 0
    for seed in range(600):
        found = some_record(seed)
        names = [each.name for each in found.plan.tasks]
        alone = {name: state_of(replace(found), name) for name in reversed(names)}
        assert alone == {name: states(found).get(name) for name in names}, seed
        done = all(state.settled for state in states(found).values())
        assert finished(replace(found)) == done, seed
        for name, row in found.tasks.items():
            if row.settled:
                unsettled = found.with_row(name, TaskRow(status=R))
                now = {each for each in ready(found) if each not in ready(unsettled)}
                assert set(made_ready_by(replace(found), name)) == now, seed
                seen_ready += bool(now)
        seen_finished += done
    assert seen_ready > 200
    assert seen_finished > 10
