"""`headrace waits`: which events, times and child runs tasks wait for, since when and until when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from headrace_infra.cli.console import (
    RUN_ID_COLUMNS,
    counted,
    errors,
    out,
    print_data,
    say,
    seconds,
)
from headrace_infra.cli.runs.found import record_of_run

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.clients.models.waits import Wait


def show_waits(
    app: Headrace,
    *,
    event: str | None,
    workflow: str | None,
    run_id: str | None,
    hours: float | None,
    limit: int,
    as_json: bool,
) -> None:
    """Print the waits that were asked for, of the newest runs first."""
    now_ms = app.engine.clock.now_ms()
    since = _time(now_ms) - timedelta(hours=hours) if hours is not None else None
    with errors.status("reading runs"):
        found = app.waits.list(
            event_key=event,
            workflow_ids=[workflow] if workflow else None,
            run_id=record_of_run(app, run_id).run_id if run_id else None,
            since=since,
            limit=limit,
        )
    if as_json:
        print_data([each.model_dump(mode="json") for each in found])
        return
    if not found:
        say("no task waits for an event, a time or a child run" + (f" ({escape(event)})" if event else ""))
        return
    out.print(_table(found, now_ms))
    if len(found) == limit:
        errors.print(f"the first {counted(limit, 'wait')}: more with --limit", style="dim")


def _table(found: list[Wait], now_ms: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("run", style="dim", no_wrap=True, min_width=RUN_ID_COLUMNS)
    for name in ("task", "node", "since", "ends in"):
        table.add_column(name, no_wrap=True)
    table.add_column("waits for")
    for each in found:
        table.add_row(
            each.run_id,
            escape(each.task_name),
            str(each.node_id) if each.node_id is not None else "-",
            seconds(max(0, now_ms - _ms(each.since))),
            seconds(max(0, _ms(each.until) - now_ms)) if each.until is not None else "-",
            escape(each.what),
        )
    return table


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
