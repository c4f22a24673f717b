"""Where the commands print, and the colours of statuses."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape

from headrace.core.run.record import RunStatus
from headrace.core.sealed import readable_text

PIPED_COLUMNS = 1_000
"""A pipe has no width: nothing is cut or wrapped for a reader that is a program."""
RUN_ID_COLUMNS = 36


def _columns(stream: object) -> int | None:
    is_terminal = getattr(stream, "isatty", lambda: False)()
    return None if is_terminal or "COLUMNS" in os.environ else PIPED_COLUMNS


out = Console(width=_columns(sys.stdout))
errors = Console(stderr=True, width=_columns(sys.stderr))

COLOURS = {
    RunStatus.QUEUED: "yellow",
    RunStatus.RUNNING: "cyan",
    RunStatus.COMPLETED: "green",
    RunStatus.FAILED: "red",
    RunStatus.CANCELLED: "magenta",
}


def complain(text: str) -> None:
    """An error, as one sentence; square brackets in it are no markup."""
    errors.print(f"[bold red]error:[/] {escape(text)}", highlight=False, soft_wrap=True)


def print_data(data: Mapping[str, object] | Sequence[object]) -> None:
    """JSON for a program, whole: never wrapped or cut. Coloured on a terminal."""
    text = json.dumps(data, indent=2, ensure_ascii=False, default=str)
    if out.is_terminal:
        out.print_json(text)
    else:
        sys.stdout.write(f"{text}\n")


def say(text: str) -> None:
    """A line of markup for a person, not wrapped."""
    out.print(readable_text(text), highlight=False, soft_wrap=True)


def counted(count: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def painted(status: RunStatus) -> str:
    """A status in its colour."""
    return f"[{COLOURS[status]}]{status.value}[/]"


def seconds(milliseconds: int | None) -> str:
    """A span for a person."""
    if milliseconds is None:
        return "-"
    if milliseconds < 1_000:
        return f"{milliseconds} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.1f} s"
    return f"{milliseconds // 60_000} min {milliseconds % 60_000 // 1000} s"
