"""What an item weighs, by DynamoDB's published rules (developer guide, "DynamoDB item sizes and formats"), and what must not weigh too much."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from headrace.core.changes import Item, Value
from headrace.errors import PayloadTooLargeError

MAX_KEPT_BYTES = 256 * 1024
"""How large an input, or a payload, is at most that is kept in an item of its own until something starts a run with it."""

MAX_CARRIED_BYTES = 64 * 1024
"""How large it is at most where every run that it starts has it in its record and its messages, too: what a filter's payload is."""


def value_bytes(value: Value) -> int:
    """Bytes of one attribute value."""
    match value:
        case None | bool():
            return 1
        case int():
            return _number_bytes(value)
        case str():
            return len(value.encode())
        case bytes():
            return len(value)
        case frozenset():
            return sum(value_bytes(each) for each in value)
        case list():
            return 3 + sum(1 + value_bytes(each) for each in value)
        case dict():
            return 3 + len(value) + item_bytes(value)


def item_bytes(item: Item) -> int:
    """Bytes of an item: its attributes' names and values. A write unit is 1,024 of them, begun ones counted."""
    texts = [value for value in item.values() if type(value) is str]
    size = _text_bytes(item) + _text_bytes(texts)
    if len(texts) == len(item):
        return size
    for value in item.values():
        kind = type(value)  # most are numbers and maps: a row, a record
        if kind is int:
            size += _number_bytes(value)  # type: ignore[arg-type]
        elif kind is dict:
            size += 3 + len(value) + item_bytes(value)  # type: ignore[arg-type]
        elif kind is not str:
            size += value_bytes(value)
    return size


def _number_bytes(number: int) -> int:
    return (len(str(abs(number))) + 1) // 2 + 1 + (number < 0)


def _text_bytes(texts: Iterable[str]) -> int:
    """Bytes of many texts together: rows of a large record are some hundred."""
    joined = "".join(texts)
    return len(joined) if joined.isascii() else len(joined.encode())


def check_metadata(what: str, metadata: Mapping[str, object], limit_bytes: int) -> None:
    """PayloadTooLargeError where metadata takes the room that a record and its messages need for all else."""
    check_size(f"the additional_metadata of {what}", metadata, limit_bytes)


def check_size(what: str, given: Mapping[str, object] | str | None, limit_bytes: int) -> None:
    """PayloadTooLargeError where a JSON text, or an object as JSON, is larger than the item that it is kept in has room for."""
    if not given:
        return
    text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False, separators=(",", ":"))
    size = len(text.encode(errors="surrogatepass"))
    if size > limit_bytes:
        raise PayloadTooLargeError(what, size, limit_bytes)
