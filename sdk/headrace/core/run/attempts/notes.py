"""What the code of a task asked of its attempts while it ran, kept in its row: the first ten and the last ten. Pure.

A note has no write of its own: it rides in the next beat, or in the write that ends its attempt.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum

from headrace.core.run.attempts.history import encoded
from headrace.core.values import dataclass


class NoteKind(StrEnum):
    SLOT_RELEASED = "s"
    TIMEOUT_REFRESHED = "t"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One thing asked. `seconds`: what the time limit was extended by."""

    kind: NoteKind
    at_ms: int
    seconds: float = 0.0


def with_notes(text: str | None, notes: Sequence[Note], *, number: int) -> str | None:
    """The text with the notes of the attempt of that retry count; those in the middle go."""
    if not notes:
        return text
    raw = [[each.kind.value, number, each.at_ms, each.seconds] for each in notes]
    return encoded([*(json.loads(text) if text is not None else ()), *raw])


def decode_notes(text: str | None) -> tuple[tuple[int, Note], ...]:
    """What `with_notes` wrote, oldest first: the retry count of the attempt, and the note. ValueError where the text holds none."""
    return tuple(
        (int(number), Note(kind=NoteKind(kind), at_ms=int(at_ms), seconds=float(seconds)))
        for kind, number, at_ms, seconds in (json.loads(text) if text is not None else ())
    )
