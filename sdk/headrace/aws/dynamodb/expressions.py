"""A write as the parameters of UpdateItem, PutItem or DeleteItem."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import field
from typing import Any, assert_never

from headrace.aws.dynamodb.items import item_to_wire, key_to_wire, to_wire
from headrace.core.changes import (
    All,
    AnyOf,
    AtLeast,
    AtMost,
    Condition,
    Delete,
    Equal,
    Exists,
    Missing,
    Path,
    Put,
    SizeBelow,
    Update,
    Value,
    Write,
)
from headrace.core.values import dataclass


@dataclass(slots=True)
class _Names:
    """Placeholders: every part of every path and every value has one, so task names may hold any character."""

    names: dict[str, str] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)

    def path(self, path: Path) -> str:
        names = self.names
        return ".".join([names.get(part) or names.setdefault(part, f"#{len(names)}") for part in path])

    def value(self, value: Value) -> str:
        name = f":{len(self.values)}"
        self.values[name] = value
        return name


ALWAYS, NEVER = "", "(attribute_exists(pk) AND attribute_not_exists(pk))"
"""A condition that needs no expression, and one that no item meets."""


def _condition(condition: Condition, names: _Names) -> str:
    """The expression of a condition; ALWAYS is empty."""
    match condition:
        case Exists(path):
            return f"attribute_exists({names.path(path)})"
        case Missing(path):
            return f"attribute_not_exists({names.path(path)})"
        case Equal(path, value):
            return f"{names.path(path)} = {names.value(value)}"
        case AtMost(path, value):
            return f"{names.path(path)} <= {names.value(value)}"
        case AtLeast(path, value):
            return f"{names.path(path)} >= {names.value(value)}"
        case SizeBelow(path, size):
            return f"size({names.path(path)}) < {names.value(size)}"
        case All(parts):
            return _joined([_condition(part, names) for part in parts if not _always(part)], " AND ")
        case AnyOf(parts):
            if _always(condition):
                return ALWAYS
            return _joined([_condition(part, names) for part in parts] or [NEVER], " OR ")
        case _:
            assert_never(condition)


def _joined(texts: list[str], word: str) -> str:
    """In parentheses only where there is something to join: DynamoDB refuses redundant ones."""
    return f"({word.join(texts)})" if len(texts) > 1 else "".join(texts)


def _always(condition: Condition) -> bool:
    """Whether it holds of anything: DynamoDB has no literal for that. Known first, as unused placeholders are refused."""
    match condition:
        case All(parts):
            return all(_always(part) for part in parts)
        case AnyOf(parts):
            return any(_always(part) for part in parts)
        case _:
            return False


def _update_expression(update: Update, names: _Names) -> str:
    sets = [f"{names.path(path)} = {names.value(value)}" for path, value in update.sets.items()]
    removes = [names.path(path) for path in update.removes]
    adds = [f"{names.path(path)} {names.value(amount)}" for path, amount in update.adds.items()]
    takes = [f"{names.path(path)} {names.value(members)}" for path, members in update.takes.items()]
    clauses = (("SET", sets), ("REMOVE", removes), ("ADD", adds), ("DELETE", takes))
    return " ".join(f"{word} {', '.join(parts)}" for word, parts in clauses if parts)


# ---------------------------------------------------------------- texts are made once a shape


MOST_SHAPES = 1_024
"""Shapes of writes whose texts are kept: a worker has some ten a task of its plans. A write that names a run, such as a holder, has a shape of
its own, and makes room for the others once in so many."""


@dataclass(frozen=True, slots=True)
class _Texts:
    """What the writes of one shape share: their expressions and placeholders, as parameters; the placeholder of each value, in order."""

    parameters: dict[str, Any]
    places: tuple[str, ...]


_known: dict[Hashable, _Texts] = {}


def _shape(condition: Condition, values: list[Value]) -> Hashable:
    """All of a condition but its values, which are gathered in the order of their placeholders."""
    match condition:
        case Exists(path) | Missing(path):
            return type(condition), path
        case Equal(path, value) | AtMost(path, value) | AtLeast(path, value) | SizeBelow(path, value):
            values.append(value)
            return type(condition), path
        case All(parts) | AnyOf(parts):
            return type(condition), tuple([_shape(part, values) for part in parts])
        case _:
            assert_never(condition)


def _texts(write: Write, shape: Hashable, values: list[Value]) -> _Texts:
    """The texts of a write, and `values` without those that its expressions have no use for."""
    known = _known.get(shape)
    if known is not None:
        return known
    names = _Names()
    out: dict[str, Any] = {}
    if condition := _condition(write.require, names):
        out["ConditionExpression"] = condition
        out["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    if isinstance(write, Update) and (expression := _update_expression(write, names)):
        out["UpdateExpression"] = expression
    if names.names:
        out["ExpressionAttributeNames"] = {place: name for name, place in names.names.items()}
    found = _Texts(out, tuple(names.values))
    if len(names.values) != len(values):  # a part of a condition that always holds has no text
        values[:] = names.values.values()
    else:
        if len(_known) >= MOST_SHAPES:
            _known.clear()
        _known[shape] = found
    return found


def request_of(write: Write, table: str) -> tuple[str, dict[str, Any]]:
    """(operation, parameters) of one conditional write. A refused one brings back the item as it was."""
    values: list[Value] = []
    shape: Hashable = _shape(write.require, values)
    match write:
        case Update():
            sets, adds, takes = write.sets, write.adds, write.takes
            shape = shape, tuple(sets), write.removes, tuple(adds), tuple(takes)
            values.extend(sets.values())
            values.extend(adds.values())
            values.extend(takes.values())
            operation = "UpdateItem"
            out = {"TableName": table, "Key": key_to_wire(write.key), "ReturnValues": "ALL_NEW"}
        case Put():
            operation = "PutItem"
            out = {"TableName": table, "Item": {**item_to_wire(write.item), **key_to_wire(write.key)}}
        case Delete():
            operation = "DeleteItem"
            out = {"TableName": table, "Key": key_to_wire(write.key)}
        case _:
            assert_never(write)
    texts = _texts(write, shape, values)
    out |= texts.parameters
    if values:
        out["ExpressionAttributeValues"] = dict(zip(texts.places, map(to_wire, values), strict=True))
    return operation, out
