"""Functions by `module:name` or `module:Class.method`, as they are given on a command line."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from headrace.errors import NotConfigured


def found_at(name: str) -> tuple[Any, str, Callable[..., Any]]:
    """Where a function stands: its owner, its attribute, itself. NotConfigured, with what is there, where there is none."""
    module_name, _, path = name.partition(":")
    if not module_name or not path:
        raise NotConfigured(f"{name!r} names no function: give module:function, such as payments:charge")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        owner: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise NotConfigured(f"{name!r}: there is no module {error.name!r} in {here}") from error
    *inner, attribute = path.split(".")
    for each in (*inner, attribute):
        if not hasattr(owner, each):
            names = [key for key, value in vars(owner).items() if callable(value) and not key.startswith("_")]
            close = difflib.get_close_matches(each, names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(sorted(names)[:10])}"
            raise NotConfigured(f"{name!r}: {getattr(owner, '__name__', owner)} has no {each!r}: {hint}")
        if each is not attribute:
            owner = getattr(owner, each)
    function = getattr(owner, attribute)
    if not callable(function):
        raise NotConfigured(f"{name!r} is a {type(function).__name__}, not a function")
    return owner, attribute, function


def names_of(functions: Sequence[str | Callable[..., Any]]) -> tuple[str, ...]:
    """Functions by name. NotConfigured for one that has none to be found by."""
    return tuple(each if isinstance(each, str) else _name_of(each) for each in functions)


def _name_of(function: Callable[..., Any]) -> str:
    module, path = getattr(function, "__module__", None), getattr(function, "__qualname__", "<none>")
    if module is None or "<" in path:
        raise NotConfigured(
            f"{function!r} has no place in a module: give a function that stands at the top of one, or in a class"
        )
    return f"{module}:{path}"
