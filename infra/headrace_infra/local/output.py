"""What the code of tasks prints and logs, line by line with its task and run; and `breakpoint()` at the terminal."""

from __future__ import annotations

import io
import logging
import os
import pdb
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from types import FrameType
from typing import Any, TextIO

from headrace.triggers.children import Spawner, current

ID_CHARACTERS = 8
NOT_SHOWN = ("botocore", "boto3", "urllib3", "asyncio", "s3transfer")
DEBUGGING_TIME = timedelta(hours=1)
"""How much longer an attempt may take whose code stops at a breakpoint."""


def prefix_of(spawner: Spawner | None) -> str:
    """`[greet 8825d795 #1] ` in the code of an attempt; nothing elsewhere."""
    if spawner is None:
        return ""
    row = spawner.record.tasks.get(spawner.task)
    attempt = row.retry_count + 1 if row is not None else 1
    return f"[{spawner.task} {spawner.record.run_id[:ID_CHARACTERS]} #{attempt}] "


class Lines(io.TextIOBase):
    """A text stream whose every line begins with the task and run that wrote it; lines of different tasks do not mix."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._raw = io.FileIO(descriptor, "w", closefd=False)
        self._parts: dict[str, str] = {}
        self._lock = threading.Lock()

    @property
    def buffer(self) -> io.RawIOBase:
        """For code that writes bytes: as they are, without a prefix."""
        return self._raw

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a plain attribute in the standard library's stubs
        return "utf-8"

    def write(self, text: str) -> int:
        prefix = prefix_of(current.get())
        with self._lock:
            *whole, rest = (self._parts.pop(prefix, "") + text).split("\n")
            if rest:
                self._parts[prefix] = rest
            self._put(prefix + line for line in whole)
        return len(text)

    def _put(self, lines: Any) -> None:
        data = "".join(f"{line}\n" for line in lines).encode(errors="replace")
        while data:
            data = data[os.write(self._descriptor, data) :]

    def finish(self) -> None:
        """Write what has no end of line yet."""
        with self._lock:
            parts, self._parts = self._parts, {}
            self._put(prefix + text for prefix, text in parts.items())


def capture() -> Lines:
    """Put `Lines` in the place of stdout and stderr."""
    lines = Lines(os.dup(1))
    stream: Any = lines
    sys.stdout = sys.stderr = stream
    return lines


def show_logging() -> None:
    """Show what is logged, from INFO on, unless the app, which is loaded, has set it up itself."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    for name in NOT_SHOWN:
        logging.getLogger(name).setLevel(logging.WARNING)
    own = logging.getLogger("headrace")
    own.setLevel(logging.WARNING)
    own.handlers.clear()  # Powertools' JSON is for CloudWatch
    own.propagate = True


# ---------------------------------------------------------------- the debugger

ENTERED = threading.Lock()
"""One debugger at a time has the terminal."""


class TerminalDebugger(pdb.Pdb):
    """pdb on the terminal of `headrace dev`, which shows nothing else meanwhile."""

    def __init__(self, terminal: TextIO, out: TextIO, leave: Callable[[], None]) -> None:
        super().__init__(stdin=terminal, stdout=out, nosigint=True)
        self._leave = leave
        self.prompt = f"{prefix_of(current.get())}(Pdb) "

    def set_continue(self) -> None:
        super().set_continue()
        self._leave()

    def set_quit(self) -> None:
        super().set_quit()
        self._leave()


def install_debugger(tell: Callable[[bool], None]) -> None:
    """Make `breakpoint()` a prompt at the terminal. `tell`: that it begins, which returns once the terminal is free, or ends."""

    def hook(*_: Any, **__: Any) -> None:
        frame = sys._getframe(1)
        terminal = _terminal()
        if terminal is None:
            print(
                f"breakpoint() at {frame.f_code.co_filename}:{frame.f_lineno} is passed over: there is no terminal"
            )
            return
        _debug(frame, *terminal, tell)

    sys.breakpointhook = hook


def _debug(frame: FrameType, terminal: TextIO, out: TextIO, tell: Callable[[bool], None]) -> None:
    spawner = current.get()
    if spawner is not None:
        spawner.context.refresh_timeout(DEBUGGING_TIME)
    ENTERED.acquire()
    tell(True)

    def leave() -> None:
        if ENTERED.locked():
            ENTERED.release()
            tell(False)

    TerminalDebugger(terminal, out, leave).set_trace(frame)


def _terminal() -> tuple[TextIO, TextIO] | None:
    try:
        return open("/dev/tty"), open("/dev/tty", "w", buffering=1)
    except OSError:
        return None
