"""How the earlier attempts at a task ended: kept in its row, the first ten and the last ten. Pure.

An error's traceback sits in the row where the record has room for it in the write unit that it takes anyway; else the whole error is an item
beside the record, named by the attempt's ticket, and the row keeps its beginning.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum

from headrace.core.run.attempts.error_text import cut
from headrace.core.run.record import ErrorInfo, TaskRow
from headrace.core.values import dataclass

FIRST = 10
LAST = 10
"""How many attempts are kept of the first and of the last ones."""

SHORT_BYTES = 120
"""What of an error is kept in the row where all of it is beside."""


class Ending(StrEnum):
    """How an attempt ended. The last three are the end of a generation: the task was replayed after it."""

    RETRIED = "r"  # it failed, or timed out, and is tried again
    LOST = "l"  # its worker was lost: another took over
    COMPLETED = "c"
    FAILED = "f"
    CANCELLED = "x"


@dataclass(frozen=True, slots=True, kw_only=True)
class PastAttempt:
    """An attempt that ended before the one in the row. `number`: its retry count. `started_at_ms` None: it never ran.

    `beside`: the whole error is an item, by the ticket.
    """

    ending: Ending
    number: int
    ticket: int
    started_at_ms: int | None
    ended_at_ms: int
    error: ErrorInfo | None = None
    beside: bool = False


def past_attempt(
    row: TaskRow, ending: Ending, *, ended_at_ms: int, error: ErrorInfo | None = None, beside: bool = False
) -> PastAttempt:
    """The attempt that a row is of, once it has ended."""
    return PastAttempt(
        ending=ending,
        number=row.retry_count,
        ticket=row.ticket,
        started_at_ms=row.begun_at_ms,
        ended_at_ms=ended_at_ms,
        error=error,
        beside=beside,
    )


def decode_past(text: str | None) -> tuple[PastAttempt, ...]:
    """The attempts that `with_attempt` wrote, oldest first. ValueError where the text holds none."""
    return tuple(_decoded(each) for each in json.loads(text)) if text is not None else ()


def with_attempt(text: str | None, attempt: PastAttempt) -> str:
    """The text with one attempt more; those in the middle go."""
    error = attempt.error
    if error is not None and attempt.beside:
        error = cut(error, SHORT_BYTES)
    raw: list[object] = [
        attempt.ending.value,
        attempt.number,
        attempt.ticket,
        attempt.started_at_ms or 0,
        attempt.ended_at_ms - (attempt.started_at_ms or 0),
    ]
    if error is not None:
        raw += [error.type, error.message, error.trace]
    if attempt.beside:
        raw.append(1)
    return encoded([*(json.loads(text) if text is not None else ()), raw])


def encoded(attempts: Sequence[object]) -> str:
    kept = [*attempts[:FIRST], *attempts[max(FIRST, len(attempts) - LAST) :]]
    return json.dumps(kept, separators=(",", ":"), ensure_ascii=False)


def _decoded(raw: Sequence[object]) -> PastAttempt:
    ending, number, ticket, started_ms, took_ms, *error = raw
    if not (isinstance(number, int) and isinstance(ticket, int)):
        raise ValueError(f"no attempt: {raw!r}")
    if not (isinstance(started_ms, int) and isinstance(took_ms, int)):
        raise ValueError(f"no attempt: {raw!r}")
    return PastAttempt(
        ending=Ending(str(ending)),
        number=number,
        ticket=ticket,
        started_at_ms=started_ms or None,
        ended_at_ms=started_ms + took_ms,
        error=ErrorInfo(type=str(error[0]), message=str(error[1]), trace=str(error[2]))
        if len(error) >= 3
        else None,
        beside=len(error) == 4,
    )


def encode_error_item(error: ErrorInfo) -> str:
    """The body of the item beside."""
    return json.dumps([error.type, error.message, error.trace], separators=(",", ":"), ensure_ascii=False)


def decode_error_item(text: str) -> ErrorInfo:
    """The error that `encode_error_item` wrote."""
    kind, message, trace = json.loads(text)
    return ErrorInfo(type=kind, message=message, trace=trace)
