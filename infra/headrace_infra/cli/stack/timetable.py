"""Crons and scheduled runs, printed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import typer
from rich.markup import escape
from rich.table import Table

from headrace.app import Headrace
from headrace.clients.models.schedules import CronWorkflows, ScheduledRunStatus, ScheduledWorkflows
from headrace_infra.cli.console import RUN_ID_COLUMNS, counted, errors, out, print_data, say


def time_of(text: str) -> datetime:
    """A time; UTC where it names no zone. BadParameter for anything else."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is not a time: give one such as 2026-12-24T18:00:00+01:00"
        ) from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def list_crons(app: Headrace, workflow: str | None, *, limit: int, as_json: bool) -> None:
    """A table of crons, or all that is known of them."""
    with errors.status("reading crons"):
        found = app.cron.list(limit=limit, workflow_name=workflow)
    if as_json:
        print_data([row.model_dump(mode="json") for row in found.rows])
        return
    if not found.rows:
        say(f"no crons in stack {escape(app.settings.stack)}")
        return
    table = _table("cron", "workflow", "name", "expression", "time zone", "next")
    for row in found.rows:
        table.add_row(*_cron_cells(row))
    out.print(table)
    _more(len(found.rows), found.pagination.next_page, "cron")


def show_cron(row: CronWorkflows, *, as_json: bool) -> None:
    if as_json:
        print_data(row.model_dump(mode="json"))
    else:
        say(
            f"created cron {row.metadata.id}: workflow {escape(row.workflow_name)} runs next at {_time(row.next_at)}"
        )


def _cron_cells(row: CronWorkflows) -> tuple[str, ...]:
    name = escape(row.name or "") if row.method == "API" else "[dim]declared[/]"
    return (
        row.metadata.id,
        escape(row.workflow_name),
        name,
        escape(row.cron),
        escape(row.timezone),
        _time(row.next_at),
    )


def list_schedules(
    app: Headrace, workflow: str | None, statuses: Sequence[str], *, limit: int, as_json: bool
) -> None:
    """A table of scheduled runs, or all that is known of them."""
    wanted = [_status(each) for each in statuses] or None
    with errors.status("reading scheduled runs"):
        found = app.scheduled.list(limit=limit, workflow_id=workflow, statuses=wanted)
    if as_json:
        print_data([row.model_dump(mode="json") for row in found.rows])
        return
    if not found.rows:
        say(f"no scheduled runs in stack {escape(app.settings.stack)}")
        return
    table = _table("scheduled", "workflow", "at", "status", "run")
    for row in found.rows:
        table.add_row(*_schedule_cells(row))
    out.print(table)
    _more(len(found.rows), found.pagination.next_page, "scheduled run")


def show_schedule(row: ScheduledWorkflows, *, as_json: bool) -> None:
    if as_json:
        print_data(row.model_dump(mode="json"))
    else:
        say(
            f"scheduled {row.metadata.id}: workflow {escape(row.workflow_name)} runs at {_time(row.trigger_at)}, as run {row.workflow_run_id}"
        )


def _schedule_cells(row: ScheduledWorkflows) -> tuple[str, ...]:
    started = row.workflow_run_status is not ScheduledRunStatus.SCHEDULED
    run = escape(row.problem) if row.problem else row.workflow_run_id if started else ""
    return (
        row.metadata.id,
        escape(row.workflow_name),
        _time(row.trigger_at),
        row.workflow_run_status.value,
        run,
    )


def _status(text: str) -> ScheduledRunStatus:
    try:
        return ScheduledRunStatus(text.upper())
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is not a status: give one of {', '.join(ScheduledRunStatus)}"
        ) from error


def _table(first: str, *names: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(first, style="dim", no_wrap=True, min_width=RUN_ID_COLUMNS)
    for name in names:
        table.add_column(name)
    return table


def _time(at: datetime | None) -> str:
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z") if at is not None else "never"


def _more(shown: int, next_page: int | None, noun: str) -> None:
    if next_page is not None:
        errors.print(f"the first {counted(shown, noun)}: more with --limit", style="dim")
