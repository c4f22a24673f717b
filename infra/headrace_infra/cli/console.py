"""Where the commands print, and the colours of statuses."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from headrace.core.run.record import RunStatus

out = Console()
errors = Console(stderr=True)

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
