"""Dependency injection: `Annotated[T, Depends(fn)]` parameters are made before each attempt and closed after it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, ExitStack
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from headrace.core.values import dataclass
from headrace.errors import InvalidDependencyError
from headrace.runtime.loop import process_loop


@dataclass(frozen=True, slots=True)
class Depends:
    """Marks a parameter: `fn(input, ctx, *further dependencies)` makes its value.

    `fn` may be sync or async. What it gives is entered where it is a context manager, sync or async, by function or by class (a
    session, a client), and closed after the attempt: the parameter gets what entering gave.
    """

    fn: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Dependency:
    """A parameter's dependency, with those of its own function."""

    name: str
    fn: Callable[..., Any]
    needs: tuple[Dependency, ...]


def hints_of(fn: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function, each resolved by itself: a name that is imported for type checkers only hides no other."""
    try:
        return get_type_hints(fn, include_extras=True)
    except (NameError, TypeError, AttributeError):
        pass
    out: dict[str, Any] = {}
    for name, hint in getattr(fn, "__annotations__", {}).items():
        try:
            out.update(
                get_type_hints(_One({name: hint}), getattr(fn, "__globals__", {}), include_extras=True)
            )
        except (NameError, TypeError, AttributeError):
            continue
    return out


class _One:
    """Carries one annotation, as `get_type_hints` wants it."""

    def __init__(self, annotations: dict[str, Any]) -> None:
        self.__annotations__ = annotations


def _marker(hint: Any) -> Depends | None:
    hint = getattr(hint, "__value__", hint)  # a type alias
    if get_origin(hint) is Annotated:
        return next((each for each in get_args(hint)[1:] if isinstance(each, Depends)), None)
    return None


def dependencies_of(
    fn: Callable[..., Any], *, path: tuple[Callable[..., Any], ...] = ()
) -> tuple[Dependency, ...]:
    """The dependencies of a task's or a dependency's function. InvalidDependencyError names what is wrong with one."""
    hints = hints_of(fn)
    out: list[Dependency] = []
    for name in list(inspect.signature(fn).parameters)[2:]:
        marker = _marker(hints.get(name))
        if marker is None:
            _check_known(fn, name, hints)
            continue
        out.append(_dependency(name, marker.fn, (*path, fn)))
    return tuple(out)


def _check_known(fn: Callable[..., Any], name: str, hints: Mapping[str, Any]) -> None:
    """An annotation that names a dependency, and cannot be resolved, would leave its parameter without a value."""
    hint = getattr(fn, "__annotations__", {}).get(name)
    if name not in hints and isinstance(hint, str) and "Depends" in hint:
        raise InvalidDependencyError(
            f"parameter {name!r} of {getattr(fn, '__name__', fn)!r}: the annotation {hint!r} cannot be resolved; import its names "
            f"at the top of the module, not under TYPE_CHECKING"
        )


def _dependency(name: str, fn: Callable[..., Any], path: tuple[Callable[..., Any], ...]) -> Dependency:
    if fn in path:
        chain = " -> ".join(getattr(each, "__name__", repr(each)) for each in (*path, fn))
        raise InvalidDependencyError(f"dependencies form a cycle: {chain}")
    if len(inspect.signature(fn).parameters) < 2:
        raise InvalidDependencyError(
            f"dependency {getattr(fn, '__name__', fn)!r} of parameter {name!r} must take the task's input and its context"
        )
    return Dependency(name, fn, dependencies_of(inspect.unwrap(fn), path=path))


def resolve(
    wanted: tuple[Dependency, ...], given: Mapping[str, Any], input: Any, ctx: Any, stack: ExitStack
) -> dict[str, Any]:
    """The values of dependencies for sync code; what is async runs on the process's loop. `given` overrides by name."""
    out: dict[str, Any] = {}
    for each in wanted:
        if each.name in given:
            out[each.name] = given[each.name]
            continue
        value = each.fn(input, ctx, **resolve(each.needs, given, input, ctx, stack))
        if inspect.isawaitable(value):
            value = process_loop().run(_awaited(value))
        if hasattr(type(value), "__enter__"):
            value = stack.enter_context(value)
        elif hasattr(type(value), "__aenter__"):
            value = _enter_async(value, stack)
        out[each.name] = value
    return out


async def _awaited(value: Any) -> Any:
    return await value


def _enter_async(manager: Any, stack: ExitStack) -> Any:
    value = process_loop().run(manager.__aenter__())
    stack.push(lambda *error: process_loop().run(manager.__aexit__(*error)))
    return value


async def aio_resolve(
    wanted: tuple[Dependency, ...], given: Mapping[str, Any], input: Any, ctx: Any, stack: AsyncExitStack
) -> dict[str, Any]:
    """As `resolve`, for async code."""
    out: dict[str, Any] = {}
    for each in wanted:
        if each.name in given:
            out[each.name] = given[each.name]
            continue
        value = each.fn(input, ctx, **await aio_resolve(each.needs, given, input, ctx, stack))
        if inspect.isawaitable(value):
            value = await value
        if hasattr(type(value), "__aenter__"):
            value = await stack.enter_async_context(value)
        elif hasattr(type(value), "__enter__"):
            value = stack.enter_context(value)
        out[each.name] = value
    return out
