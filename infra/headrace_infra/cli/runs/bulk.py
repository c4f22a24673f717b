"""Bulk operations on the command line: watched until their end, and listed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headrace.clients.models.runs import BulkCancelReplayOpts
from headrace.errors import HeadraceError
from headrace_infra.cli.console import RUN_ID_COLUMNS, counted, errors, out, print_data, say

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.clients.models.bulk import BulkOperation

DONE = {"cancel": "cancelled", "replay": "replayed"}


def cancel_all(app: Headrace, ids: Sequence[str], *, wait: bool) -> None:
    """Have the stack cancel these runs."""
    _follow(app, app.runs.bulk_cancel(BulkCancelReplayOpts(ids=list(ids))), wait=wait)


def replay_all(app: Headrace, ids: Sequence[str], *, only_failed: bool, wait: bool) -> None:
    """Have the stack replay these runs."""
    asked = app.runs.bulk_replay(BulkCancelReplayOpts(ids=list(ids)), only_failed=only_failed)
    _follow(app, asked, wait=wait)


def _follow(app: Headrace, asked: BulkOperation, *, wait: bool) -> None:
    later = f"look with: headrace runs bulk {asked.id}"
    if not wait:
        say(f"{counted(asked.total or 0, 'run')} to {asked.kind} inside the stack: {later}")
        return
    try:
        _tell(_watched(app, asked))
    except KeyboardInterrupt:
        errors.print(f"it goes on inside the stack: {later}")
        raise


def _watched(app: Headrace, asked: BulkOperation) -> BulkOperation:
    """A bar on a terminal, until the operation has ended."""
    from rich.progress import Progress

    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task(asked.kind, total=asked.total)
        for found in app.runs.watch_bulk(asked.id):
            bar.update(task, completed=found.done + found.refused, total=found.total)
    return found


def _tell(found: BulkOperation) -> None:
    """What came of it. HeadraceError where it was stopped, or some runs could not be done."""
    say(f"{counted(found.done, 'run')} {DONE[found.kind]}")
    for reason in found.reasons:
        errors.print(reason, markup=False)
    if found.status == "STOPPED":
        raise HeadraceError(f"bulk operation {found.id} was stopped after {counted(found.looked_at, 'run')}")
    if found.refused:
        raise HeadraceError(f"{counted(found.refused, 'run')} could not be {DONE[found.kind]}")


def show(app: Headrace, bulk_id: str | None, *, as_json: bool) -> None:
    """One operation, or all of the last 7 days, the newest first."""
    rows = [app.runs.get_bulk(bulk_id)] if bulk_id else app.runs.list_bulk()
    if as_json:
        found = [row.model_dump(mode="json") for row in rows]
        print_data(found[0] if bulk_id else found)
        return
    if not rows:
        say("no bulk operation in the last 7 days")
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("operation", style="dim", no_wrap=True, min_width=RUN_ID_COLUMNS)
    refused = any(row.refused for row in rows)
    for name, width in (("what", 6), ("status", 7), ("done", 6), *([("refused", 7)] if refused else [])):
        table.add_column(name, no_wrap=True, min_width=width)
    table.add_column("asked for")
    for row in rows:
        total = "?" if row.total is None else f"{row.total:,}"
        cells = [row.id, row.kind, row.status, f"{row.done:,} of {total}"]
        asked = row.created_at.astimezone().strftime("%m-%d %H:%M:%S")
        table.add_row(*cells, *([f"{row.refused:,}"] if refused else []), asked)
    out.print(table)
    for reason in rows[0].reasons if bulk_id else ():
        out.print(reason, markup=False)
