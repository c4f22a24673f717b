"""The record of a run as an item, and back. Each task of the plan has an entry in `tasks`, by its number in the plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from headrace.core.changes import Item, Value
from headrace.core.run.generation import generation_of
from headrace.core.run.plans.known import known_plan, remember_plan
from headrace.core.run.record import (
    ParentLink,
    RunRecord,
    TaskRow,
    TaskStatus,
    index_entry,
)
from headrace.core.run.routing import AS_PLANNED, Routing, decode_routing, encode_routing
from headrace.core.run.stored.packed import unpack_all
from headrace.core.run.stored.rows import decode_row, encode_row, unpack, unpacked
from headrace.core.run.stored.texts import compact, decode_payload, encode_payload, unzipped, zipped
from headrace.core.table import run_id_of

WAITER = "rq#"
"""What the attribute begins with by which a process says that it waits: one each, so that no write disturbs another."""


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
        text = compact(record.metadata)
        out["md"] = text if plain else zipped(text)
    if record.parent is not None:
        link = record.parent
        out["par"] = compact([link.run_id, link.task, link.index, link.key, link.join])
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


MET_ONCE = 4
"""Tasks of a run up to which a settled row is hardly met again: a process keeps none of those in mind."""


def decode_record(run_id: str, item: Mapping[str, Any]) -> RunRecord:
    """The record that `encode_record` wrote. UnknownPlan: read its plan first. KeyError / ValueError where the item is none."""
    parent = json.loads(item["par"]) if "par" in item else None
    plan, created_at_ms, stored = known_plan(item["ph"]), item["c"], item["tasks"]
    tasks = plan.tasks
    read = unpacked if len(tasks) > MET_ONCE else unpack
    rows: dict[str, TaskRow] = {}
    has_packed = False
    for number, row in stored.items():
        name = tasks[int(number)].name
        if type(row) is str:
            rows[name] = read(row, created_at_ms)
        else:
            rows[name] = found = decode_row(row, created_at_ms=created_at_ms)
            has_packed = has_packed or bool(found.output.packed)
    input = decode_payload(item, "ip", "in")
    if has_packed:
        unpack_all(plan, input, rows)
    again: dict[str, TaskRow] = {}
    if "rp" in item:
        again = {name: row for name, row in rows.items() if row.status is TaskStatus.WAITING}
    return RunRecord(
        run_id=run_id,
        plan=plan,
        input=input,
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
        waiters=tuple(sorted([name.removeprefix(WAITER) for name in item if name[:3] == WAITER])),
        weight=_weight(item),
    )


def _weight(item: Mapping[str, Any]) -> int:
    """About what the item weighs (bytes): characters of its texts, and a span for each row that is not settled."""
    weight = BARE_BYTES
    for row in item["tasks"].values():
        if type(row) is str:
            weight += 3 + len(row)
        else:
            weight += 3 + (80 if isinstance(row, dict) else sum(map(len, row)))
    for name in ("in", "md", "ex", "par", "xr", "lsk"):
        if name in item:
            weight += len(item[name])
    return weight


BARE_BYTES = 130
"""About what a record weighs without rows and texts: its keys, times, the names of its attributes."""


def record_of(item: Item) -> RunRecord:
    """The record in an item as a store gives it. UnknownPlan where this process has not met its plan."""
    return decode_record(run_id_of(str(item["pk"])), item)
