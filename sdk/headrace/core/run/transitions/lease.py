"""What a running attempt writes before it commits: its lease, and the log of its durable operations."""

from __future__ import annotations

from headrace.core.changes import (
    Update,
    every,
)
from headrace.core.run.transitions.fence import NOT_CANCELLED, Attempt, fence, row_path
from headrace.core.table import run_key


def save_log(attempt: Attempt, log: str | None) -> Update:
    """Write the log of a running durable task. Refused: the attempt is fenced, or the run was cancelled."""
    path = row_path(attempt.number, "L")
    return Update(
        key=run_key(attempt.run_id),
        require=every(NOT_CANCELLED, *fence(attempt.number, attempt.owner)),
        sets={path: log} if log is not None else {},
        removes=() if log is not None else (path,),
    )


def beat(attempt: Attempt, *, lease_until_ms: int, notes: str | None = None) -> Update:
    """Keep the lease, and what the code has asked so far. Refused: the attempt is fenced, or the run was cancelled."""
    return Update(
        key=run_key(attempt.run_id),
        require=every(NOT_CANCELLED, *fence(attempt.number, attempt.owner)),
        sets={
            row_path(attempt.number, "l"): lease_until_ms,
            **({row_path(attempt.number, "nt"): notes} if notes is not None else {}),
        },
    )
