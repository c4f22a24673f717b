"""Calls in processes of their own, forked from this one: what one leaves in memory reaches no other."""

from __future__ import annotations

import gc
import os
import pickle
import select
import signal
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from headrace.errors import HeadraceError

T = TypeVar("T")
PATIENCE_S = 60.0
"""How long one seed may take, in real time: code that sleeps or computes for longer would hold all others up."""


@dataclass(slots=True)
class _Child:
    pid: int
    descriptor: int
    until_s: float
    told: bytearray = field(default_factory=bytearray)


def alone(call: Callable[[], T]) -> T:
    """Call it in a child process, and give what it returns. HeadraceError with what it raised."""
    return next(in_children([call], 1))


def in_children(calls: Iterable[Callable[[], T]], jobs: int) -> Iterator[T]:
    """The results of calls, each in a child process, in their order; so many at once."""
    waiting = iter(calls)
    children: deque[_Child] = deque()
    try:
        while True:
            while len(children) < jobs and (call := next(waiting, None)) is not None:
                children.append(_fork(call))
            if not children:
                return
            yield _result(children.popleft(), children)
    finally:
        for child in children:
            _end(child)


def _fork(call: Callable[[], Any]) -> _Child:
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # a fork of a process with threads: none is used here
        pid = os.fork()
    if pid == 0:
        os.close(reading)
        _answer(call, writing)
    os.close(writing)
    return _Child(pid=pid, descriptor=reading, until_s=time.monotonic() + PATIENCE_S)


def _answer(call: Callable[[], Any], writing: int) -> None:
    """In the child: call, write down what came of it, and end at once, so that nothing is closed or gone on with."""
    status = 0
    gc.disable()  # it would copy all that the parent holds
    try:
        try:
            if QUIET:
                _silence()
            answer: tuple[bool, Any] = (True, call())
        except BaseException as error:  # noqa: BLE001  # told to the parent
            import traceback

            answer = (False, f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
        with os.fdopen(writing, "wb") as out:
            out.write(pickle.dumps(answer))
    except BaseException:  # noqa: BLE001  # whatever it is, the child ends here
        status = 1
    finally:
        os._exit(status)


QUIET = True
"""Whether what code prints is dropped: hundreds of worlds print the same."""


def _silence() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)


def _result(child: _Child, others: Iterable[_Child]) -> Any:
    try:
        while True:
            left_s = child.until_s - time.monotonic()
            ready, _, _ = select.select(
                [each.descriptor for each in (child, *others)], [], [], max(0.0, left_s)
            )
            if not ready and left_s <= 0:
                raise HeadraceError(
                    f"a seed took longer than {PATIENCE_S:g} s of real time: code that blocks, sleeps by other means than time.sleep or "
                    f"asyncio.sleep, or calls a real service, cannot be simulated: give it a fake"
                )
            for each in (child, *others):
                if each.descriptor in ready:
                    chunk = os.read(each.descriptor, 1 << 20)
                    each.told += chunk
                    if not chunk and each is child:
                        return _opened(child)
    finally:
        _end(child)


def _opened(child: _Child) -> Any:
    if not child.told:
        raise HeadraceError("a seed's process ended without a word: code under simulation has ended it")
    fine, value = pickle.loads(bytes(child.told))  # noqa: S301  # of our own child
    if not fine:
        raise HeadraceError(f"the simulation failed: {value}")
    return value


def _end(child: _Child) -> None:
    with suppress(OSError):
        os.close(child.descriptor)
    with suppress(OSError):
        os.kill(child.pid, signal.SIGKILL)
    with suppress(OSError):
        os.waitpid(child.pid, 0)
