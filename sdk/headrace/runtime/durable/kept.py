"""Suspended code: its coroutines stay where they stand, as long as there is room, and may go on there."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from headrace.engine.attempts.ports import DurableLog, Outcome, Work
    from headrace.runtime.durable.standing import Standing


class Suspended(Protocol):
    """A DurableRun whose code is suspended."""

    @property
    def standing(self) -> Standing: ...

    @property
    def where(self) -> str: ...

    @property
    def task(self) -> object: ...

    @property
    def stays(self) -> bool: ...

    def leave(self) -> int: ...

    def forget(self) -> int: ...

    def goes_on(self, log: DurableLog) -> bool: ...

    async def go_on(self, work: Work) -> Outcome: ...

    def close(self, why: str) -> None: ...


MOST_KEPT = 1_000
"""How many suspended tasks' coroutines a process keeps where they stand. The oldest are closed: only then their `finally` runs, and any
durable operation in it is refused."""

FULL = 0.6
"""The share of the process's memory above which half of them are closed: what else runs in it needs room."""

MOST_OPERATIONS = 100_000
"""Of how many operations a process keeps the log beside the code, about 60 MB: that code can go on where it stands. The oldest go first."""

_kept: OrderedDict[int, tuple[Suspended, asyncio.Task[Any]]] = OrderedDict()


class Staying:
    """Those that can go on, by whose code it is, up to a number of operations in their logs."""

    def __init__(self) -> None:
        self._found: OrderedDict[str, tuple[Suspended, asyncio.Task[Any], int]] = OrderedDict()
        self._operations = 0

    def __len__(self) -> int:
        return len(self._found)

    def add(self, run: Suspended, main: asyncio.Task[Any], operations: int) -> None:
        """The oldest of too many go on no more."""
        self._found[run.where] = (run, main, operations)
        self._operations += operations
        while len(self._found) > 1 and self._operations > MOST_OPERATIONS:
            self.forget(next(iter(self._found)))

    def get(self, where: str) -> tuple[Suspended, asyncio.Task[Any]] | None:
        found = self._found.get(where)
        return found[:2] if found is not None else None

    def take(self, where: str) -> None:
        """It goes on."""
        self._operations -= self._found.pop(where)[2]

    def forget(self, where: str) -> None:
        """It goes on no more, and stays."""
        found = self._found.get(where)
        if found is not None:
            self.take(where)
            found[0].forget()


_staying = Staying()


def keep(run: Suspended, main: asyncio.Task[Any]) -> None:
    """Leave the code where it stands, with its log where it can go on. The oldest of too many are closed."""
    operations = run.leave()
    run.standing.hush()
    _staying.forget(run.where)
    _kept[id(main)] = (run, main)
    if run.stays:
        _staying.add(run, main, operations)
    _close(len(_kept) // 2 if memory_used() > FULL else len(_kept) - MOST_KEPT)


def taken(where: str, task: object, log: Callable[[], DurableLog]) -> Suspended | None:
    """The kept code of a run's task that goes on with this log. None: the task runs from its first line."""
    found = _staying.get(where)
    if found is None:
        return None
    run, main = found
    if run.task is not task or not run.goes_on(log()):
        _staying.forget(where)
        return None
    _staying.take(where)
    del _kept[id(main)]
    return run


def _close(count: int) -> None:
    for _ in range(count):
        _, (oldest, stopped) = _kept.popitem(last=False)
        if oldest.stays:
            _staying.forget(oldest.where)
        oldest.close("the invocation has ended")
        stopped.cancel()


def forget_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Let go of what was kept on an event loop that is over."""
    for key, (run, task) in list(_kept.items()):
        if task.get_loop() is loop:
            _staying.forget(run.where)
            del _kept[key]


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
