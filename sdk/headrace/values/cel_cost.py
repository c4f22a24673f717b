"""How much work a CEL expression may be, before it is evaluated: from its text and the size of its variables.

An estimate from above. The binding evaluates in native code that nothing interrupts and that holds the interpreter, so an expression that
may take long is evaluated in a process of its own (`cel_apart`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from headrace.core.values import dataclass

if TYPE_CHECKING:
    from headrace.core.run.plans.plan import Json

LIGHT_UNITS = 1_000_000
"""At most a tenth of a second: a unit is a token that is evaluated once, or 256 bytes that are compared or searched."""

UNIT_BYTES = 256

_TOKEN = re.compile(
    r'"""[\s\S]*?"""|\'\'\'[\s\S]*?\'\'\'|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|[A-Za-z_]\w*|\d[\w.]*|[=!<>]=|\S'
)
_QUICK_CALLS = frozenset({"size", "has", "int", "uint", "double", "string", "bool"})
_WORDS = frozenset({"true", "false", "null"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Of an expression: `loops` how many macros (`all`, `map` …) are nested at most; `searches` whether anything within them may look
    through a whole value; `grows` whether it may build values that are larger than its variables."""

    tokens: int
    loops: int
    searches: bool
    grows: bool


@lru_cache(maxsize=1024)
def shape_of(expression: str) -> Shape:
    """Read off the text; what is not known to be quick counts as slow."""
    tokens = _TOKEN.findall(expression)
    open_loops: list[bool] = []
    depth = deepest = loops = 0
    searches = False
    for number, token in enumerate(tokens):
        if token == "(":
            looped = _is_macro(tokens, number)
            open_loops.append(looped)
            loops += looped
            depth += looped
            deepest = max(deepest, depth)
        elif token == ")" and open_loops:
            depth -= open_loops.pop()
        if depth and not searches:
            searches = _searches(tokens, number)
    grows = loops > 1 and "+" in tokens
    return Shape(tokens=len(tokens), loops=deepest, searches=searches, grows=grows)


def _is_macro(tokens: list[str], number: int) -> bool:
    """`.all(x, …`: a method whose first argument is a bare name. So is `.replace(a, b)`, which costs a loop it does not make."""
    before, after = tokens[max(0, number - 2) : number], tokens[number + 1 : number + 3]
    return (
        len(before) == 2 and before[0] == "." and len(after) == 2 and _is_name(after[0]) and after[1] == ","
    )


def _searches(tokens: list[str], number: int) -> bool:
    token = tokens[number]
    if token in ("in", "+"):
        return True
    if token in ("==", "!=", "<", ">", "<=", ">="):
        around = (tokens[number - 1], tokens[number + 1] if number + 1 < len(tokens) else "")
        return not any(_is_literal(each) for each in around)
    called = _is_name(token) and tokens[number + 1 : number + 2] == ["("]
    return called and token not in _QUICK_CALLS and not _is_macro(tokens, number + 1)


def _is_name(token: str) -> bool:
    return token.isidentifier() and token not in _WORDS


def _is_literal(token: str) -> bool:
    return token in _WORDS or token[:1] in "\"'" or token[:1].isdigit()


def units_of(expression: str, variables: Mapping[str, Json]) -> float:
    """How many units the evaluation takes at most. Without loops it is one look at its variables."""
    shape = shape_of(expression)
    if not shape.loops:
        return 0
    if shape.grows:
        return float("inf")
    units = shape.tokens * float(max(shape.tokens, _most_elements(variables))) ** shape.loops
    return units * (1 + len(json.dumps(variables, default=str)) / UNIT_BYTES) if shape.searches else units


def _most_elements(variables: Mapping[str, Json]) -> int:
    """The elements of the largest list or object."""
    most, todo = 0, list(variables.values())
    while todo:
        value = todo.pop()
        if isinstance(value, Mapping):
            most = max(most, len(value))
            todo.extend(value.values())
        elif isinstance(value, list):
            most = max(most, len(value))
            todo.extend(value)
    return most
