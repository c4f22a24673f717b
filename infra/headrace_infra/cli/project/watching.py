"""What `headrace dev` shows: lines as they come and, on a terminal, the newest runs below them."""

from __future__ import annotations

import re
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING

from rich.live import Live
from rich.markup import escape
from rich.table import Table

from headrace.core.run.record import RunStatus
from headrace.errors import HeadraceError
from headrace_infra.cli.console import RUN_ID_COLUMNS, out, painted, seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.app import Headrace
    from headrace.clients.models.runs import V1TaskSummary

SHOWN = 12
LOOK_EVERY_S = 1.0
PREFIX = re.compile(r"^\[[^\]]* #\d+\] ")
ENDED = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)


class View:
    """The terminal. While a debugger has it nothing is written: lines are held back until it ends."""

    def __init__(self, app: Headrace, writes: Callable[[], int] | None = None) -> None:
        self._app = app
        self._writes = writes
        self._seen: int | None = None
        self._live = (
            Live(Table(), console=out, auto_refresh=False, transient=True) if out.is_terminal else None
        )
        self._held: list[str] | None = None
        self._watches = False
        self._next_look = 0.0
        self._told: dict[str, RunStatus] = {}
        self._is_live = False

    def __enter__(self) -> View:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_live()

    # ---- lines

    def line(self, text: str) -> None:
        """A line of a task, as it wrote it."""
        found = PREFIX.match(text)
        shown = f"[dim]{escape(found[0])}[/]{escape(text[found.end() :])}" if found else escape(text)
        self._print(shown)

    def note(self, markup: str) -> None:
        self._print(markup)

    def problem(self, text: str) -> None:
        first, _, rest = text.partition("\n")
        self._print(f"[bold red]{escape(first)}[/]" + (f"\n{escape(rest)}" if rest else ""))

    def _print(self, markup: str) -> None:
        if self._held is not None:
            self._held.append(markup)
            return
        out.print(markup, highlight=False, soft_wrap=True)

    def hold(self, begins: bool) -> None:
        """Leave the terminal to a debugger, or take it back."""
        if begins:
            self._stop_live()
            self._held = []
            return
        held, self._held = self._held or [], None
        for markup in held:
            self._print(markup)

    # ---- runs

    def watch(self) -> None:
        """The stack is there: show its runs from now on."""
        self._watches = True

    def refresh(self) -> None:
        """Read the newest runs, at most once a second and only where something was written since, and show them: as a table on a terminal,
        else each end as a line."""
        if not self._watches or self._held is not None or monotonic() < self._next_look:
            return
        self._next_look = monotonic() + LOOK_EVERY_S
        writes = self._writes() if self._writes is not None else None
        if writes is not None and writes == self._seen:
            return
        try:
            rows = self._app.runs.list(limit=SHOWN, include_payloads=False).rows
        except HeadraceError:
            return  # the emulator is busy: the next look shows them
        self._seen = writes
        if self._live is not None:
            if not self._is_live:
                self._live.start()
                self._is_live = True
            self._live.update(_table(rows), refresh=True)
            return
        for row in reversed(rows):
            self._tell(row)

    def _tell(self, row: V1TaskSummary) -> None:
        if row.status in ENDED and self._told.get(row.metadata.id) is not row.status:
            self._told[row.metadata.id] = row.status
            self._print(f"{painted(row.status)} {escape(row.workflow_name)} {row.metadata.id} {_took(row)}")

    def _stop_live(self) -> None:
        if self._live is not None and self._is_live:
            self._live.stop()
            self._is_live = False


def _table(rows: list[V1TaskSummary]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("run", style="dim", no_wrap=True, min_width=RUN_ID_COLUMNS)
    for name in ("workflow", "status", "took", "attempts"):
        table.add_column(name)
    for row in rows:
        attempts = max([row.attempt, *(child.attempt for child in row.children)])
        table.add_row(
            row.metadata.id, escape(row.workflow_name), painted(row.status), _took(row), str(attempts)
        )
    return table


def _took(row: V1TaskSummary) -> str:
    if row.finished_at is None:
        return "-"
    return seconds(int((row.finished_at - row.created_at).total_seconds() * 1000))
