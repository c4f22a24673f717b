"""Code around every task of an app: `hatchet.middleware`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from headrace.errors import DefinitionError

Hook = TypeVar("Hook", bound=Callable[..., Any])


class Middleware:
    """What runs before and after each attempt at a task of the app, in the worker and in `mock_run`.

        @hatchet.middleware.before
        def decrypt(input, ctx): ...      # returns another input, or None for the same

        @hatchet.middleware.after
        async def seal(output, ctx): ...  # returns another output, or None for the same

    Hooks are sync or async, whichever the task is. Before-hooks run in the order in which they were added, once the input is valid and
    before dependencies; after-hooks in the other order, and only where the task returned. What a hook raises ends the attempt as if
    the task had raised it. Around a durable task they run at every invocation.
    """

    def __init__(self) -> None:
        self._before: list[Callable[..., Any]] = []
        self._after: list[Callable[..., Any]] = []

    def before(self, hook: Hook) -> Hook:
        """Add `hook(input, ctx)`; use it as a decorator."""
        self._before.append(_checked(hook, "before"))
        return hook

    def after(self, hook: Hook) -> Hook:
        """Add `hook(output, ctx)`; use it as a decorator."""
        self._after.insert(0, _checked(hook, "after"))
        return hook

    @property
    def is_empty(self) -> bool:
        """Whether no hook was added."""
        return not (self._before or self._after)

    def begin(self, value: Any, ctx: Any) -> Any:
        """The input as the hooks leave it; async hooks run on the process's loop."""
        return _through(self._before, value, ctx)

    def end(self, value: Any, ctx: Any) -> Any:
        """The output as the hooks leave it; async hooks run on the process's loop."""
        return _through(self._after, value, ctx)

    async def aio_begin(self, value: Any, ctx: Any) -> Any:
        """As `begin`, for async code."""
        return await _aio_through(self._before, value, ctx)

    async def aio_end(self, value: Any, ctx: Any) -> Any:
        """As `end`, for async code."""
        return await _aio_through(self._after, value, ctx)


NONE = Middleware()
"""Of tasks whose app adds no hook."""


def _checked(hook: Callable[..., Any], kind: str) -> Callable[..., Any]:
    if not callable(hook) or len(inspect.signature(hook).parameters) != 2:
        what = "input" if kind == "before" else "output"
        raise DefinitionError(
            f"middleware.{kind} takes a function of two parameters, the {what} and the context, not {hook!r}"
        )
    return hook


def _through(hooks: list[Callable[..., Any]], value: Any, ctx: Any) -> Any:
    for hook in hooks:
        found = hook(value, ctx)
        if inspect.isawaitable(found):
            from headrace.runtime.loop import process_loop

            found = process_loop().run(_awaited(found))
        value = value if found is None else found
    return value


async def _aio_through(hooks: list[Callable[..., Any]], value: Any, ctx: Any) -> Any:
    for hook in hooks:
        found = hook(value, ctx)
        if inspect.isawaitable(found):
            found = await found
        value = value if found is None else found
    return value


async def _awaited(value: Any) -> Any:
    return await value
