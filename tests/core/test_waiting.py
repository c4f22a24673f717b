"""What tasks wait for, by their record alone: with its words and the time at which time alone ends it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.lives import born, cancelled, returned, suspended
from support.records import T0, plan, task

from headrace.core.durable.encoding import encode_tail
from headrace.core.durable.log import ChildRun, Entry, EventLeaf, Kind, Leaf, SleepLeaf, Tail
from headrace.core.durable.words import groups_in_words, operations_in_words
from headrace.core.run.derived.due import events_of, first_due_ms
from headrace.core.run.plans.plan import Groups, ParentLeaf, PlannedEvent, PlannedSleep
from headrace.core.run.record import RunRecord
from headrace.core.waits.waiting import Waiting, WaitKind, WantedEvent, waits_of

HOUR = 3_600_000
PAID = PlannedEvent(number=1, key="paid", event_key="order:paid", scope="c1", expression="input.ok")
SHIPPED = PlannedEvent(number=2, key="shipped", event_key="order:shipped")
SLEEP = PlannedSleep(number=3, key="h", duration_ms=HOUR)
LONGER = PlannedSleep(number=4, key="d", duration_ms=24 * HOUR)
HELD = ParentLeaf(number=5, parent="a")
AT = T0 + 20
"""When the parent returns: from then on its child waits."""


def waits(wait_for: Groups = (), skip_if: Groups = (), cancel_if: Groups = ()) -> RunRecord:
    """A run whose task `b` waits from AT on."""
    flow = plan(task("a"), task("b", "a", wait_for=wait_for, skip_if=skip_if, cancel_if=cancel_if))
    return returned(born(flow), "a", at_ms=AT)


def day(hours: int) -> str:
    return {1: "2023-11-14 23:13:20 UTC", 24: "2023-11-15 22:13:20 UTC"}[hours]


@pytest.mark.parametrize(
    ("run", "kind", "what", "until_ms"),
    [
        (waits(((SLEEP,),)), WaitKind.TIME, day(1), AT + HOUR),
        (waits(((PAID,),)), WaitKind.EVENT, "event order:paid of scope c1 (input.ok)", None),
        (waits(((SHIPPED, SLEEP),)), WaitKind.EVENT, f"event order:shipped or {day(1)}", AT + HOUR),
        (waits(((SLEEP,), (LONGER,))), WaitKind.TIME, f"{day(1)}, and {day(24)}", AT + 24 * HOUR),
        (waits(((SHIPPED,), (SLEEP,))), WaitKind.EVENT, f"event order:shipped, and {day(1)}", None),
        (
            waits(((SHIPPED,),), skip_if=((SLEEP,),)),
            WaitKind.EVENT,
            f"event order:shipped; skipped by {day(1)}",
            AT + HOUR,
        ),
        (
            waits(((LONGER,),), cancel_if=((SHIPPED,),)),
            WaitKind.EVENT,
            f"{day(24)}; cancelled by event order:shipped",
            AT + 24 * HOUR,
        ),
    ],
)
def test_a_task_with_conditions(run: RunRecord, kind: WaitKind, what: str, until_ms: int | None) -> None:
    found = waits_of(run)
    assert [(each.task, each.kind, each.what, each.until_ms, each.since_ms) for each in found] == [
        ("b", kind, what, until_ms, AT)
    ]


def test_the_events_that_would_do_are_named() -> None:
    found = waits_of(waits(((PAID, SHIPPED),)))
    assert found[0].events == (
        WantedEvent(key="order:paid", scope="c1", expression="input.ok"),
        WantedEvent(key="order:shipped"),
    )


@pytest.mark.parametrize(
    ("run", "events", "due_ms"),
    [
        (waits(((PAID, SLEEP),), skip_if=((LONGER,),)), (PAID,), AT + HOUR),
        (waits(((PAID,), (SHIPPED,))), (PAID, SHIPPED), None),
        (waits(((LONGER,),)), (), AT + 24 * HOUR),
    ],
)
def test_what_finds_a_task_that_waits(
    run: RunRecord, events: tuple[PlannedEvent, ...], due_ms: int | None
) -> None:
    assert events_of(run.plan.task("b")) == events
    assert first_due_ms(run, "b") == due_ms


@pytest.mark.parametrize(
    "run",
    [born(plan(task("a"))), returned(born(plan(task("a"))), "a"), cancelled(waits(((SLEEP,),)))],
    ids=["queued", "over", "cancelled"],
)
def test_a_run_that_waits_for_nothing(run: RunRecord) -> None:
    assert waits_of(run) == []


# ---------------------------------------------------------------- durable operations


def wait_entry(node: int, *groups: tuple[Leaf, ...]) -> Entry:
    return Entry(node=node, kind=Kind.WAIT, asked="a", groups=groups)


def child(node: int) -> Entry:
    return Entry(node=node, kind=Kind.RUN, asked="", child=ChildRun(f"c{node}", 0))


ANSWERED = replace(child(9), order=1)
WOKEN = EventLeaf("order:paid", "paid", scope="c1", expression="input.ok")
DUE = SleepLeaf(T0 + HOUR - 20, "h")


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (
            (wait_entry(0, (WOKEN, DUE)),),
            f"event order:paid of scope c1 (input.ok) or {'2023-11-14 23:13:19 UTC'}",
        ),
        ((child(0),), "a child run"),
        ((child(0), child(1), ANSWERED), "2 child runs"),
        ((wait_entry(0, (EventLeaf("k", "k"),)), child(1)), "event k; a child run"),
        ((ANSWERED,), "a durable operation"),
        ((), "a durable operation"),
    ],
)
def test_the_open_operations_of_a_log_in_words(entries: tuple[Entry, ...], words: str) -> None:
    assert operations_in_words(encode_tail(Tail(entries=entries))) == words


def test_no_group_has_no_words() -> None:
    assert groups_in_words(()) == ""


def durable(*entries: Entry) -> RunRecord:
    """A run whose durable task is suspended on these operations."""
    run = suspended(born(plan(task("a"))), "a", child="c0", at_ms=AT)
    return run.with_row("a", replace(run.tasks["a"], log=encode_tail(Tail(entries=entries))))


def test_each_open_operation_is_a_wait_of_its_own() -> None:
    found = waits_of(durable(wait_entry(0, (WOKEN,), (DUE,)), wait_entry(1, (DUE,)), child(2), ANSWERED))
    assert [(each.node_id, each.kind, each.until_ms, each.child_run_id) for each in found] == [
        (0, WaitKind.EVENT, None, None),
        (1, WaitKind.TIME, DUE.due_at_ms, None),
        (2, WaitKind.CHILD, None, "c2"),
    ]
    assert {each.since_ms for each in found} == {AT}
    assert found[0].events == (WantedEvent(key="order:paid", scope="c1", expression="input.ok"),)
    assert all(isinstance(each, Waiting) and each.what for each in found)
