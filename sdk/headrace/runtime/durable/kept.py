"""Suspended code: its coroutines stay where they stand, as long as there is room."""

from __future__ import annotations

import asyncio
import atexit
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.runtime.durable.run import DurableRun

MOST_KEPT = 1_000
"""How many suspended tasks' coroutines a process keeps where they stand. The oldest are closed: only then their `finally` runs, and any
durable operation in it is refused."""

_kept: OrderedDict[int, tuple[DurableRun, asyncio.Task[Any]]] = OrderedDict()


def keep(run: DurableRun, main: asyncio.Task[Any]) -> None:
    """Leave the code where it stands. The oldest of too many is closed."""
    _kept[id(main)] = (run, main)
    while len(_kept) > MOST_KEPT:
        _, (oldest, stopped) = _kept.popitem(last=False)
        oldest.close("the invocation has ended")
        stopped.cancel()


@atexit.register
def _go_quietly() -> None:
    """The process ends while code is suspended: nothing is lost, so asyncio need not complain of each coroutine on stderr."""
    for _, main in _kept.values():
        for task in asyncio.all_tasks(main.get_loop()):
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio has no public name for it
