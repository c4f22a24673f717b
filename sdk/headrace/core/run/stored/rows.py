"""The row of a task as it is stored, and back.

While a task is not settled its row is a map, so that a claim, a beat or a fence is one conditional update that names only the
attributes it reads and sets. A settled row changes no more, so it is one string of some twenty bytes, and as good as all rows of a
large run are settled:

    C 5k;9;2;f3x_;;0.1  {"r":1}  :{"n":1}
    status; start since creation, duration, time in the queue (ms, base 36); a mark of its attempt; where its output is; its message
                        whatever else differs from the default
                                 its output, where that is in the record

A row that holds a compressed text is a list of the three parts. Its output is compressed by itself, or, where the place says "d", with what
the record holds: see `packed`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from operator import attrgetter
from typing import Any

from headrace.core.changes import Value
from headrace.core.points import decode_point, encode_point
from headrace.core.run.record import (
    ErrorInfo,
    Payload,
    Place,
    TaskRow,
    TaskStatus,
)
from headrace.core.run.stored.texts import compact, decode_payload, encode_payload, unzipped, zipped

ROW_NAMES: Mapping[str, str] = {
    "status": "s", "ticket": "t", "retry_count": "r", "app_retry_count": "a", "takeovers": "k", "owner": "o",
    "lease_until_ms": "l", "queued_at_ms": "q", "started_at_ms": "b", "finished_at_ms": "f", "due_at_ms": "d",
    "via": "v", "spawned": "n", "started": "u", "log": "L", "invocations": "iv", "data": "cd",
    "span": "sp", "past": "hx", "notes": "nt", "first_started_at_ms": "fb", "heir": "hr",
}  # fmt: skip
"""Field of TaskRow -> attribute, for the fields that are stored as they are. Others: p/out, e, m, x, g, h."""

_STATUS_CODES = {
    TaskStatus.WAITING: "N",
    TaskStatus.QUEUED: "Q", TaskStatus.PARKED: "P", TaskStatus.SUSPENDED: "W", TaskStatus.RUNNING: "R", TaskStatus.COMPLETED: "C",
    TaskStatus.SKIPPED: "S", TaskStatus.FAILED: "F", TaskStatus.CANCELLED: "X",
}  # fmt: skip
_STATUSES = {code: status for status, code in _STATUS_CODES.items()}


def status_code(status: TaskStatus) -> str:
    return _STATUS_CODES[status]


_DEFAULTS = {
    "retry_count": 0,
    "app_retry_count": 0,
    "takeovers": 0,
    "spawned": 0,
    "invocations": 0,
    "ticket": 1,
    "started": False,
}
_FIELDS = {short: name for name, short in ROW_NAMES.items() if name != "status"}
_PLAIN = [(short, _DEFAULTS.get(name)) for short, name in _FIELDS.items()]
_plain_values = attrgetter(*_FIELDS.values())


def encode_row(row: TaskRow, *, created_at_ms: int) -> Value:
    """A row as it is stored. `created_at_ms`: its run's."""
    fields = encode_fields(row)
    return _pack(row, fields, created_at_ms) if row.settled else fields


def encode_fields(row: TaskRow) -> dict[str, Value]:
    """A row as a map, without what is empty or as always."""
    out: dict[str, Value] = {"s": _STATUS_CODES[row.status]}
    for (short, default), value in zip(_PLAIN, _plain_values(row), strict=True):
        if value is not None and value != default:
            out[short] = value
    if row.output.place is not Place.NONE:
        out.update(encode_payload(row.output, "p", "out", plain=True))
    if row.error is not None:
        out["e"] = [row.error.type, row.error.message, row.error.trace]
    if row.met:
        out["m"] = list(row.met)
    if row.broken:
        out["x"] = {str(number): why for number, why in row.broken.items()}
    if row.waits_at is not None:
        out["g"] = encode_point(row.waits_at)
    if row.lined_up:
        out["h"] = [encode_point(point) for point in row.lined_up]
    return out


def decode_row(stored: Any, *, created_at_ms: int) -> TaskRow:
    """The row that `encode_row` wrote. KeyError, TypeError or ValueError where it is none."""
    if isinstance(stored, str):
        return unpacked(stored, created_at_ms)
    if isinstance(stored, list):
        head, rest, output = stored  # with long texts: such a row is not kept in mind
        if is_packed(stored):
            row = unpack(f"{head}{unzipped(rest)}", created_at_ms)
            return replace(row, output=Payload(place=Place.RECORD, packed=output))
        return unpack(f"{head}{unzipped(rest)}{unzipped(output)}", created_at_ms)
    return decode_fields(stored)


def decode_fields(raw: Mapping[str, Any]) -> TaskRow:
    """The row that `encode_fields` wrote."""
    plain = {_FIELDS[short]: value for short, value in raw.items() if short in _FIELDS}
    error = raw.get("e")
    return TaskRow(
        **plain,
        status=_STATUSES[raw["s"]],
        output=decode_payload(raw, "p", "out"),
        error=ErrorInfo(type=error[0], message=error[1], trace=error[2]) if error else None,
        met=tuple(raw.get("m", ())),
        broken={int(number): why for number, why in raw.get("x", {}).items()},
        waits_at=decode_point(raw["g"]) if "g" in raw else None,
        lined_up=tuple(decode_point(text) for text in raw.get("h", ())),
    )


# ---------------------------------------------------------------- settled rows

OWNER_MARK = 4
"""Characters of its attempt that a settled row keeps: enough to know one's own commit again, where its response was lost. To take
another's for it would do no harm: what the record owes may be paid twice."""


PACKED = "d"
"""In a settled row: its output is in the record, compressed with a dictionary."""


def is_packed(stored: Any) -> bool:
    """Whether a row as it is stored needs its record to be read."""
    return isinstance(stored, list) and _head(str(stored[0]))[4] == PACKED


def marked(owner: str | None) -> str:
    return (owner or "")[-OWNER_MARK:]


def _pack(row: TaskRow, fields: dict[str, Value], created_at_ms: int) -> Value:
    rest = dict(fields)
    for short in ("s", "b", "f", "q", "o", "p", "out"):
        rest.pop(short, None)
    begun = row.started_at_ms
    since = created_at_ms if begun is None else begun
    mark = marked(row.owner)
    if set(mark) & set(";:{"):
        rest["o"], mark = mark, ""
    place = row.output.place.value if row.output.place in (Place.ITEM, Place.BLOB) else ""
    packed = row.output.packed
    if packed is not None:
        place = PACKED
    via = row.via or ""
    if via and not set(via) & set(";:{"):
        rest.pop("v")
    else:
        via = ""
    head = [
        _span(begun, created_at_ms),
        _span(row.finished_at_ms, since),
        _span(row.queued_at_ms, since),
        mark,
        place,
        via,
    ]
    first = _STATUS_CODES[row.status] + ";".join(head).rstrip(";")
    more = zipped(compact(rest)) if rest else ""
    if packed is not None:
        return [first, more, packed]
    text = row.output.text if row.output.place is Place.RECORD else None
    output = "" if text is None else zipped(f":{text}")
    if isinstance(more, str) and isinstance(output, str):
        return f"{first}{more}{output}"
    return [first, more, output]


def _head(first: str) -> list[str]:
    """What a settled row begins with, after its status."""
    return (first[1:].split(";") + [""] * 5)[:6]


def unpack(text: str, created_at_ms: int) -> TaskRow:
    end = min((at for at in (text.find("{"), text.find(":")) if at >= 0), default=len(text))
    begun, finished, queued, mark, place, via = _head(text[:end])
    raw: dict[str, Any] = {"s": text[0]}
    if text[end : end + 1] == "{":
        rest, end = _JSON.raw_decode(text, end)
        raw |= rest
    if text[end : end + 1] == ":":
        raw["out"] = text[end + 1 :]
    elif place and place != PACKED:
        raw["p"] = place
    if via:
        raw["v"] = via
    if begun:
        raw["b"] = created_at_ms + int(begun, 36)
    since = raw.get("b", created_at_ms)
    if finished:
        raw["f"] = since + int(finished, 36)
    if queued:
        raw["q"] = since + int(queued, 36)
    if mark:
        raw["o"] = mark
    return decode_fields(raw)


unpacked = lru_cache(maxsize=8_192)(unpack)
"""Settled rows stay as they are, and a process meets each of them again and again: most are known."""

_JSON = json.JSONDecoder()
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def _span(at_ms: int | None, since_ms: int) -> str:
    """The distance of a time, in base 36; empty where there is none."""
    if at_ms is None:
        return ""
    left, out = abs(at_ms - since_ms), ""
    while left:
        left, digit = divmod(left, 36)
        out = _DIGITS[digit] + out
    return ("-" if at_ms < since_ms else "") + (out or "0")
