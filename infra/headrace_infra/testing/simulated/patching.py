"""While a world runs, `time.sleep`, `time.time`, `time.monotonic`, `random` and `uuid.uuid4` are the world's for the code that it runs."""

from __future__ import annotations

import logging
import random
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import headrace.runtime.control
from headrace.memory.clock import VirtualClock
from headrace_infra.loading import INSTALLED, OWN
from headrace_infra.testing.simulated.process import current, sleep

REAL_SLEEP, REAL_TIME, REAL_MONOTONIC, REAL_COUNTER = time.sleep, time.time, time.monotonic, time.perf_counter
REAL_UUID4 = uuid.uuid4


def users_modules() -> list[dict[str, Any]]:
    """The globals of modules that are neither installed nor Headrace's: where `from time import sleep` has left names."""
    loaded = len(sys.modules)
    if loaded not in _found:  # to look through all of them costs a forked process more than a whole world
        _found.clear()
        _found[loaded] = [vars(module) for name, module in list(sys.modules.items()) if _is_users(name)]
    return _found[loaded]


_found: dict[int, list[dict[str, Any]]] = {}


@cache
def _is_users(name: str) -> bool:
    file = getattr(sys.modules[name], "__file__", None)
    if not file or file.startswith("<"):
        return False
    path = str(Path(file).resolve())
    return "site-packages" not in path and not any(path.startswith(f"{at}/") for at in (*OWN, *INSTALLED))


@contextmanager
def replaced(swaps: dict[Any, Any], modules: list[dict[str, Any]]) -> Iterator[None]:
    """Each global of these modules that is a key of `swaps`, by identity, is its value for the length of the block."""
    by_id = {id(before): after for before, after in swaps.items()}
    undo = [
        (names, name, value)
        for names in modules
        for name, value in list(names.items())
        if id(value) in by_id and callable(value)
    ]
    for names, name, value in undo:
        names[name] = by_id[id(value)]
    try:
        yield
    finally:
        for names, name, value in undo:
            names[name] = value


@contextmanager
def _without_lines_of_attempts() -> Iterator[None]:
    """A world tells how its runs ended: the lines of attempts that fail in it are left out."""
    logger = logging.getLogger("headrace.attempts")

    def outside(record: logging.LogRecord) -> bool:
        return current() is None

    logger.addFilter(outside)
    try:
        yield
    finally:
        logger.removeFilter(outside)


@contextmanager
def virtual_time(clock: VirtualClock, seed: int) -> Iterator[None]:
    """Virtual time and seeded randomness for simulated processes; everything else keeps its own."""

    def either(virtual: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
        def chosen(*args: Any) -> Any:
            return virtual(*args) if current() is not None else real(*args)

        return chosen

    ids = Random(f"uuid {seed}")
    swaps: dict[Any, Any] = {
        REAL_SLEEP: either(sleep, REAL_SLEEP),
        REAL_TIME: either(lambda: clock.now_ms() / 1000, REAL_TIME),
        REAL_MONOTONIC: either(lambda: clock.now_ms() / 1000, REAL_MONOTONIC),
        REAL_COUNTER: either(lambda: clock.now_ms() / 1000, REAL_COUNTER),
        REAL_UUID4: either(lambda: uuid.UUID(int=ids.getrandbits(128), version=4), REAL_UUID4),
    }
    state = random.getstate()
    random.seed(f"headrace {seed}")
    with ExitStack() as stack:
        stack.callback(random.setstate, state)
        for module, name, real in (
            (time, "sleep", REAL_SLEEP),
            (time, "time", REAL_TIME),
            (time, "monotonic", REAL_MONOTONIC),
            (time, "perf_counter", REAL_COUNTER),
            (uuid, "uuid4", REAL_UUID4),
        ):
            stack.enter_context(patch.object(module, name, swaps[real]))
        stack.enter_context(
            patch.object(headrace.runtime.control, "monotonic", lambda: clock.now_ms() / 1000)
        )
        stack.enter_context(replaced(swaps, users_modules()))
        stack.enter_context(_without_lines_of_attempts())
        yield
