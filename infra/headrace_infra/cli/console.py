"""Where the commands print, and the colours of statuses."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment

from headrace.core.run.record import RunStatus
from headrace.core.sealed import readable_text

PIPED_COLUMNS = 1_000
"""A pipe has no width: nothing is cut or wrapped for a reader that is a program."""
RUN_ID_COLUMNS = 36


def _columns(stream: object) -> int | None:
    is_terminal = getattr(stream, "isatty", lambda: False)()
    return None if is_terminal or "COLUMNS" in os.environ else PIPED_COLUMNS


_HARMLESS = {
    code: 0x2400 + code if code < 0x20 else 0x2421 if code == 0x7F else 0xFFFD
    for code in (*range(0x20), *range(0x7F, 0xA0))
    if chr(code) not in "\t\n"
}
"""Control characters of both sets, and the signs that show them."""


class SafeConsole(Console):
    """Shows the control characters of what it prints as signs (`␛[2J`): log lines and errors are texts of others, and an escape sequence
    in one could clear the terminal of its reader, set its title or write its clipboard. Colours and cursor moves of rich itself
    are no text and stay."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(harmless(segment.text), segment.style)


def harmless(text: str) -> str:
    """The text with each control character, but tabs and new lines, as the sign that shows it."""
    return text.translate(_HARMLESS)


out = SafeConsole(width=_columns(sys.stdout))
errors = SafeConsole(stderr=True, width=_columns(sys.stderr))

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
