"""What DynamoDB refuses whatever the condition says (its ValidationException), refused in memory too."""

from __future__ import annotations

from headrace.core.changes import Delete, Item, Path, Put, Update, Value, Write
from headrace.core.sizes import item_bytes
from headrace.errors import RequestRefused
from headrace.ports import MAX_ITEM_BYTES

MAX_PK_BYTES = 2048
MAX_SK_BYTES = 1024
"""Key sizes in bytes (DynamoDB quotas)."""


BYTES_OF_A_CHARACTER = 4
"""At most, in UTF-8. Of numbers and of what holds others the characters of `repr` take less, so it tells at once of most items that they are
far below the limit."""

SCALARS = frozenset({str, int, bool, bytes, type(None)})


class InvalidWrite(RequestRefused):
    """A write that DynamoDB does not take."""


def check_request(write: Write) -> None:
    """Refuse what is wrong whatever the item is: keys, overlapping paths, empty sets."""
    if (
        not 0 < len(write.key.pk.encode()) <= MAX_PK_BYTES
        or not 0 < len(write.key.sk.encode()) <= MAX_SK_BYTES
    ):
        raise InvalidWrite(f"the key {write.key} is empty or too long")
    match write:
        case Update():
            _check_paths([*write.sets, *write.adds, *write.takes, *write.removes])
            for value in (*write.sets.values(), *write.adds.values(), *write.takes.values()):
                if type(value) not in SCALARS:
                    _check_sets(value)
        case Put():
            for value in write.item.values():
                if type(value) not in SCALARS:
                    _check_sets(value)
        case Delete():
            pass


def check_operands(write: Write, item: Item | None) -> None:
    """Refuse to add to, or take from, what is there with another type. The condition has held."""
    if not isinstance(write, Update) or item is None:
        return
    for path, amount in write.adds.items():
        _check_operand(item, path, frozenset if isinstance(amount, frozenset) else int)
    for path in write.takes:
        _check_operand(item, path, frozenset)


def check_size(item: Item | None) -> None:
    if item is None or BYTES_OF_A_CHARACTER * len(repr(item)) < MAX_ITEM_BYTES:
        return
    if (size := item_bytes(item)) > MAX_ITEM_BYTES:
        raise InvalidWrite(f"an item of {size:,} bytes; DynamoDB's limit is {MAX_ITEM_BYTES:,}")


def _check_paths(paths: list[Path]) -> None:
    distinct = set(paths)
    deep = [path for path in paths if len(path) > 1]
    if len(distinct) < len(paths) or any(path[:n] in distinct for path in deep for n in range(1, len(path))):
        raise InvalidWrite(f"paths overlap: {sorted(paths)}")
    if ("pk",) in distinct or ("sk",) in distinct:
        raise InvalidWrite("an update cannot change the key")


def _check_sets(value: Value) -> None:
    if isinstance(value, frozenset):
        if not value:
            raise InvalidWrite("DynamoDB has no empty sets")
    elif isinstance(value, list):
        for each in value:
            if type(each) not in SCALARS:
                _check_sets(each)
    elif isinstance(value, dict):
        for each in value.values():
            if type(each) not in SCALARS:
                _check_sets(each)


def _check_operand(item: Item, path: Path, kind: type) -> None:
    at: Value = item
    for name in path:
        if not isinstance(at, dict) or name not in at:
            return
        at = at[name]
    if not isinstance(at, kind) or isinstance(at, bool):
        raise InvalidWrite(f"{'.'.join(path)} holds {type(at).__name__}, not {kind.__name__}")
