"""What happened, in words: for the way to a state that is wrong."""

from __future__ import annotations

from exploration.requests import Broke, Deletes, Ended, Lists, Queries, Reads, Runs, Sends, Writes
from exploration.state import subject_of
from headrace.core.changes import Delete, Put, Update, Write


def name_of(number: int) -> str:
    """A run's id."""
    return chr(ord("A") + number)


def told(words: tuple[object, ...]) -> str:
    return " ".join(_word(each) for each in words)


def _word(part: object) -> str:
    match part:
        case (str(subject), int(ordinal)):
            return f"{subject}{chr(39) * ordinal}:"
        case Writes(write=write):
            return _write(write)
        case Reads(key=key):
            return f"reads {key.pk}"
        case Queries(pk=pk, prefix=prefix):
            return f"queries {pk} {prefix}"
        case Lists(pk=pk):
            return f"lists {pk}"
        case Sends(messages=messages):
            return "sends " + ", ".join(
                subject_of(m.body) + (f" in {m.delay_s} s" if m.delay_s else "") for m in messages
            )
        case Deletes():
            return "deletes its message"
        case Runs():
            return "user code"
        case Ended(verdict=verdict):
            return f"ends: {verdict}"
        case Broke(error=error):
            return f"raised {error}"
        case _:
            return str(part)


def _write(write: Write) -> str:
    where = write.key.pk if write.key.sk in ("run", "gate") else f"{write.key.pk} {write.key.sk}"
    match write:
        case Update():
            parts = [
                f"{'.'.join(path)}={value!r}" for path, value in write.sets.items() if path[-1] not in _DULL
            ]
            parts += [f"-{'.'.join(path)}" for path in write.removes]
            return f"writes {where} {', '.join(parts)}"
        case Put():
            return f"puts {where}"
        case Delete():
            return f"deletes {where}"


_DULL = ("lpk", "lsk", "expires_at", "n")
