"""What a write of an attempt requires: its owner, its ticket, no cancel mark. Each transition of a run is one conditional write.

A refused write carries the record as it is, and `judge_claim` / `judge_commit` say what that means. A write whose response was lost
shows itself: the row carries our own owner.
"""

from __future__ import annotations

from functools import lru_cache

from headrace.core.changes import (
    Condition,
    Equal,
    Missing,
    Path,
    Update,
    Value,
    either,
    every,
)
from headrace.core.run.record import (
    UNCLAIMED,
    RunRecord,
    TaskRow,
    TaskStatus,
    index_entry,
)
from headrace.core.run.stored.rows import encode_row, status_code
from headrace.core.table import run_key
from headrace.core.values import dataclass

NOT_CANCELLED = Missing(("x",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt at a task: the task's number in the plan, its owner, when it began, until when its lease holds, and which message carries it."""

    run_id: str
    task: str
    number: int
    ticket: int
    owner: str
    now_ms: int
    lease_until_ms: int
    via: str | None = None


def row_path(number: int, *names: str) -> Path:
    """An attribute of the row of the task of that number in the plan."""
    return ("tasks", str(number), *names)


def status_is(number: int, status: TaskStatus) -> Condition:
    return Equal(row_path(number, "s"), status_code(status))


def unclaimed(number: int) -> Condition:
    """Its ticket waits for its message: that of a row, or the first one after a replay."""
    return either(*(status_is(number, status) for status in sorted({*UNCLAIMED, TaskStatus.WAITING})))


def ticket_is(number: int, ticket: int) -> Condition:
    """Ticket 1 is not stored."""
    path = row_path(number, "t")
    return Missing(path) if ticket == 1 else Equal(path, ticket)


def stored_row(record: RunRecord, row: TaskRow) -> Value:
    return encode_row(row, created_at_ms=record.created_at_ms)


@lru_cache(maxsize=64)
def fence(number: int, owner: str | None) -> tuple[Condition, ...]:
    """What every write of an attempt requires; a durable task makes one a step."""
    path = row_path(number, "o")
    mine = Equal(path, owner) if owner is not None else Missing(path)
    return (status_is(number, TaskStatus.RUNNING), mine)


def failed_entry(record: RunRecord) -> dict[Path, Value]:
    partition, order = index_entry(record)
    return {("fpk",): partition, ("fsk",): order}


def settle(attempt: Attempt, sets: dict[Path, Value]) -> Update:
    return Update(
        key=run_key(attempt.run_id),
        require=every(NOT_CANCELLED, *fence(attempt.number, attempt.owner)),
        sets=sets,
    )
