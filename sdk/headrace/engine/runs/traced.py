"""An attempt under its span: only imported where a tracer is installed."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import assert_never

from headrace.core.run.record import ErrorInfo, RunRecord
from headrace.engine.attempts.ports import EachEnded, Host, Raised, Succeeded, SuspendedOnOperations
from headrace.runtime.deadline import Ending, Interrupted, TimedOut
from headrace.telemetry.tracing import (
    AttemptSpan,
    Ended,
    Failed,
    Returned,
    Stopped,
    Tracing,
    WentToSleep,
)


def begin(tracing: Tracing, host: Host, work: Sequence[tuple[RunRecord, str]]) -> tuple[AttemptSpan, Host]:
    """The span of an attempt, and the host whose code runs under it."""
    span = tracing.attempt(host.worker, work)

    def context() -> contextvars.Context:
        found = host.context()
        found.run(span.enter)
        return found

    stop = host.stop_process
    return span, replace(
        host, context=context, stop_process=_after(tracing, span, stop) if stop is not None else None
    )


def _after(tracing: Tracing, span: AttemptSpan, stop: Callable[[str], None]) -> Callable[[str], None]:
    """A process that has to be ended takes its spans along: they are handed on first."""

    def stop_process(reason: str) -> None:
        span.end(Failed(ErrorInfo(type="HatchetError", message=reason)))
        tracing.flush()
        stop(reason)

    return stop_process


def end(span: AttemptSpan, ending: Ending) -> str:
    """End the span as the attempt ended; its name, for the task's row."""
    span.end(_ended(ending))
    return span.name


def _ended(ending: Ending) -> Ended:
    match ending:
        case Succeeded() | EachEnded():
            return Returned()
        case Raised(error):
            return Failed(error)
        case TimedOut(limit_s):
            return Failed(ErrorInfo(type="HatchetError", message=f"Task exceeded timeout of {limit_s:g}s"))
        case SuspendedOnOperations():
            return WentToSleep()
        case Interrupted():
            return Stopped()
        case _:
            assert_never(ending)
