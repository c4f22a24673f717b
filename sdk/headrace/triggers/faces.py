"""The asynchronous face of a blocking method: the same call in a thread."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")


def aio(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """`aio_x = aio(x)`: `x` for callers on an event loop, which it does not block. Context variables go with it."""

    @functools.wraps(method)
    async def face(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        import asyncio

        return await asyncio.to_thread(method, self, *args, **kwargs)

    face.__name__ = f"aio_{method.__name__}"
    face.__qualname__ = f"{method.__qualname__.rpartition('.')[0]}.{face.__name__}".lstrip(".")
    face.__doc__ = f"As `{method.__name__}`, without blocking the event loop."
    return face
