"""The log of a durable task: its text, which facts answer which operations and in which order, and what people read of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.lives import born, cancelled, started, suspended
from support.records import T0, plan, task

from headrace.core.durable.answers import EventFound, Facts, answered, event_leaves, next_due_ms
from headrace.core.durable.encoding import decode_entries, decode_tail, encode_entries, encode_tail
from headrace.core.durable.log import ChildRun, Entry, EventLeaf, Kind, Part, SleepLeaf, Tail, hash_of
from headrace.core.durable.views import OperationKind, OperationState, asked_in_words, operation_views
from headrace.core.durable.words import operations_in_words
from headrace.core.waits.waiting import WaitKind, WantedEvent, waits_of

SLEEP = SleepLeaf(T0 + 1_000, "s")
PAID = EventLeaf("paid", "p", scope="shop", expression="input.n > 1", since_ms=T0)
CHILD = Entry(node=1, kind=Kind.RUN, asked="a", child=ChildRun("c1", 3))
TIMED = Entry(node=2, kind=Kind.WAIT, asked="b", groups=((SLEEP, PAID),))
BOTH = Entry(node=3, kind=Kind.WAIT, asked="c", groups=((SLEEP,), (PAID,)), label="approval")
MEMO = Entry(node=4, kind=Kind.MEMO, asked="d", order=1, result={"n": 1}, label="rate")
GIVEN_UP = replace(TIMED, node=5, order=2, given_up=True)
ALL = (CHILD, TIMED, BOTH, MEMO, GIVEN_UP, replace(CHILD, node=6, child=None))


def test_a_log_comes_back_as_it_was() -> None:
    assert decode_entries(encode_entries(ALL)) == ALL
    tail = Tail(parts=(Part(1, 2), Part(2, 4)), entries=ALL)
    assert decode_tail(encode_tail(tail)) == tail
    assert encode_tail(Tail()) is None
    assert decode_tail(None) == Tail()
    with pytest.raises(ValueError, match="no entry of a durable log"):
        decode_entries('[["x","r","a",0,null]]')


def test_what_was_asked_for_is_compared_by_a_hash_of_it() -> None:
    assert hash_of("wait", {"a": 1, "b": 2}) == hash_of("wait", {"b": 2, "a": 1}) != hash_of("wait", {"a": 1})
    assert len(hash_of("\udce9")) == 10


EVENT = EventFound(at_ms=T0 + 500, payload={"n": 2}, name="e")
NONE = Facts(now_ms=T0, events={}, ended_at_ms={})
LATER = replace(NONE, now_ms=T0 + 1_000)
SLEPT = {"s": [{"due_at_ms": T0 + 1_000}]}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (NONE, []),
        (replace(NONE, ended_at_ms={"other": T0}), []),
        (replace(NONE, ended_at_ms={"c1": T0 + 7}), [(1, None)]),
        (LATER, [(2, SLEPT)]),
        (replace(NONE, events={(2, 1): EVENT}), [(2, {"p": [{"n": 2}]})]),
        (replace(NONE, events={(3, 1): EVENT}), []),
        (replace(LATER, events={(3, 1): EVENT}), [(2, SLEPT), (3, {**SLEPT, "p": [{"n": 2}]})]),
        (
            replace(LATER, events={(2, 1): EVENT}, ended_at_ms={"c1": T0 + 600}),
            [(2, {**SLEPT, "p": [{"n": 2}]}), (1, None)],
        ),
        (replace(LATER, ended_at_ms={"c1": T0 + 1_000}), [(1, None), (2, SLEPT)]),
    ],
    ids=[
        "nothing",
        "another child",
        "child",
        "time",
        "event of either",
        "one of both",
        "both",
        "by time of the answer",
        "then by node",
    ],
)
def test_which_operations_the_facts_answer_and_in_which_order(
    facts: Facts, expected: list[tuple[int, object]]
) -> None:
    found = answered(ALL, facts)
    assert [(each.node, each.result) for each in found] == expected
    assert [each.order for each in found] == [3 + n for n in range(len(found))], (
        "after the answers that the log has"
    )
    assert all(not each.groups for each in found)


def test_what_events_have_to_find_and_when_time_comes() -> None:
    assert event_leaves(ALL) == [(2, 1, PAID), (3, 1, PAID)]
    assert next_due_ms(ALL, after_ms=T0) == T0 + 1_000
    assert next_due_ms(ALL, after_ms=T0 + 1_000) is None


# ---------------------------------------------------------------- for people

WAITED = "2023-11-14 22:13:21 UTC or event paid of scope shop (input.n > 1)"


def test_operations_as_people_read_them() -> None:
    views = operation_views(ALL)
    assert [(each.kind, each.state, each.order) for each in views] == [
        (OperationKind.RUN, OperationState.OPEN, None),
        (OperationKind.WAIT_FOR, OperationState.OPEN, None),
        (OperationKind.WAIT_FOR, OperationState.OPEN, None),
        (OperationKind.MEMO, OperationState.SATISFIED, 1),
        (OperationKind.WAIT_FOR, OperationState.GIVEN_UP, 2),
        (OperationKind.RUN, OperationState.OPEN, None),
    ]
    assert [each.child_run_id for each in views] == ["c1", None, None, None, None, None]
    assert [asked_in_words(each) for each in ALL] == [
        "child run c1",
        WAITED,
        f"approval: {WAITED.replace(' or ', ', and ')}",
        "rate",
        WAITED,
        "a child run",
    ]


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ((), "a durable operation"),
        ((CHILD,), "a child run"),
        ((CHILD, replace(CHILD, node=9)), "2 child runs"),
        ((TIMED, CHILD, MEMO), f"{WAITED}; a child run"),
    ],
)
def test_what_a_suspended_task_waits_for_in_words(entries: tuple[Entry, ...], words: str) -> None:
    assert operations_in_words(encode_tail(Tail(entries=entries))) == words


def test_the_waits_of_a_run() -> None:
    run = suspended(born(plan(task("a"), task("b"))), "a", child="c1")
    row = replace(run.tasks["a"], log=encode_tail(Tail(entries=(CHILD, TIMED, BOTH, MEMO))))
    child, timed, both = waits_of(run.with_row("a", row))
    event = WantedEvent(key="paid", scope="shop", expression="input.n > 1")
    assert (child.kind, child.child_run_id, child.until_ms, child.events) == (WaitKind.CHILD, "c1", None, ())
    assert (timed.kind, timed.events, timed.until_ms) == (WaitKind.EVENT, (event,), T0 + 1_000)
    assert (both.node_id, both.until_ms) == (3, None), "time alone does not bring the event"
    assert {each.since_ms for each in (child, timed, both)} == {T0 + 20}
    assert waits_of(cancelled(run)) == []
    assert waits_of(started(born(plan(task("a"))), "a")) == []
