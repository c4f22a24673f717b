"""What an item weighs, by DynamoDB's published rules (developer guide, "DynamoDB item sizes and formats")."""

from __future__ import annotations

from headrace.core.changes import Item, Value


def value_bytes(value: Value) -> int:
    """Bytes of one attribute value."""
    match value:
        case None | bool():
            return 1
        case int():
            return (len(str(abs(value))) + 1) // 2 + 1 + (value < 0)
        case str():
            return len(value.encode())
        case bytes():
            return len(value)
        case frozenset():
            return sum(value_bytes(each) for each in value)
        case list():
            return 3 + sum(1 + value_bytes(each) for each in value)
        case dict():
            return 3 + sum(1 + len(name.encode()) + value_bytes(each) for name, each in value.items())


def item_bytes(item: Item) -> int:
    """Bytes of an item: its attributes' names and values. A write unit is 1,024 of them, begun ones counted."""
    return sum(len(name.encode()) + value_bytes(value) for name, value in item.items())
