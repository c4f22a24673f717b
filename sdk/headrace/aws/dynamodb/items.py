"""Items as DynamoDB's wire format has them, and back. Written out: boto3's own converter costs an import and goes through Decimal."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Any

from headrace.core.changes import Item, Key, Value

Wire = dict[str, Any]


def to_wire(value: Value) -> Wire:
    """One value: {"S": …}, {"N": …} and so on."""
    match value:
        case str():
            return {"S": value}
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case dict():
            return {"M": {name: to_wire(each) for name, each in value.items()}}
        case list():
            return {"L": [to_wire(each) for each in value]}
        case bytes():
            return {"B": value}
        case frozenset():
            return {"NS": [str(member) for member in sorted(value)]}


_READERS: dict[str, Callable[[Any], Value]] = {
    "S": str,
    "N": int,
    "BOOL": bool,
    "M": lambda body: {name: from_wire(each) for name, each in body.items()},
    "L": lambda body: [from_wire(each) for each in body],
    "NULL": lambda body: None,
    "NS": lambda body: frozenset(int(member) for member in body),
    "B": lambda body: bytes(body) if isinstance(body, bytes) else b64decode(body),
}


def from_wire(wire: Mapping[str, Any]) -> Value:
    """The value of a wire attribute. Numbers are whole: Headrace writes no others, and ValueError says so."""
    for kind, body in wire.items():
        if kind in _READERS:
            return _READERS[kind](body)
        break
    raise ValueError(f"not an attribute that Headrace writes: {sorted(wire)}")


def item_to_wire(item: Item) -> Wire:
    return {name: to_wire(value) for name, value in item.items()}


def item_from_wire(wire: Mapping[str, Mapping[str, Any]]) -> Item:
    return {name: from_wire(value) for name, value in wire.items()}


def key_to_wire(key: Key) -> Wire:
    return {"pk": {"S": key.pk}, "sk": {"S": key.sk}}
