"""What user code raised, as the record keeps it. Nothing that an exception does while it is looked at can raise in here."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import TracebackType

from headrace.core.run.record import ErrorInfo
from headrace.core.texts import storable
from headrace.errors import NonRetryableException

_HERE = str(Path(__file__).parents[1])


def info_of(error: BaseException) -> ErrorInfo:
    """Type, message and traceback of any exception, also of one whose `__str__` raises."""
    message = _message(error)
    return ErrorInfo(
        type=type(error).__name__, message=storable(message), trace=storable(_trace(error, message))
    )


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as second:  # noqa: BLE001  # user code: the attempt has failed already
        return f"(no message: {type(error).__name__}.__str__ raised {type(second).__name__})"


def _trace(error: BaseException, message: str) -> str:
    try:
        return "".join(traceback.format_exception(type(error), error, _users(error.__traceback__)))
    except BaseException:  # noqa: BLE001  # user code again, of this exception or of its causes
        frames = "".join(traceback.format_tb(_users(error.__traceback__)))
        return f"Traceback (most recent call last):\n{frames}{type(error).__name__}: {message}\n"


def _users(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without the frames of this package that lead to user code; whole where there is none of the user's."""
    found = trace
    while found is not None and found.tb_frame.f_code.co_filename.startswith(_HERE):
        found = found.tb_next
    return found


def is_final(error: BaseException) -> bool:
    """Whether no retry may follow: a NonRetryableException, or a group that holds one (`asyncio.TaskGroup` wraps its tasks' errors)."""
    if isinstance(error, BaseExceptionGroup):
        return any(is_final(each) for each in error.exceptions)
    return isinstance(error, NonRetryableException)
