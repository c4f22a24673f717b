"""A write as the parameters of UpdateItem, PutItem or DeleteItem."""

from __future__ import annotations

from dataclasses import field
from typing import Any, assert_never

from headrace.aws.items import item_to_wire, key_to_wire, to_wire
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
    values: dict[str, Any] = field(default_factory=dict)

    def path(self, path: Path) -> str:
        return ".".join(self.names.setdefault(part, f"#{len(self.names)}") for part in path)

    def value(self, value: Value) -> str:
        name = f":{len(self.values)}"
        self.values[name] = to_wire(value)
        return name

    def parameters(self) -> dict[str, Any]:
        out: dict[str, Any] = {}
        if self.names:
            out["ExpressionAttributeNames"] = {place: name for name, place in self.names.items()}
        if self.values:
            out["ExpressionAttributeValues"] = self.values
        return out


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


def request_of(write: Write, table: str) -> tuple[str, dict[str, Any]]:
    """(operation, parameters) of one conditional write. A refused one brings back the item as it was."""
    names = _Names()
    condition = _condition(write.require, names)
    out: dict[str, Any] = {"TableName": table}
    if condition:
        out["ConditionExpression"] = condition
        out["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    match write:
        case Update():
            out |= {"Key": key_to_wire(write.key), "ReturnValues": "ALL_NEW"}
            expression = _update_expression(write, names)
            if expression:
                out["UpdateExpression"] = expression
            operation = "UpdateItem"
        case Put():
            out["Item"] = {**item_to_wire(write.item), **key_to_wire(write.key)}
            operation = "PutItem"
        case Delete():
            out["Key"] = key_to_wire(write.key)
            operation = "DeleteItem"
        case _:
            assert_never(write)
    return operation, out | names.parameters()
