"""What a record owes, as a table: after a commit, to a message that comes again, when a run is cancelled, and at its end."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.gates import gate, single
from support.lives import born, cancelled, raised, returned, started, suspended
from support.records import T0, plan, record, task

from headrace.core.points import AtConcurrency, AtPause
from headrace.core.run.effects import (
    Effect,
    EndOperations,
    EndRun,
    GiveBack,
    KeepDeadLetter,
    LineUp,
    LookAtOperations,
    ReleaseKey,
    SendReply,
    SendTask,
    StepOut,
    TellParent,
)
from headrace.core.run.generation import Generation
from headrace.core.run.message import TaskMessage, decode_message, encode_message
from headrace.core.run.outgoing import message_for, message_now
from headrace.core.run.owed import (
    DEAD_LETTER,
    first_messages,
    gatekeeper,
    owed_after,
    owed_by_cancelling,
    owed_by_starter,
    owed_to,
    ran_on,
    waiting_roots,
    worker_of,
)
from headrace.core.run.record import ErrorInfo, ParentLink, RunRecord, TaskRow, TaskStatus
from headrace.core.run.reset import (
    ReplayOrder,
    decode_order,
    encode_order,
    failed_tasks,
    fits,
    replayed,
)
from headrace.core.run.transitions.cancel import CANCELLED_BY_TASK, cancel_task, was_cancelled

CHAIN = plan(task("a", retries=1), task("b", "a"), task("other"))
PARKED = TaskRow(status=TaskStatus.PARKED, ticket=2, queued_at_ms=T0, waits_at=AtPause("flow"))
DEAD = TaskRow(status=TaskStatus.FAILED, ticket=1, error=ErrorInfo(type=DEAD_LETTER, message="lost"))


def message(run: RunRecord, name: str, ticket: int = 1) -> TaskMessage:
    made = message_for(
        run, SendTask(task=name, ticket=ticket, worker="default", queued_at_ms=T0, start_by_ms=T0 + 9)
    )
    assert decode_message(encode_message(made)) == made
    return made


def brief(effects: tuple[Effect, ...]) -> list[str]:
    """An effect in a word: its name, its task, its ticket, and how it is paid."""
    out = []
    for each in effects:
        of = f" {each.task}" if hasattr(each, "task") else ""
        at = f"/{each.ticket}" if isinstance(each, SendTask | GiveBack) else ""
        how = "".join(f" {name}" for name in ("stale", "suspended") if getattr(each, name, False))
        out.append(f"{type(each).__name__}{of}{at}{how}")
    return out


HAS_HEIR = born(CHAIN).with_row("b", TaskRow(status=TaskStatus.COMPLETED, ticket=1, heir="2/other/t"))

CASES: list[tuple[str, RunRecord, str, int, list[str], list[str]]] = [
    (
        "returned",
        returned(born(CHAIN), "a", {}),
        "a",
        1,
        ["GiveBack a/1", "SendTask b/1"],
        ["GiveBack a/1 stale", "SendTask b/1"],
    ),
    (
        "retried",
        raised(born(CHAIN), "a"),
        "a",
        1,
        ["GiveBack a/1", "SendTask a/2"],
        ["GiveBack a/1 stale", "SendTask a/2"],
    ),
    (
        "parked",
        born(CHAIN).with_row("a", PARKED),
        "a",
        1,
        ["GiveBack a/1", "LineUp a"],
        ["GiveBack a/1 stale", "LineUp a"],
    ),
    (
        "suspended",
        suspended(born(CHAIN), "a", child="c"),
        "a",
        1,
        ["GiveBack a/1 suspended", "LookAtOperations a"],
        ["GiveBack a/1 stale suspended", "LookAtOperations a"],
    ),
    (
        "dead letter",
        born(CHAIN).with_row("b", DEAD),
        "b",
        1,
        ["GiveBack b/1", "KeepDeadLetter b"],
        ["GiveBack b/1 stale", "KeepDeadLetter b"],
    ),
    ("running", started(born(CHAIN), "a"), "a", 1, [], []),
    (
        "a later ticket runs",
        born(CHAIN).with_row("a", TaskRow(status=TaskStatus.RUNNING, ticket=2)),
        "a",
        1,
        [],
        ["GiveBack a/1 stale"],
    ),
    ("cancelled", cancelled(started(born(CHAIN), "a")), "a", 1, ["GiveBack a/1"], ["GiveBack a/1 stale"]),
    (
        "cancelled in line",
        cancelled(born(CHAIN).with_row("a", PARKED)),
        "a",
        1,
        ["StepOut a", "GiveBack a/1"],
        ["GiveBack a/1 stale", "StepOut a"],
    ),
    ("no row", born(CHAIN), "b", 1, [], ["GiveBack b/1 stale"]),
    ("named an heir", HAS_HEIR, "b", 1, ["GiveBack b/1"], ["GiveBack b/1 stale", "SeeToHeir b"]),
    (
        "named an heir, and was cancelled since",
        cancelled(HAS_HEIR),
        "b",
        1,
        ["GiveBack b/1"],
        ["GiveBack b/1 stale", "SeeToHeir b"],
    ),
]


@pytest.mark.parametrize(
    ("run", "name", "ticket", "now", "later"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)
def test_what_is_owed_after_a_commit_and_to_a_message_that_comes_again(
    run: RunRecord, name: str, ticket: int, now: list[str], later: list[str]
) -> None:
    assert brief(owed_after(run, name)) == now
    assert brief(owed_to(run, message(run, name, ticket))) == later


def test_a_settled_task_that_stood_in_a_line_steps_out_and_a_durable_one_ends_its_operations() -> None:
    waited = replace(DEAD, waits_at=AtConcurrency("g", "x"), log="[[],[]]")
    assert brief(owed_after(born(CHAIN).with_row("b", waited), "b")) == [
        "GiveBack b/1",
        "StepOut b",
        "EndOperations b",
        "KeepDeadLetter b",
    ]


def test_a_cancelled_run_gives_up_what_its_waiting_tasks_hold() -> None:
    run = suspended(born(CHAIN), "a", child="c").with_row("other", PARKED)
    assert owed_by_cancelling(cancelled(run)) == (
        GiveBack(task="a", ticket=1),
        EndOperations(task="a"),
        StepOut(task="other"),
    )


def ended(**options: object) -> RunRecord:
    """A run of one task that has returned."""
    made = replace(born(plan(task("a"))), **options)  # type: ignore[arg-type]  # RunRecord's fields
    return returned(made, "a", {})


def test_what_a_run_owes_at_its_end() -> None:
    assert owed_after(ended(), "a") == (GiveBack(task="a", ticket=1),)
    made = ended(parent=ParentLink(run_id="p", task="t", index=4, join="join#p"), waiters=("mine",))
    made = replace(
        made,
        routing=replace(made.routing, held_key="k"),
        plan=replace(made.plan, gates=(gate("all"),)),
    )
    assert owed_after(made, "a")[1:] == (
        ReleaseKey(name="k"),
        TellParent(join="join#p", index=4),
        EndRun(),
        SendReply(queue="mine"),
    )
    assert owed_after(replace(made, parent=ParentLink(run_id="p", task="t")), "a")[1:] == (
        ReleaseKey(name="k"),
        EndRun(),
        SendReply(queue="mine"),
    )


# ---------------------------------------------------------------- roots


def test_one_root_stands_at_the_limits_of_its_run_for_all() -> None:
    gated = replace(born(CHAIN), plan=replace(CHAIN, gates=(gate("all"),)))
    assert gatekeeper(born(CHAIN)) is None
    assert gatekeeper(gated) == "a"
    assert [each.task for each in first_messages(born(CHAIN))] == ["a", "other"]
    assert [each.task for each in first_messages(gated)] == ["a"]
    assert waiting_roots(gated) == ("other",)
    done = returned(gated, "a", {})
    assert first_messages(done) == ()
    assert brief(owed_after(done, "a")) == ["GiveBack a/1", "SendTask b/1", "SendTask other/1"]
    assert gatekeeper(record(single("solo", gates=(gate(),)))) is None
    assert gatekeeper(replace(gated, generation=Generation(number=1, at_ms=T0, id="g"))) is None


def test_the_message_that_put_the_record_for_its_client_sends_the_other_roots() -> None:
    made = replace(started(born(CHAIN), "a"), starter="a")
    assert [each.task for each in owed_by_starter(made, "a") if isinstance(each, SendTask)] == ["other"]
    assert owed_by_starter(made, "other") == ()


def test_the_worker_of_a_task_is_the_one_it_was_placed_on() -> None:
    made = born(CHAIN)
    placed = replace(made, routing=replace(made.routing, workers={"a": "gpu"}))
    assert (worker_of(made, "a"), worker_of(placed, "a"), worker_of(placed, "b")) == (
        "default",
        "gpu",
        "default",
    )
    assert (ran_on(placed, "a"), ran_on(started(placed, "a"), "a")) == (None, "gpu")


def test_a_task_that_goes_on_is_queued_from_now() -> None:
    found = message_now(suspended(born(CHAIN), "a", child="c"), "a", now_ms=T0 + 50)
    assert (found.ticket, found.resumes, found.queued_at_ms) == (2, True, T0 + 50)
    assert found.start_by_ms == T0 + 50 + CHAIN.task("a").schedule_timeout_ms
    assert message_now(born(CHAIN), "b", now_ms=T0).ticket == 1
    assert isinstance(owed_after(suspended(born(CHAIN), "a", child="c"), "a")[1], LookAtOperations)
    assert LineUp(task="a") in owed_after(born(CHAIN).with_row("a", PARKED), "a")
    assert KeepDeadLetter(task="b") in owed_after(born(CHAIN).with_row("b", DEAD), "b")


# ---------------------------------------------------------------- one task cancelled, and replays


def test_a_task_that_is_settled_is_not_cancelled() -> None:
    assert cancel_task(returned(born(CHAIN), "a", {}), "a", reason=CANCELLED_BY_TASK, now_ms=T0) is None
    assert cancel_task(born(CHAIN), "none", reason=CANCELLED_BY_TASK, now_ms=T0) is None
    assert cancel_task(born(CHAIN), "other", reason=CANCELLED_BY_TASK, now_ms=T0) is not None
    assert cancel_task(started(born(CHAIN), "a"), "a", reason=CANCELLED_BY_TASK, now_ms=T0) is not None
    row = TaskRow(status=TaskStatus.CANCELLED, error=ErrorInfo(type=CANCELLED_BY_TASK, message=""))
    assert was_cancelled(born(CHAIN).with_row("a", row), "a")
    assert not was_cancelled(born(CHAIN), "a")


def test_a_replay_runs_again_what_failed_and_what_comes_after_it() -> None:
    failed = returned(returned(born(plan(task("a"), task("b", "a"), task("c"))), "a", {}), "c", {})
    failed = raised(failed, "b")
    order = ReplayOrder(
        generation=Generation(number=1, at_ms=T0 + 99, id="g"), after=None, tasks=failed_tasks(failed)
    )
    assert failed_tasks(failed) == ("b",)
    assert failed_tasks(failed.with_row("a", DEAD)) == ("a", "b")
    assert fits(failed, order)
    assert not fits(started(born(CHAIN), "a"), order)
    again = replayed(failed, order)
    assert set(again.tasks) == {"a", "c"}
    assert (again.again["b"].status, again.again["b"].ticket) == (TaskStatus.WAITING, 2)
    assert [each.task for each in first_messages(again)] == ["b"]
    assert decode_order(encode_order(order)) == order
