"""Subscriptions to events, and their partitions: an event reads those that it may satisfy, not all of its key. Pure.

A subscription whose expression holds only if one field of the payload has one value (`input.order.id == "A1" && …`) lies in a
partition of that pair. An event computes the pairs of its own payload, so it reads only the subscriptions that may be meant.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import field
from functools import lru_cache
from typing import TypeAlias

from headrace.core import table
from headrace.core.changes import Key
from headrace.core.run.plans.plan import Json
from headrace.core.values import dataclass

EXACT = 2**53
"""From here on a number of JSON may not be the integer that it says."""

FieldPath: TypeAlias = tuple[str, ...]
Scalar: TypeAlias = str | int | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """Leaf `leaf` of wait `node` of a task: an event of `event_key`, of `scope` where one is given, for which the CEL `expression` is true.

    `had`: the last events that the task has had, by their short names. They satisfy it no more.
    """

    run_id: str
    task: str
    node: int
    leaf: int
    event_key: str
    scope: str | None = None
    expression: str | None = None
    had: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SatisfiedBy:
    """The event that satisfied a subscription. `payload`: JSON text."""

    event_id: str
    key: str
    at_ms: int
    payload: str
    metadata: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Equality:
    """The field at `path` of the payload is `value`."""

    path: FieldPath
    value: Scalar


@dataclass(frozen=True, slots=True)
class Shape:
    """What subscriptions of a key have in common, as far as an event has to know to find them."""

    scoped: bool
    path: FieldPath | None


# ---------------------------------------------------------------- where they are


def subscription_key(sub: Subscription) -> Key:
    where = partition(sub.event_key, sub.scope, equality_of(sub.expression))
    return table.subscription_key(where, sub.run_id, sub.task, sub.node, sub.leaf)


def shape_of(sub: Subscription) -> Shape:
    found = equality_of(sub.expression)
    return Shape(sub.scope is not None, found.path if found is not None else None)


def partition(event_key: str, scope: str | None, equality: Equality | None) -> str:
    if equality is None:
        return table.subscription_partition(event_key, scope)
    return table.subscription_partition(event_key, scope, list(equality.path), equality.value)


def encode_shape(shape: Shape) -> str:
    path = list(shape.path) if shape.path is not None else None
    return json.dumps([shape.scoped, path], separators=(",", ":"), ensure_ascii=False)


def decode_shape(text: str) -> Shape:
    scoped, path = json.loads(text)
    return Shape(bool(scoped), tuple(str(each) for each in path) if path is not None else None)


def partitions_for(event_key: str, scope: str | None, payload: Json, shapes: list[Shape]) -> Iterator[str]:
    """The partitions that an event has to look into, of those that its key's subscriptions are in."""
    for shape in shapes:
        if shape.scoped and scope is None:
            continue
        of = scope if shape.scoped else None
        if shape.path is None:
            yield partition(event_key, of, None)
            continue
        value = value_at(payload, shape.path)
        if value is not None:
            yield partition(event_key, of, Equality(shape.path, value))


def value_at(payload: Json, path: FieldPath) -> Scalar | None:
    """The string, integer or bool at a path of the payload; None for anything else, which no indexed literal equals."""
    at: Json = payload
    for name in path:
        if not isinstance(at, dict) or name not in at:
            return None
        at = at[name]
    if isinstance(at, float):
        return int(at) if at.is_integer() and abs(at) < EXACT else None
    return at if isinstance(at, str | bool | int) else None


# ---------------------------------------------------------------- what an expression requires

_TOKEN = re.compile(
    r"""\s+|(?P<string>"[^"]*"|'[^']*')|(?P<name>[A-Za-z_]\w*)|(?P<number>\d[\w.]*)|(?P<op>&&|\|\||==|!=|<=|>=|.)""",
    re.DOTALL,
)
_WHOLE = re.compile(r"\d+")


@lru_cache(maxsize=1024)
def equality_of(expression: str | None) -> Equality | None:
    """An equality of a field of `input` with a literal without which the CEL expression cannot be true; None where none is seen.

    Only what is certain is taken: a conjunction at the top, plain literals. Escapes, comments, raw and long strings are left alone.
    """
    if expression is None or "\\" in expression or '"""' in expression or "'''" in expression:
        return None
    tokens = _tokens(expression)
    return next(_equalities(tokens), None) if tokens is not None else None


def _tokens(expression: str) -> list[str] | None:
    out: list[str] = []
    end = 0
    for found in _TOKEN.finditer(expression):
        if found["string"] is not None and end == found.start() and out and _is_name(out[-1]):
            return None  # r"..." or b"...": another kind of literal
        if found[0] == "/" and out and out[-1] == "/":
            return None  # a comment
        if not found[0].isspace():
            out.append(found[0])
            end = found.end()
    return out


def _is_name(token: str) -> bool:
    return token[0].isalpha() or token[0] == "_"


def _equalities(tokens: list[str]) -> Iterator[Equality]:
    terms = _conjuncts(tokens)
    if len(terms) == 1:
        if tokens and tokens[0] == "(" and _closes(tokens) == len(tokens) - 1:
            yield from _equalities(tokens[1:-1])
        else:
            found = _equality(tokens)
            if found is not None:
                yield found
        return
    for term in terms:
        yield from _equalities(term)


def _closes(tokens: list[str]) -> int:
    depth = 0
    for place, token in enumerate(tokens):
        depth += (token in "([{") - (token in ")]}") if len(token) == 1 else 0
        if depth == 0:
            return place
    return -1


def _conjuncts(tokens: list[str]) -> list[list[str]]:
    """The terms of a conjunction; none where the top is a disjunction or a choice."""
    terms: list[list[str]] = [[]]
    depth = 0
    for token in tokens:
        if len(token) == 1:
            depth += (token in "([{") - (token in ")]}")
        if depth == 0 and token in ("||", "?"):
            return []
        if depth == 0 and token == "&&":
            terms.append([])
        else:
            terms[-1].append(token)
    return terms


def _equality(tokens: list[str]) -> Equality | None:
    if tokens.count("==") != 1:
        return None
    middle = tokens.index("==")
    for left, right in ((tokens[:middle], tokens[middle + 1 :]), (tokens[middle + 1 :], tokens[:middle])):
        path, value = _path(left), _literal(right)
        if path is not None and value is not None:
            return Equality(path, value)
    return None


def _path(tokens: list[str]) -> FieldPath | None:
    """`input.a["b"].c` as its names."""
    if tokens[:1] != ["input"]:
        return None
    names: list[str] = []
    rest = tokens[1:]
    while rest:
        if rest[0] == "." and len(rest) > 1 and _is_name(rest[1]):
            names.append(rest[1])
            rest = rest[2:]
        elif rest[0] == "[" and len(rest) > 2 and rest[1][0] in "\"'" and rest[2] == "]":
            names.append(rest[1][1:-1])
            rest = rest[3:]
        else:
            return None
    return tuple(names) or None


def _literal(tokens: list[str]) -> Scalar | None:
    match tokens:
        case ["true"]:
            return True
        case ["false"]:
            return False
        case [text] if text[0] in "\"'":
            return text[1:-1]
        case [number] if _WHOLE.fullmatch(number) and int(number) < EXACT:
            return int(number)
        case ["-", number] if _WHOLE.fullmatch(number) and int(number) < EXACT:
            return -int(number)
        case _:
            return None
