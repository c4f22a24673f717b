"""The record as an item, and back.

Each task of the plan has an entry in `tasks`, by its number in the plan. While a task is not settled its row is a map, so that
a claim, a beat or a fence is one conditional update that names only the attributes it reads and sets. A settled row changes no
more, so it is one string of some twenty bytes, and as good as all rows of a large run are settled:

    C 5k;9;2;f3x_  {"r":1}  :{"n":1}
    status; start since creation, duration, time in the queue (ms, base 36); a mark of its attempt; where its output is
                   whatever else differs from the default
                            its output, where that is in the record

Texts of more than ZIPPED_OVER bytes are compressed where that is smaller; a row that holds one is a list of the three parts.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from headrace.core.changes import Item, Value
from headrace.core.run.generation import generation_of
from headrace.core.run.plan import known_plan, remember_plan
from headrace.core.run.record import (
    ErrorInfo,
    ParentLink,
    Payload,
    Place,
    RunRecord,
    TaskRow,
    TaskStatus,
    index_entry,
)
from headrace.core.run.routing import AS_PLANNED, Routing, decode_routing, encode_routing
from headrace.core.table import run_id_of
from headrace.core.waits.points import decode_point, encode_point

ROW_NAMES: Mapping[str, str] = {
    "status": "s", "ticket": "t", "retry_count": "r", "app_retry_count": "a", "takeovers": "k", "owner": "o",
    "lease_until_ms": "l", "queued_at_ms": "q", "started_at_ms": "b", "finished_at_ms": "f", "due_at_ms": "d",
    "via": "v", "spawned": "n", "started": "u", "log": "L", "invocations": "iv", "data": "cd",
    "span": "sp", "past": "hx",
}  # fmt: skip
"""Field of TaskRow -> attribute, for the fields that are stored as they are. Others: p/out, e, m, x, g, h."""

_STATUS_CODES = {
    TaskStatus.WAITING: "N",
    TaskStatus.QUEUED: "Q", TaskStatus.PARKED: "P", TaskStatus.SUSPENDED: "W", TaskStatus.RUNNING: "R", TaskStatus.COMPLETED: "C",
    TaskStatus.SKIPPED: "S", TaskStatus.FAILED: "F", TaskStatus.CANCELLED: "X",
}  # fmt: skip
_STATUSES = {code: status for status, code in _STATUS_CODES.items()}

WAITER = "rq#"
"""What the attribute begins with by which a process says that it waits: one each, so that no write disturbs another."""

ZIPPED_OVER = 300
"""Bytes over which a text is compressed: below, zlib saves next to nothing."""


def status_code(status: TaskStatus) -> str:
    return _STATUS_CODES[status]


# ---------------------------------------------------------------- texts


def zipped(text: str) -> str | bytes:
    """A text as it is stored: compressed, where it is long and that is smaller."""
    body = text.encode()
    if len(body) <= ZIPPED_OVER:
        return text
    small = zlib.compress(body)
    return small if len(small) < len(body) else text


def unzipped(stored: str | bytes) -> str:
    return zlib.decompress(stored).decode() if isinstance(stored, bytes) else stored


def payload_item(text: str, *, expires_at_s: int) -> Item:
    """An input or output as an item of its own."""
    return {"body": zipped(text), "expires_at": expires_at_s}


def payload_text(item: Mapping[str, Any]) -> str:
    """The text of such an item."""
    return unzipped(item["body"])


def encode_payload(payload: Payload, place: str, text: str, *, plain: bool = False) -> Item:
    if payload.place is Place.NONE:
        return {}
    if payload.place is Place.RECORD and payload.text is not None:
        return {text: payload.text if plain else zipped(payload.text)}
    return {place: payload.place.value}


def _decode_payload(item: Mapping[str, Any], place: str, text: str) -> Payload:
    if text in item:
        return Payload(place=Place.RECORD, text=unzipped(item[text]))
    return Payload(place=Place(item.get(place, "-")))


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


# ---------------------------------------------------------------- rows

_DEFAULTS = {
    "retry_count": 0,
    "app_retry_count": 0,
    "takeovers": 0,
    "spawned": 0,
    "invocations": 0,
    "ticket": 1,
    "started": False,
}


def encode_row(row: TaskRow, *, created_at_ms: int) -> Value:
    """A row as it is stored. `created_at_ms`: its run's."""
    fields = encode_fields(row)
    return _pack(row, fields, created_at_ms) if row.settled else fields


def encode_fields(row: TaskRow) -> dict[str, Value]:
    """A row as a map, without what is empty or as always."""
    out: dict[str, Value] = {}
    for name, short in ROW_NAMES.items():
        value = getattr(row, name)
        if value is None or value == _DEFAULTS.get(name):
            continue
        out[short] = _STATUS_CODES[value] if name == "status" else value
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
        return _unpacked(stored, created_at_ms)
    if isinstance(stored, list):
        head, rest, output = stored  # with long texts: such a row is not kept in mind
        return _unpack(f"{head}{unzipped(rest)}{unzipped(output)}", created_at_ms)
    return decode_fields(stored)


def decode_fields(raw: Mapping[str, Any]) -> TaskRow:
    """The row that `encode_fields` wrote."""
    plain = {name: raw[short] for name, short in ROW_NAMES.items() if short in raw and name != "status"}
    error = raw.get("e")
    return TaskRow(
        **plain,
        status=_STATUSES[raw["s"]],
        output=_decode_payload(raw, "p", "out"),
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
    head = [
        _span(begun, created_at_ms),
        _span(row.finished_at_ms, since),
        _span(row.queued_at_ms, since),
        mark,
        place,
    ]
    first = _STATUS_CODES[row.status] + ";".join(head).rstrip(";")
    more = zipped(_compact(rest)) if rest else ""
    text = row.output.text if row.output.place is Place.RECORD else None
    output = "" if text is None else zipped(f":{text}")
    if isinstance(more, str) and isinstance(output, str):
        return f"{first}{more}{output}"
    return [first, more, output]


def _unpack(text: str, created_at_ms: int) -> TaskRow:
    end = min((at for at in (text.find("{"), text.find(":")) if at >= 0), default=len(text))
    begun, finished, queued, mark, place = (*text[1:end].split(";"), "", "", "", "", "")[:5]
    raw: dict[str, Any] = {"s": text[0]}
    if text[end : end + 1] == "{":
        raw |= _JSON.raw_decode(text, end)[0]
        end = _JSON.raw_decode(text, end)[1]
    if text[end : end + 1] == ":":
        raw["out"] = text[end + 1 :]
    elif place:
        raw["p"] = place
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


_unpacked = lru_cache(maxsize=8_192)(_unpack)
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


# ---------------------------------------------------------------- records


def encode_record(record: RunRecord, *, plain: bool = False) -> Item:
    """The record as an item, without `pk` and `sk`. `plain`: no text is compressed, as in a message."""
    partition, order = index_entry(record)
    out: Item = {
        "ph": remember_plan(record.plan),
        "c": record.created_at_ms,
        "expires_at": record.expires_at_s,
        "lpk": partition,
        "lsk": order,
        "tasks": encode_rows(record),
    }
    if record.priority != 1:
        out["pr"] = record.priority
    out.update(encode_payload(record.input, "ip", "in", plain=plain))
    if record.metadata:
        text = _compact(record.metadata)
        out["md"] = text if plain else zipped(text)
    if record.parent is not None:
        link = record.parent
        out["par"] = _compact([link.run_id, link.task, link.index, link.key, link.join])
    marks = {
        "st": record.starter,
        "x": record.cancelled_at_ms,
        "xr": record.cancel_reason,
        "ig": record.input_of,
    }
    if record.generation is not None:
        marks["rp"] = record.generation.token
    for name, value in marks.items():
        if value is not None:
            out[name] = value
    out.update({WAITER + queue: 1 for queue in record.waiters})
    if record.routing != AS_PLANNED:
        text = encode_routing(record.routing)
        out["ex"] = text if plain else zipped(text)
    return out


def stored_routing(routing: Routing) -> str | bytes:
    return zipped(encode_routing(routing))


def encode_rows(record: RunRecord) -> dict[str, Value]:
    numbers, created_at_ms = record.plan.numbers, record.created_at_ms
    return {
        str(numbers[name]): encode_row(row, created_at_ms=created_at_ms)
        for name, row in (*record.tasks.items(), *record.again.items())
    }


def decode_record(run_id: str, item: Mapping[str, Any]) -> RunRecord:
    """The record that `encode_record` wrote. UnknownPlan: read its plan first. KeyError / ValueError where the item is none."""
    parent = json.loads(item["par"]) if "par" in item else None
    plan, created_at_ms, stored = known_plan(item["ph"]), item["c"], item["tasks"]
    tasks = plan.tasks
    rows = {
        tasks[int(number)].name: _unpacked(row, created_at_ms)
        if type(row) is str
        else decode_row(row, created_at_ms=created_at_ms)
        for number, row in stored.items()
    }
    again: dict[str, TaskRow] = {}
    if "rp" in item:
        again = {name: row for name, row in rows.items() if row.status is TaskStatus.WAITING}
    return RunRecord(
        run_id=run_id,
        plan=plan,
        input=_decode_payload(item, "ip", "in"),
        metadata=json.loads(unzipped(item["md"])) if "md" in item else {},
        priority=item.get("pr", 1),
        parent=ParentLink(run_id=parent[0], task=parent[1], index=parent[2], key=parent[3], join=parent[4])
        if parent
        else None,
        created_at_ms=created_at_ms,
        expires_at_s=item["expires_at"],
        starter=item.get("st"),
        cancelled_at_ms=item.get("x"),
        cancel_reason=item.get("xr"),
        routing=decode_routing(unzipped(item["ex"])) if "ex" in item else AS_PLANNED,
        tasks={name: row for name, row in rows.items() if name not in again} if again else rows,
        again=again,
        generation=generation_of(item["rp"]) if "rp" in item else None,
        input_of=item.get("ig"),
        waiters=tuple(sorted(name.removeprefix(WAITER) for name in item if name.startswith(WAITER))),
        weight=_weight(item),
    )


def _weight(item: Mapping[str, Any]) -> int:
    """About what the item weighs (bytes): characters of its texts, and a span for each row that is not settled."""
    rows = item["tasks"]
    settled = [row for row in rows.values() if type(row) is str]
    others = [row for row in rows.values() if type(row) is not str] if len(settled) < len(rows) else []
    weight = 3 * len(rows) + sum(map(len, settled))
    weight += sum(80 if isinstance(row, dict) else sum(map(len, row)) for row in others)
    texts = sum(len(item[name]) for name in ("in", "md", "ex", "par", "xr", "lsk") if name in item)
    return BARE_BYTES + weight + texts


BARE_BYTES = 130
"""About what a record weighs without rows and texts: its keys, times, the names of its attributes."""


def record_of(item: Item) -> RunRecord:
    """The record in an item as a store gives it. UnknownPlan where this process has not met its plan."""
    return decode_record(run_id_of(str(item["pk"])), item)
