"""What of an error is kept in the record: so much that all tasks of a run may fail and the record still fits its item."""

from __future__ import annotations

from headrace.core.run.record import ErrorInfo

ERRORS_BYTES = 100 * 1024
"""For the errors of all tasks of a run together: a quarter of DynamoDB's largest item."""

MOST_BYTES = 8_000
"""For the error of one task: the record is billed by size at every write."""

LEAST_BYTES = 120
MOST_TYPE_BYTES = 200
CUT = "\n  … cut …\n"


def bytes_for(tasks: int) -> int:
    """How many bytes the error of each of so many tasks may take."""
    return max(LEAST_BYTES, min(MOST_BYTES, ERRORS_BYTES // max(1, tasks)))


def cut(error: ErrorInfo, most_bytes: int) -> ErrorInfo:
    """The error in `most_bytes` of UTF-8: type, then a quarter at least for the message, then the traceback's beginning and end."""
    kind = _start(error.type, min(MOST_TYPE_BYTES, most_bytes // 3))
    left = most_bytes - len(kind.encode())
    trace_bytes = len(error.trace.encode())
    message = _start(error.message, max(left // 4, left - trace_bytes))
    left -= len(message.encode())
    return ErrorInfo(type=kind, message=message, trace=_ends(error.trace, left))


def _start(text: str, most_bytes: int) -> str:
    raw = text.encode()
    if len(raw) <= most_bytes:
        return text
    note = f"… ({len(text):,} characters)"
    kept = raw[: max(0, most_bytes - len(note.encode()))].decode(errors="ignore")
    return f"{kept}{note}" if kept else raw[:most_bytes].decode(errors="ignore")


def _ends(text: str, most_bytes: int) -> str:
    """A third of its beginning and two of its end, where the cause stands; nothing where no line would fit."""
    raw = text.encode()
    if len(raw) <= most_bytes:
        return text
    room = most_bytes - len(CUT.encode())
    if room < LEAST_BYTES:
        return ""
    first, last = raw[: room // 3], raw[len(raw) - (room - room // 3) :]
    return f"{first.decode(errors='ignore')}{CUT}{last.decode(errors='ignore')}"
