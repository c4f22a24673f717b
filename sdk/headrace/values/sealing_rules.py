"""Which attributes of items, and which parts of messages, a payload codec seals. All else is in the clear: see docs/security.md."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from headrace.core.changes import Path, Value
from headrace.core.run.stored.rows import decode_fields, decode_row, encode_fields, encode_row, is_packed
from headrace.core.table import (
    CATALOG,
    CHUNKS,
    CRONS,
    DEAD_LETTERS,
    DEBOUNCED,
    FILTERS,
    LINES,
    SCHEDULED,
    TIMERS,
    WEBHOOKS,
)
from headrace.values.sealing import Sealing, compact, within

Rule = Callable[[Sealing, Any], Any]
Rules = Mapping[Path, Rule]
"""Path in an item -> what is sealed there. `*` is any name."""


def on_text(how: Callable[[Sealing, str], str]) -> Rule:
    return lambda sealing, value: how(sealing, value) if isinstance(value, str) else value


JSON, TEXT, LOG = Sealing.stored_json, on_text(Sealing.text), on_text(Sealing.log)

ROW: Mapping[str, Rule] = {
    "out": JSON,
    "cd": JSON,
    "L": LOG,
    "hx": on_text(Sealing.past),
    "e": Sealing.error,
    "x": lambda sealing, value: {name: sealing.text(str(why)) for name, why in value.items()},
}
"""Attribute of a task's row -> what is sealed of it."""


def row(sealing: Sealing, stored: Any) -> Any:
    """A task's row: a map while the task goes on, else packed."""
    if isinstance(stored, dict):
        return _fields(sealing, stored)
    if is_packed(stored):  # of before the app had a codec
        return stored
    settled = decode_row(stored, created_at_ms=0)  # its times are distances, from whatever they are counted
    return encode_row(decode_fields(_fields(sealing, encode_fields(settled))), created_at_ms=0)


def _fields(sealing: Sealing, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: ROW[name](sealing, each) if name in ROW else each for name, each in fields.items()}


def record(sealing: Sealing, start: dict[str, Any]) -> dict[str, Any]:
    """A run's record, as its start message has it."""
    out = within(start, "in", sealing.json)
    return {**out, "ex": sealing.routing(out["ex"])} if "ex" in out else out


def order(sealing: Sealing, replay: dict[str, Any]) -> dict[str, Any]:
    """What a replay is to make of a record."""
    given, logs = replay.get("input"), replay.get("logs")
    if isinstance(given, list) and len(given) == 2 and isinstance(given[1], str):
        replay = {**replay, "input": [given[0], sealing.json(given[1])]}
    if isinstance(logs, dict):
        replay = {**replay, "logs": {task: sealing.log(text) for task, text in logs.items()}}
    return replay


def event(sealing: Sealing, pushed: dict[str, Any]) -> dict[str, Any]:
    return within(pushed, "payload", sealing.json)


PARTS = (("start", record), ("event", event), ("replay", order))


def body(sealing: Sealing, text: str) -> str:
    """The body of a message of ours; any other is left as it is."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(found, dict):
        return text
    out = within(found, "input", sealing.json)
    for name, inner in PARTS:
        if isinstance(out.get(name), dict):
            out[name] = inner(sealing, out[name])
    return compact(out) if out != found else text


def _starts(sealing: Sealing, value: Any) -> Any:
    """[[worker, body], …]."""
    if not isinstance(value, list):
        return value
    return [[each[0], body(sealing, str(each[1]))] if isinstance(each, list) else each for each in value]


def _error_item(sealing: Sealing, text: str) -> str:
    return compact(sealing.error(json.loads(text)))


def _chunk(sealing: Sealing, value: Any) -> Any:
    return sealing.chunk(value) if isinstance(value, str | bytes) else value


BODY = on_text(lambda sealing, text: body(sealing, text))

RUN: Rules = {
    ("in",): JSON,
    ("ex",): Sealing.routing,
    ("tasks", "*"): row,
    **{("tasks", "*", name): rule for name, rule in ROW.items()},
}
STORED_INPUT: Rules = {("input",): JSON, ("problem",): TEXT}

IN_A_RUN: Mapping[str, Rules] = {
    "in": {("body",): JSON},
    "out#": {("body",): JSON},
    "log#": {("body",): Sealing.stored_log},
    "branch#": {("body",): Sealing.stored_log},
    "attempt#": {("body",): on_text(_error_item)},
    LINES: {("line",): TEXT},
    CHUNKS: {("chunk",): _chunk},
}
"""What a sort key in a run's partition begins with -> what is sealed in its items."""

FAMILIES: Mapping[str, Rules] = {
    "events#": {("payload",): on_text(Sealing.quoted), ("runs",): on_text(Sealing.triggers)},
    "sub#": {("by",): on_text(Sealing.satisfied)},
    "idem#": {("starts",): _starts},
    TIMERS: {("body",): BODY},
    CRONS: STORED_INPUT,
    SCHEDULED: STORED_INPUT,
    DEBOUNCED: STORED_INPUT,
    FILTERS: {("payload",): JSON},
    WEBHOOKS: {("static",): JSON},
    CATALOG: {("cron_input",): JSON, ("filters",): on_text(Sealing.triggers)},
    DEAD_LETTERS: {("why",): TEXT, ("body",): BODY},
}
"""What a partition begins with -> what is sealed in its items."""

NOTHING: Rules = {}


def rules_for(pk: str, sk: str) -> Rules:
    """What is sealed in the item of a key."""
    if pk.startswith("run#"):
        return RUN if sk == "run" else _first(IN_A_RUN, sk)
    return _first(FAMILIES, pk)


def _first(families: Mapping[str, Rules], name: str) -> Rules:
    return next((rules for head, rules in families.items() if name.startswith(head)), NOTHING)


def apply(sealing: Sealing, rules: Rules, path: Path, value: Value) -> Value:
    """The value at a path of an item, with what the rules seal in it."""
    rule = _rule(rules, path)
    if rule is not None:
        changed: Value = rule(sealing, value)
        return changed
    if isinstance(value, dict) and rules and any(len(pattern) > len(path) for pattern in rules):
        return {name: apply(sealing, rules, (*path, name), each) for name, each in value.items()}
    return value


def _rule(rules: Rules, path: Path) -> Rule | None:
    return next((rule for pattern, rule in rules.items() if _fits(pattern, path)), None)


def _fits(pattern: Path, path: Path) -> bool:
    return len(pattern) == len(path) and all(a in ("*", b) for a, b in zip(pattern, path, strict=True))
