"""The line of a batch task, as batches that fill up: the members of each, and which batch runs next.

A line has a partition: an item that says which batch is filling, and the pages of its batches. A page holds up to PAGE_MEMBERS
members, so that joining is one write of one unit, and the next page is opened by a member that saw the last one full. Joining and
closing are conditional writes of the same item: a member is in a batch if and only if its write came before the page was closed.

What is in a page is what the batch may claim, and no more: each member's own record decides, so that one which is in two
batches, or is over, is run once or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from headrace.core.changes import (
    ITEM_EXISTS,
    ITEM_MISSING,
    AtMost,
    Delete,
    Equal,
    Item,
    Missing,
    Put,
    SizeBelow,
    Update,
    Value,
    either,
    every,
)
from headrace.core.table import batch_page_key, batch_state_key
from headrace.core.values import dataclass

PAGE_MEMBERS = 16
"""Members of a page: its item stays within a write unit."""

MAX_BATCH_BYTES = 4 * 1024 * 1024
"""The inputs of a batch are no more than this together."""


@dataclass(frozen=True, slots=True, order=True)
class At:
    """A page of a batch of a line."""

    number: int
    page: int = 0

    @property
    def next_batch(self) -> At:
        return At(self.number + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A run whose task is in a batch: with the ticket that its batch claims, the task's number in the run's plan, and since when it is queued."""

    run_id: str
    ticket: int
    queued_at_ms: int
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Joining:
    """A member, and what its task's plan says of batches."""

    member: Member
    size_bytes: int
    max_size: int
    max_runs: int | None
    worker: str
    expires_at_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page as it is. `size_bytes` counts the pages before it too. `due_ms`: when the batch is to run, full or not."""

    at: At
    members: Mapping[str, Member]
    size_bytes: int
    due_ms: int
    worker: str
    max_runs: int | None
    closed: bool
    owner: str | None
    lease_until_ms: int | None

    @property
    def count(self) -> int:
        """How many members the batch has, up to and with this page: those before it are full."""
        return self.at.page * PAGE_MEMBERS + len(self.members)

    def holds(self, member: Member) -> bool:
        """Whether the run is in it with that ticket."""
        found = self.members.get(member.run_id)
        return found is not None and found.ticket == member.ticket

    def is_full(self, max_size: int) -> bool:
        return len(self.members) >= capacity(self.at, max_size)

    def completes(self, max_size: int) -> bool:
        """Whether the batch has all the members that it may have."""
        return self.count >= max_size


def capacity(at: At, max_size: int) -> int:
    """How many members a page takes: the last page of a batch is as small as the batch's size makes it."""
    return max(0, min(PAGE_MEMBERS, max_size - at.page * PAGE_MEMBERS))


def after_full(at: At, max_size: int) -> At:
    """The page to try where that one is full."""
    following = At(at.number, at.page + 1)
    return following if capacity(following, max_size) > 0 else at.next_batch


# ---------------------------------------------------------------- joining


def join(line: str, at: At, joining: Joining) -> Update:
    """Become a member: if the page is there, open, and has room for one more and for its bytes."""
    member = joining.member
    return Update(
        key=batch_page_key(line, at.number, at.page),
        require=every(
            ITEM_EXISTS,
            Missing(("c",)),
            Missing(("m", member.run_id)),
            SizeBelow(("m",), capacity(at, joining.max_size)),
            AtMost(("z",), MAX_BATCH_BYTES - joining.size_bytes),
        ),
        sets={("m", member.run_id): _encode_member(member)},
        adds={("z",): joining.size_bytes},
    )


def open_page(line: str, at: At, joining: Joining, *, before_bytes: int, due_ms: int) -> Put:
    """Become the first member of a page that is not there."""
    item: Item = {
        "m": {joining.member.run_id: _encode_member(joining.member)},
        "z": before_bytes + joining.size_bytes,
        "d": due_ms,
        "w": joining.worker,
        "expires_at": joining.expires_at_s,
    }
    if joining.max_runs is not None:
        item["x"] = joining.max_runs
    return Put(key=batch_page_key(line, at.number, at.page), item=item, require=ITEM_MISSING)


def seal(line: str, at: At) -> Update:
    """No member joins this page, or one after it, any more."""
    return Update(key=batch_page_key(line, at.number, at.page), require=ITEM_EXISTS, sets={("c",): True})


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no such page."""


@dataclass(frozen=True, slots=True)
class IsIn:
    """The run is a member already."""

    page: Page


@dataclass(frozen=True, slots=True)
class Closed:
    """The batch is closed: a run that comes now joins the next one."""


@dataclass(frozen=True, slots=True)
class Full:
    """The page has all the members that it takes."""

    page: Page


@dataclass(frozen=True, slots=True)
class TooHeavy:
    """The batch has no room for the bytes of this input: it is to be closed."""

    page: Page


NotJoined: TypeAlias = Absent | IsIn | Closed | Full | TooHeavy


def judge_join(item: Item | None, joining: Joining) -> NotJoined:
    """Why a run could not join a page, from the item as it was."""
    if item is None:
        return Absent()
    page = decode_page(item)
    if page.holds(joining.member):
        return IsIn(page)
    if (
        page.closed or joining.member.run_id in page.members
    ):  # there with an earlier ticket: that one is left out
        return Closed()
    return Full(page) if page.is_full(joining.max_size) else TooHeavy(page)


# ---------------------------------------------------------------- which batch is filling


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The page that is filling, as far as was written; and, where runs of the line are limited, which batches run and which wait."""

    at: At | None = None
    running: frozenset[int] = frozenset()
    waiting: frozenset[int] = frozenset()
    max_runs: int | None = None

    @property
    def next_to_run(self) -> int | None:
        """The batch that waits for another to end, if there is room for it."""
        if not self.waiting or (self.max_runs is not None and len(self.running) >= self.max_runs):
            return None
        return min(self.waiting)


def decode_line(item: Item | None) -> Line:
    if item is None:
        return Line()
    number = item.get("k")
    return Line(
        at=At(_int(number), _int(item.get("j"))) if number is not None else None,
        running=_numbers(item.get("r")),
        waiting=_numbers(item.get("q")),
        max_runs=_int(item["x"]) if "x" in item else None,
    )


def moved_on(line: str, at: At, *, expires_at_s: int) -> Update:
    """Say that this page is filling now; unless a later one is."""
    earlier = every(Equal(("k",), at.number), AtMost(("j",), at.page - 1))
    return Update(
        key=batch_state_key(line),
        require=either(Missing(("k",)), AtMost(("k",), at.number - 1), earlier),
        sets={("k",): at.number, ("j",): at.page, ("expires_at",): expires_at_s},
    )


# ---------------------------------------------------------------- running


def may_run(line: str, number: int, max_runs: int) -> Update:
    """Be one of the `max_runs` batches of the line that run at once. A batch that is one already need not ask: see `Line.running`."""
    return Update(
        key=batch_state_key(line),
        require=either(Missing(("r",)), SizeBelow(("r",), max_runs)),
        sets={("x",): max_runs},
        adds={("r",): frozenset({number})},
        takes={("q",): frozenset({number})},
    )


def wait_to_run(line: str, number: int) -> Update:
    """Wait until one of those that run has ended: that one sends this batch's message."""
    return Update(key=batch_state_key(line), adds={("q",): frozenset({number})})


def has_run(line: str, number: int) -> Update:
    """The batch has ended: another of the line may run."""
    numbers = frozenset({number})
    return Update(key=batch_state_key(line), require=ITEM_EXISTS, takes={("r",): numbers, ("q",): numbers})


def take(line: str, number: int, *, owner: str, now_ms: int, lease_until_ms: int) -> Update:
    """Close the first page, and run the batch, unless another delivery does so under a live lease."""
    return Update(
        key=batch_page_key(line, number, 0),
        require=either(Missing(("l",)), AtMost(("l",), now_ms), Equal(("o",), owner)),
        sets={("c",): True, ("o",): owner, ("l",): lease_until_ms},
    )


def keep(line: str, number: int, *, owner: str, lease_until_ms: int) -> Update:
    """Keep the lease. Refused: another delivery runs the batch."""
    return Update(
        key=batch_page_key(line, number, 0), require=Equal(("o",), owner), sets={("l",): lease_until_ms}
    )


def close_page(line: str, at: At) -> Update:
    """Close a page after the first, whether or not it is there."""
    return Update(key=batch_page_key(line, at.number, at.page), sets={("c",): True})


def forget_first(line: str, number: int, *, owner: str) -> Delete:
    """All members have ended, as the delivery knows that holds the lease: the batch goes, its first page first."""
    return Delete(key=batch_page_key(line, number, 0), require=Equal(("o",), owner))


def forget_page(line: str, at: At) -> Delete:
    return Delete(key=batch_page_key(line, at.number, at.page))


# ---------------------------------------------------------------- items


def decode_page(item: Item) -> Page:
    _, number, page = str(item["sk"]).split("#")
    members = item.get("m")
    owner, lease = item.get("o"), item.get("l")
    return Page(
        at=At(int(number), int(page)),
        members={run_id: _decode_member(run_id, value) for run_id, value in members.items()}
        if isinstance(members, dict)
        else {},
        size_bytes=_int(item.get("z")),
        due_ms=_int(item.get("d")),
        worker=str(item.get("w", "")),
        max_runs=_int(item["x"]) if "x" in item else None,
        closed="c" in item,
        owner=owner if isinstance(owner, str) else None,
        lease_until_ms=lease if isinstance(lease, int) else None,
    )


def _encode_member(member: Member) -> Value:
    return [member.ticket, member.queued_at_ms, *([member.number] if member.number else [])]


def _decode_member(run_id: str, value: Value) -> Member:
    ticket, queued_at_ms, *number = value if isinstance(value, list) else (1, 0)
    return Member(
        run_id=run_id,
        ticket=_int(ticket, 1),
        queued_at_ms=_int(queued_at_ms),
        number=_int(number[0]) if number else 0,
    )


def _int(value: Value, default: int = 0) -> int:
    return value if isinstance(value, int) else default


def _numbers(value: Value) -> frozenset[int]:
    return value if isinstance(value, frozenset) else frozenset()
