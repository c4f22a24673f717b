"""Dependency injection: `Annotated[T, Depends(fn)]` parameters are made before each attempt and closed after it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, ExitStack, _AsyncGeneratorContextManager, _GeneratorContextManager
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from headrace.errors import InvalidDependencyError
from headrace.runtime.loop import process_loop


@dataclass(frozen=True, slots=True)
class Depends:
    """Marks a parameter: `fn(input, ctx, *further dependencies)` makes its value.

    `fn` may be sync, async, a context manager or an async context manager; the last two are closed after the attempt.
    """

    fn: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Dependency:
    """A parameter's dependency, with those of its own function."""

    name: str
    fn: Callable[..., Any]
    needs: tuple[Dependency, ...]


def hints_of(fn: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function, resolved as far as they can be."""
    try:
        return get_type_hints(fn, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {
            name: hint
            for name, hint in getattr(fn, "__annotations__", {}).items()
            if not isinstance(hint, str)
        }


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
            continue
        out.append(_dependency(name, marker.fn, (*path, fn)))
    return tuple(out)


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
        elif isinstance(value, _AsyncGeneratorContextManager):
            value = _enter_async(value, stack)
        elif isinstance(value, _GeneratorContextManager):
            value = stack.enter_context(value)
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
        elif isinstance(value, _AsyncGeneratorContextManager):
            value = await stack.enter_async_context(value)
        elif isinstance(value, _GeneratorContextManager):
            value = stack.enter_context(value)
        out[each.name] = value
    return out
