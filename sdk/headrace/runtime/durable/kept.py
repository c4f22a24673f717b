"""Suspended code: its coroutines stay where they stand, as long as there is room."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from headrace.runtime.durable.standing import Standing


class Suspended(Protocol):
    """A DurableRun whose code is suspended."""

    @property
    def standing(self) -> Standing: ...

    def leave(self) -> None: ...

    def close(self, why: str) -> None: ...


MOST_KEPT = 1_000
"""How many suspended tasks' coroutines a process keeps where they stand. The oldest are closed: only then their `finally` runs, and any
durable operation in it is refused."""

FULL = 0.6
"""The share of the process's memory above which half of them are closed: what else runs in it needs room."""

_kept: OrderedDict[int, tuple[Suspended, asyncio.Task[Any]]] = OrderedDict()


def keep(run: Suspended, main: asyncio.Task[Any]) -> None:
    """Leave the code where it stands, without its log: that is read anew when the task goes on. The oldest of too many are closed."""
    run.leave()
    run.standing.hush()
    _kept[id(main)] = (run, main)
    _close(len(_kept) // 2 if memory_used() > FULL else len(_kept) - MOST_KEPT)


def _close(count: int) -> None:
    for _ in range(count):
        _, (oldest, stopped) = _kept.popitem(last=False)
        oldest.close("the invocation has ended")
        stopped.cancel()


def memory_used() -> float:
    """The share of its memory that this process uses; 0.0 where no limit is known.

    The limit is Lambda's (`AWS_LAMBDA_FUNCTION_MEMORY_SIZE`, MB) or the container's (cgroup v2). Linux only.
    """
    limit_bytes = _memory_bytes()
    if limit_bytes is None:
        return 0.0
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / limit_bytes
    except (OSError, ValueError, IndexError):
        return 0.0


@cache
def _memory_bytes() -> int | None:
    of_lambda = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    if of_lambda.isdecimal():
        return int(of_lambda) * 1024 * 1024 or None
    try:
        of_container = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return None
    return int(of_container) if of_container.isdecimal() else None  # "max": no limit
