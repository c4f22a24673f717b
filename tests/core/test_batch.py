"""The line of a batch task, as a table: who joins which page, which batch runs, and who has it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headrace.core.changes import Applied
from headrace.core.table import batch_page_key, batch_state_key
from headrace.core.waits.batch import (
    MAX_BATCH_BYTES,
    PAGE_MEMBERS,
    Absent,
    At,
    Closed,
    Full,
    IsIn,
    Joining,
    Line,
    Member,
    NotJoined,
    Page,
    TooHeavy,
    after_full,
    capacity,
    close_page,
    decode_line,
    decode_page,
    forget_first,
    forget_page,
    has_run,
    join,
    judge_join,
    keep,
    may_run,
    moved_on,
    open_page,
    seal,
    take,
    wait_to_run,
)
from headrace.memory.store import MemoryStore

LINE = "batch#flow#a#"
FIRST = At(1)


def who(run_id: str = "r1", *, ticket: int = 1, size_bytes: int = 10, max_size: int = 3) -> Joining:
    member = Member(run_id=run_id, ticket=ticket, queued_at_ms=5)
    return Joining(
        member=member, size_bytes=size_bytes, max_size=max_size, max_runs=2, worker="w", expires_at_s=9
    )


def opened(*run_ids: str) -> MemoryStore:
    """A store whose first page was opened by the first of the runs, and joined by the others."""
    store = MemoryStore()
    for number, run_id in enumerate(run_ids):
        write = (
            join(LINE, FIRST, who(run_id))
            if number
            else open_page(LINE, FIRST, who(run_id), before_bytes=0, due_ms=77)
        )
        assert isinstance(store.write(write), Applied)
    return store


def page(store: MemoryStore, at: At = FIRST) -> Page:
    item = store.get(batch_page_key(LINE, at.number, at.page))
    assert item is not None
    return decode_page(item)


def line(store: MemoryStore) -> Line:
    return decode_line(store.get(batch_state_key(LINE)))


def sealed(*run_ids: str) -> MemoryStore:
    store = opened(*run_ids)
    store.write(seal(LINE, FIRST))
    return store


def test_a_page_fills_up() -> None:
    found = page(opened("r1", "r2"))
    assert (found.at, found.count, found.size_bytes, found.due_ms, found.max_runs) == (FIRST, 2, 20, 77, 2)
    assert (found.worker, found.closed, found.owner, found.lease_until_ms) == ("w", False, None, None)
    assert found.holds(who("r2").member)
    assert not found.holds(who("r2", ticket=2).member)
    assert (found.is_full(2), found.is_full(3), found.completes(2), found.completes(3)) == (
        True,
        False,
        True,
        False,
    )
    numbered = Member(run_id="r", ticket=2, queued_at_ms=5, number=4)
    store = MemoryStore()
    store.write(
        open_page(LINE, FIRST, replace(who(), member=numbered, max_runs=None), before_bytes=7, due_ms=1)
    )
    assert (page(store).members["r"], page(store).size_bytes, page(store).max_runs) == (numbered, 17, None)


REFUSED: list[tuple[str, MemoryStore, Joining, type[NotJoined]]] = [
    ("there is no page", MemoryStore(), who(), Absent),
    ("it is in", opened("r1"), who("r1"), IsIn),
    ("it was in with an earlier ticket", opened("r1"), who("r1", ticket=2), Closed),
    ("the batch is closed", sealed("r1"), who("r2"), Closed),
    ("the page is full", opened("r1", "r2", "r3"), who("r4"), Full),
    ("its bytes are too many", opened("r1"), who("r2", size_bytes=MAX_BATCH_BYTES), TooHeavy),
]


@pytest.mark.parametrize(
    ("store", "joining", "why"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_why_a_run_does_not_join(store: MemoryStore, joining: Joining, why: type[NotJoined]) -> None:
    written = store.write(join(LINE, FIRST, joining))
    assert not isinstance(written, Applied)
    assert type(judge_join(written.item, joining)) is why


@pytest.mark.parametrize(
    ("at", "max_size", "takes", "following"),
    [
        (At(1), 3, 3, At(2)),
        (At(1), PAGE_MEMBERS, PAGE_MEMBERS, At(2)),
        (At(1), PAGE_MEMBERS + 2, PAGE_MEMBERS, At(1, 1)),
        (At(1, 1), PAGE_MEMBERS + 2, 2, At(2)),
        (At(4, 2), PAGE_MEMBERS, 0, At(5)),
    ],
)
def test_how_many_a_page_takes_and_which_comes_next(at: At, max_size: int, takes: int, following: At) -> None:
    assert capacity(at, max_size) == takes
    assert after_full(at, max_size) == following


def test_the_page_that_fills_only_moves_on() -> None:
    store = MemoryStore()
    assert line(store) == Line()
    tried = [At(2), At(1), At(2), At(2, 1), At(2), At(3)]
    moved = [isinstance(store.write(moved_on(LINE, at, expires_at_s=9)), Applied) for at in tried]
    assert moved == [True, False, False, True, False, True]
    assert line(store).at == At(3)


def test_so_many_batches_run_at_once_and_the_first_that_waits_comes_next() -> None:
    store = MemoryStore()
    runs = [isinstance(store.write(may_run(LINE, number, 2)), Applied) for number in (1, 2, 3)]
    assert runs == [True, True, False]
    for number in (4, 3):
        store.write(wait_to_run(LINE, number))
    assert (line(store).running, line(store).waiting, line(store).max_runs) == ({1, 2}, {3, 4}, 2)
    assert line(store).next_to_run is None
    store.write(has_run(LINE, 1))
    assert line(store).next_to_run == 3
    assert isinstance(store.write(may_run(LINE, 3, 2)), Applied)
    assert line(store).waiting == {4}
    assert Line(waiting=frozenset({9})).next_to_run == 9


def test_one_delivery_has_a_batch_until_its_lease_ends() -> None:
    store = opened("r1")

    def taken(owner: str, now_ms: int) -> bool:
        write = take(LINE, 1, owner=owner, now_ms=now_ms, lease_until_ms=now_ms + 10)
        return isinstance(store.write(write), Applied)

    assert [taken("a", 0), taken("b", 9), taken("a", 9), taken("b", 19)] == [True, False, True, True]
    assert (page(store).owner, page(store).lease_until_ms, page(store).closed) == ("b", 29, True)
    assert not isinstance(store.write(keep(LINE, 1, owner="a", lease_until_ms=99)), Applied)
    assert isinstance(store.write(keep(LINE, 1, owner="b", lease_until_ms=99)), Applied)
    assert not isinstance(store.write(join(LINE, FIRST, who("r2"))), Applied)
    store.write(close_page(LINE, At(1, 1)))
    assert not isinstance(
        store.write(open_page(LINE, At(1, 1), who("r2"), before_bytes=0, due_ms=1)), Applied
    )
    assert not isinstance(store.write(forget_first(LINE, 1, owner="a")), Applied)
    assert isinstance(store.write(forget_first(LINE, 1, owner="b")), Applied)
    store.write(forget_page(LINE, At(1, 1)))
    assert store.get(batch_page_key(LINE, 1, 0)) is store.get(batch_page_key(LINE, 1, 1)) is None
