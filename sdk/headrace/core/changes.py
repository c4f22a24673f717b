"""A conditional write as a value, which every store interprets in the same way.

`apply` is the reference semantics: the memory store runs it, and the contract tests hold DynamoDB's adapters against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from itertools import repeat
from typing import TypeAlias, assert_never

from headrace.core.values import dataclass

Value: TypeAlias = "bool | int | str | bytes | frozenset[int] | list[Value] | dict[str, Value] | None"
Item: TypeAlias = dict[str, Value]
Path: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """The address of an item: partition and sort key."""

    pk: str
    sk: str


# ---------------------------------------------------------------- conditions


@dataclass(frozen=True, slots=True)
class Exists:
    path: Path


@dataclass(frozen=True, slots=True)
class Missing:
    path: Path


@dataclass(frozen=True, slots=True)
class Equal:
    path: Path
    value: str | int | bool


@dataclass(frozen=True, slots=True)
class AtMost:
    """True where the number at `path` is there and is not above `value`."""

    path: Path
    value: int


@dataclass(frozen=True, slots=True)
class AtLeast:
    """True where the number at `path` is there and is not below `value`."""

    path: Path
    value: int


@dataclass(frozen=True, slots=True)
class SizeBelow:
    """True where the map, list, set or string at `path` is there and has fewer than `size` entries."""

    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class All:
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: tuple[Condition, ...]


Condition: TypeAlias = Exists | Missing | Equal | AtMost | AtLeast | SizeBelow | All | AnyOf

ITEM_EXISTS = Exists(("pk",))
ITEM_MISSING = Missing(("pk",))
ALWAYS = All(())


def every(*parts: Condition) -> All:
    return All(parts)


def either(*parts: Condition) -> AnyOf:
    return AnyOf(parts)


# ---------------------------------------------------------------- writes


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """One `UpdateItem`: what it sets, adds and removes, and what must hold. Paths must not overlap.

    `adds` adds to numbers (a missing number counts as 0) or joins into number sets; `takes` removes from number sets.
    An update of a missing item creates it, unless `require` says otherwise.
    """

    key: Key
    require: Condition = ALWAYS
    sets: Mapping[Path, Value] = field(default_factory=dict)
    adds: Mapping[Path, int | frozenset[int]] = field(default_factory=dict)
    takes: Mapping[Path, frozenset[int]] = field(default_factory=dict)
    removes: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """One `PutItem` of a whole item (without its key attributes)."""

    key: Key
    item: Item
    require: Condition = ALWAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """One `DeleteItem`; deleting what is not there is no error."""

    key: Key
    require: Condition = ALWAYS


Write: TypeAlias = Update | Put | Delete


@dataclass(frozen=True, slots=True)
class Applied:
    """The write took place; the item as it is now (None after a delete)."""

    item: Item | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The condition did not hold; the item as it was (None where there is none)."""

    item: Item | None


Written: TypeAlias = Applied | Refused


# ---------------------------------------------------------------- reference semantics

_ABSENT = object()


def _look(item: Item | None, path: Path) -> object:
    at: object = item if item is not None else _ABSENT
    for name in path:
        if not isinstance(at, dict) or name not in at:
            return _ABSENT
        at = at[name]
    return at


def holds(condition: Condition, item: Item | None) -> bool:
    """Whether `condition` is true of `item` (with its `pk` and `sk`), as DynamoDB would judge it."""
    match condition:
        case All(parts):  # the commonest first: every write in memory comes here
            return all(map(holds, parts, repeat(item)))
        case Missing(path):
            return _look(item, path) is _ABSENT
        case Equal(path, value):
            found = _look(item, path)
            return type(found) is type(value) and found == value
        case Exists(path):
            return _look(item, path) is not _ABSENT
        case AtMost(path, number):
            found = _look(item, path)
            return isinstance(found, int) and not isinstance(found, bool) and found <= number
        case AtLeast(path, number):
            found = _look(item, path)
            return isinstance(found, int) and not isinstance(found, bool) and found >= number
        case SizeBelow(path, size):
            found = _look(item, path)
            if isinstance(found, str):
                return len(found.encode()) < size
            return isinstance(found, dict | list | frozenset | bytes) and len(found) < size
        case AnyOf(parts):
            return any(holds(part, item) for part in parts)
        case _:
            assert_never(condition)


class PathError(Exception):
    """A path that goes through something that is no map: DynamoDB answers with a ValidationException."""


def copied(value: Value) -> Value:
    """A value that shares nothing with the one given that can be changed."""
    if isinstance(value, dict):
        return copied_item(value)
    if isinstance(value, list):
        return [each if type(each) in _FIXED else copied(each) for each in value]
    return value


def copied_item(item: Item) -> Item:
    """The same of an item, or of a map in one. A large record is a map of some hundred strings: those are passed over at once."""
    return {name: each if type(each) in _FIXED else copied(each) for name, each in item.items()}


_FIXED = frozenset({str, int, bool, bytes, frozenset, type(None)})


def _map_at(item: Item, path: Path) -> Item:
    """The map that holds the last name of `path`: a copy, as are all on the way to it. What is beside them stays shared."""
    at = item
    for name in path[:-1]:
        inner = at.get(name)
        if not isinstance(inner, dict):
            raise PathError(f"no map at {'.'.join(path[:-1])}")
        at[name] = at = dict(inner)
    return at


def _updated(update: Update, item: Item | None) -> Item:
    after: Item = dict(item or {})
    after["pk"], after["sk"] = update.key.pk, update.key.sk
    for path, value in update.sets.items():
        _map_at(after, path)[path[-1]] = copied(value)
    for path in update.removes:
        _map_at(after, path).pop(path[-1], None)
    for path, amount in update.adds.items():
        place, name = _map_at(after, path), path[-1]
        found = place.get(name)
        if isinstance(amount, frozenset):
            place[name] = amount | (found if isinstance(found, frozenset) else frozenset())
        else:
            place[name] = amount + (found if isinstance(found, int) else 0)
    for path, members in update.takes.items():
        place, name = _map_at(after, path), path[-1]
        found = place.get(name)
        if isinstance(found, frozenset):
            left = found - members
            if left:
                place[name] = left
            else:
                del place[name]
    return after


def apply(write: Write, item: Item | None) -> Written:
    """What `write` makes of `item` (None: there is none). The argument is not changed."""
    if not holds(write.require, item):
        return Refused(item)
    match write:
        case Update():
            return Applied(_updated(write, item))
        case Put(key=key, item=body):
            return Applied({**copied_item(body), "pk": key.pk, "sk": key.sk})
        case Delete():
            return Applied(None)
        case _:
            assert_never(write)
