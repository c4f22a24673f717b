"""Items as DynamoDB's wire format has them, and back. Written out: boto3's own converter costs an import and goes through Decimal."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from headrace.core.changes import Item, Key, Value

Wire = dict[str, Any]


def to_wire(value: Value) -> Wire:
    """One value: {"S": …}, {"N": …} and so on."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": value}
        case int():
            return {"N": str(value)}
        case bytes():
            return {"B": value}
        case frozenset():
            return {"NS": [str(member) for member in sorted(value)]}
        case list():
            return {"L": [to_wire(each) for each in value]}
        case dict():
            return {"M": {name: to_wire(each) for name, each in value.items()}}


def from_wire(wire: Mapping[str, Any]) -> Value:
    """The value of a wire attribute. Numbers are whole: Headrace writes no others, and ValueError says so."""
    for kind, body in wire.items():
        match kind:
            case "S":
                return str(body)
            case "N":
                return int(body)
            case "M":
                return {name: from_wire(each) for name, each in body.items()}
            case "L":
                return [from_wire(each) for each in body]
            case "BOOL":
                return bool(body)
            case "NULL":
                return None
            case "NS":
                return frozenset(int(member) for member in body)
            case "B":
                return bytes(body) if isinstance(body, bytes) else b64decode(body)
            case _:
                break
    raise ValueError(f"not an attribute that Headrace writes: {sorted(wire)}")


def item_to_wire(item: Item) -> Wire:
    return {name: to_wire(value) for name, value in item.items()}


def item_from_wire(wire: Mapping[str, Mapping[str, Any]]) -> Item:
    return {name: from_wire(value) for name, value in wire.items()}


def key_to_wire(key: Key) -> Wire:
    return {"pk": {"S": key.pk}, "sk": {"S": key.sk}}
