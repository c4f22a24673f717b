"""Run user code under its deadline.

Three ways, by what can be interrupted:
- async code: a task of the process's event loop, cancelled at the deadline;
- sync code on the main thread of a process that may be ended (Lambda, a worker process with one slot): an alarm raises
  TaskTimeout in it, which also ends `time.sleep` and other waits;
- sync code elsewhere: a thread of its own, which is told to stop (it does at its next bytecode) and then left behind; in a process
  with several slots the slot's own (`slots.called_here`).
Where the first two do not get through within a grace (C code that never returns), `last_words` records the outcome and the
process is ended.
"""

from __future__ import annotations

import contextvars
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from types import FrameType
from typing import TYPE_CHECKING, TypeAlias

from headrace.core.values import dataclass
from headrace.engine.attempts.ports import (
    EachEnded,
    Outcome,
    Raised,
    Runnable,
    Succeeded,
    SuspendedOnOperations,
    TaskTimeout,
    Work,
)
from headrace.runtime.control import LiveControl
from headrace.runtime.pulse import PULSE

if TYPE_CHECKING:
    from headrace.runtime.loop import ProcessLoop

CANCEL_GRACE_S = 1.0
"""How long an async task may react to `is_cancelled` before it is cancelled (Hatchet waits about 1 s)."""


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The deadline came first. Whether the code has ended, the attempt's control says."""

    limit_s: float


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The run was cancelled or the attempt fenced, and the code was told to end because of it."""


Ending: TypeAlias = Succeeded | Raised | SuspendedOnOperations | EachEnded | TimedOut | Interrupted
LastWords: TypeAlias = Callable[[TimedOut], None]


def execute(
    runnable: Runnable,
    work: Work,
    control: LiveControl,
    *,
    grace_s: float,
    stop_process: Callable[[str], None] | None,
    last_words: LastWords,
    context: contextvars.Context | None = None,
) -> Ending:
    """Run one attempt to its end, or to its deadline, in a context of its own (None: a copy of the caller's)."""
    context = context if context is not None else contextvars.copy_context()
    if runnable.is_async:
        return _execute_async(runnable, work, control, grace_s, stop_process, last_words, context)
    if stop_process is not None and threading.current_thread() is threading.main_thread():
        return _execute_with_alarm(runnable, work, control, grace_s, stop_process, last_words, context)
    return _execute_in_thread(runnable, work, control, grace_s, context)


# ---------------------------------------------------------------- async


def _execute_async(
    runnable: Runnable,
    work: Work,
    control: LiveControl,
    grace_s: float,
    stop_process: Callable[[str], None] | None,
    last_words: LastWords,
    context: contextvars.Context,
) -> Ending:
    from headrace.runtime.loop import abandon_process_loop, process_loop

    loop = process_loop()
    control.running.begins()
    future = loop.submit(
        runnable.acall(work), context=context, ended=control.running.ends, name=work.described
    )
    changed = threading.Event()
    ended: Future[Outcome] = future
    ended.add_done_callback(lambda _: changed.set())
    control.on_cancel(changed.set)
    timed_out = _await_end(ended, control, changed)
    if timed_out is None:
        control.running.wait(grace_s)
        return _async_ending(ended, control)
    if _end_async(loop, ended, grace_s):
        control.running.wait(grace_s)
        return timed_out
    if stop_process is not None:
        last_words(timed_out)
        stop_process("async code blocks its event loop past its deadline")
    abandon_process_loop(loop)
    return timed_out


def _await_end(future: Future[Outcome], control: LiveControl, changed: threading.Event) -> TimedOut | None:
    """Wait for the end, the deadline (which may move) or a cancellation. None: the future is done or cancelled."""
    while not future.done():
        remaining_s = control.remaining_s()
        if control.is_cancelled():
            changed.clear()
            if not future.done():
                changed.wait(min(CANCEL_GRACE_S, max(remaining_s, 0)))
            future.cancel()
            return None
        if remaining_s <= 0:
            return TimedOut(control.limit_s)
        changed.wait(remaining_s)
        if not future.done():
            changed.clear()
    return None


def _async_ending(future: Future[Outcome], control: LiveControl) -> Ending:
    from asyncio import CancelledError as AsyncCancelled

    try:
        return future.result(timeout=0)
    except (CancelledError, AsyncCancelled, TimeoutError):
        return cancelled_end(control)


def cancelled_end(control: LiveControl) -> Ending:
    """What it means that the code's asyncio task was cancelled."""
    if control.is_cancelled():
        return Interrupted()
    return raised_in_code("CancelledError", "the task cancelled itself")


def raised_in_code(kind: str, message: str) -> Raised:
    """An exception of the code that its own wrapper let through."""
    from headrace.core.run.record import ErrorInfo

    return Raised(ErrorInfo(type=kind, message=message))


def _end_async(loop: ProcessLoop, future: Future[Outcome], grace_s: float) -> bool:
    """Cancel the task; whether the loop is still alive afterwards."""
    future.cancel()
    answered = threading.Event()
    loop.loop.call_soon_threadsafe(answered.set)
    return answered.wait(grace_s)


# ---------------------------------------------------------------- sync, main thread


def _execute_with_alarm(
    runnable: Runnable,
    work: Work,
    control: LiveControl,
    grace_s: float,
    stop_process: Callable[[str], None],
    last_words: LastWords,
    context: contextvars.Context,
) -> Ending:
    timed_out = over = False

    def on_alarm(signum: int, frame: FrameType | None) -> None:
        nonlocal timed_out
        remaining_s = control.remaining_s()
        if over:
            return
        if remaining_s > 0:  # the deadline was moved
            signal.setitimer(signal.ITIMER_REAL, remaining_s)
            return
        timed_out = True
        raise TaskTimeout

    def watch() -> None:
        late_s = control.remaining_s() + grace_s
        if over:
            return
        if late_s > 0:  # the deadline was moved
            watchdogs.append(PULSE.after(late_s, watch))
            return
        last_words(TimedOut(control.limit_s))
        stop_process("sync code could not be interrupted at its deadline")

    previous = signal.signal(signal.SIGALRM, on_alarm)
    watchdogs = [PULSE.after(max(control.remaining_s(), 0) + grace_s, watch)]
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, max(control.remaining_s(), 0.001))
            control.running.begins()
            outcome = context.run(runnable.call, work)
        finally:
            over = True
            control.running.ends()
            PULSE.cancel(watchdogs[-1])
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
    except TaskTimeout:
        return TimedOut(control.limit_s)
    if timed_out:  # the code swallowed the exception and returned after its deadline
        return TimedOut(control.limit_s)
    return outcome


def end_process(reason: str) -> None:
    """End this process at once: the last resort for code that cannot be interrupted."""
    sys.stderr.write(f"headrace: ending the process: {reason}\n")
    sys.stderr.flush()
    os._exit(70)


# ---------------------------------------------------------------- sync, a thread of its own


def _execute_in_thread(
    runnable: Runnable, work: Work, control: LiveControl, grace_s: float, context: contextvars.Context
) -> Ending:
    result: Future[Outcome] = Future()

    def body() -> None:
        try:
            outcome = context.run(runnable.call, work)
        except BaseException as error:  # noqa: BLE001  # user code, TaskTimeout among it: handed to the waiting thread
            control.running.ends()
            result.set_exception(error)
        else:
            control.running.ends()
            result.set_result(outcome)

    control.running.begins()
    thread = threading.Thread(target=body, name=f"headrace-{work.task}", daemon=True)
    thread.start()
    while True:
        try:
            return result.result(timeout=max(control.remaining_s(), 0))
        except TaskTimeout:
            return TimedOut(control.limit_s)
        except TimeoutError:
            if result.done():
                raise
            if control.remaining_s() > 0:
                continue
            break
    if thread.ident is not None:
        raise_in(thread.ident, TaskTimeout)
    thread.join(grace_s)
    return TimedOut(control.limit_s)


def raise_in(thread_id: int, exception: type[BaseException] | None) -> None:
    """Have it raised in another thread, at that one's next bytecode. None: what was to be raised and has not been is not."""
    import ctypes  # only here, where code is stopped: loading it takes milliseconds of every cold start

    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread_id), ctypes.py_object(exception) if exception is not None else None
    )
