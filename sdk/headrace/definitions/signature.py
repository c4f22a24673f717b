"""What a task's function says of itself: its parameters, the type of its input, the type of its output."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, get_args, get_origin, is_typeddict

from headrace.context.depends import hints_of
from headrace.errors import DefinitionError
from headrace.options.batch import BatchOptions

LONGEST_NAME = 128


def check_name(name: str, what: str) -> str:
    """A name that is usable everywhere; DefinitionError otherwise."""
    if not isinstance(name, str) or not name or len(name) > LONGEST_NAME:
        raise DefinitionError(f"{what}: a name has 1 to {LONGEST_NAME} characters")
    bad = sorted({char for char in name if char in "#/" or not char.isprintable()})
    if bad:
        raise DefinitionError(f"{what}: a name cannot hold {' '.join(repr(char) for char in bad)}")
    return name


def check_signature(fn: Callable[..., Any], where: str) -> None:
    """A task takes an input and a context, and dependencies after them."""
    if not callable(fn):
        raise DefinitionError(f"{where}: a task is a function, not {type(fn).__name__}")
    if len(inspect.signature(fn).parameters) < 2:
        raise DefinitionError(f"{where}: its function must take two parameters, the input and the context")


def input_type_of(fn: Callable[..., Any], declared: Any) -> Any:
    """The declared input type; without one, what the function's first parameter says, or EmptyModel."""
    if declared is not None:
        return declared
    first = next(iter(inspect.signature(fn).parameters), None)
    hint = hints_of(fn).get(first or "")
    if isinstance(hint, type) or is_typeddict(hint) or get_origin(hint) is dict:
        return hint
    from headrace.values.empty import EmptyModel

    return EmptyModel


def member_input_type_of(fn: Callable[..., Any], declared: Any) -> Any:
    """The input of one member of a batch: what is declared, or In where the function takes a `dict[BatchMemberId, In]`."""
    if declared is not None:
        return declared
    first = next(iter(inspect.signature(fn).parameters), None)
    hint = hints_of(fn).get(first or "")
    found = get_args(hint)[1] if get_origin(hint) is not None and len(get_args(hint)) == 2 else None
    if isinstance(found, type) or is_typeddict(found) or get_origin(found) is dict:
        return found
    from headrace.values.empty import EmptyModel

    return EmptyModel


def member_output(fn: Callable[..., Any], batch: BatchOptions) -> Any:
    """The output of one member: Out where the function returns a `dict[BatchMemberId, Out]`, or, of a broadcast, what it returns."""
    found = output_type_of(fn)
    if batch.broadcast_output:
        return found
    return get_args(found)[1] if len(get_args(found)) == 2 else Any


def output_type_of(fn: Callable[..., Any]) -> Any:
    """What the function says it returns; Any where it says nothing."""
    hint = hints_of(fn).get("return", Any)
    if get_origin(hint) in (Awaitable,) or (
        get_origin(hint) is not None and "Coroutine" in str(get_origin(hint))
    ):
        return get_args(hint)[-1]
    return hint
