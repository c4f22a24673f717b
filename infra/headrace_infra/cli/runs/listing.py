"""`headrace runs list` and `headrace workflows`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from headrace.core.run.record import RunStatus
from headrace.errors import NotConfigured
from headrace_infra.cli.console import RUN_ID_COLUMNS, counted, errors, out, painted, print_data, say, seconds

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.clients.models.runs import V1TaskSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which runs a command is about."""

    since: datetime
    statuses: Sequence[RunStatus]
    workflow: str | None
    metadata: Mapping[str, str]


def wanted(
    app: Headrace, workflow: str | None, statuses: Sequence[str], metadata: Sequence[str], *, hours: float
) -> Filter:
    """The options of a command as a filter. NotConfigured, which says what there is, where one cannot be."""
    found: list[RunStatus] = []
    for status in statuses:
        if status.upper() not in RunStatus.__members__:
            close = difflib.get_close_matches(status.upper(), list(RunStatus), n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise NotConfigured(f"{status!r} is not a status: {hint}statuses are {', '.join(RunStatus)}")
        found.append(RunStatus(status.upper()))
    pairs: dict[str, str] = {}
    for pair in metadata:
        key, sign, value = pair.partition("=")
        if not sign or not key:
            raise NotConfigured(f"--metadata {pair!r}: give key=value, such as --metadata customer=42")
        pairs[key] = value
    try:
        since = datetime.fromtimestamp(app.engine.clock.now_ms() / 1000, UTC) - timedelta(hours=hours)
    except OverflowError:
        since = datetime.fromtimestamp(0, UTC)
    return Filter(since=since, statuses=found, workflow=workflow, metadata=pairs)


def matching(app: Headrace, wanted: Filter, *, limit: int | None) -> list[V1TaskSummary]:
    """The runs, newest first. NotConfigured where there are none because no such workflow is known."""
    with errors.status("reading runs"):
        rows = app.runs.list_with_pagination(
            since=wanted.since,
            statuses=list(wanted.statuses) or None,
            workflow_ids=[wanted.workflow] if wanted.workflow else None,
            additional_metadata=wanted.metadata or None,
            limit=limit,
            include_payloads=False,
        )
    if not rows and wanted.workflow:
        _check_workflow(app, wanted.workflow)
    return rows


def _check_workflow(app: Headrace, name: str) -> None:
    from headrace.triggers.definition import find, no_such_workflow

    full = app.settings.apply_namespace(name)
    if find(app, full) is None:
        raise NotConfigured(no_such_workflow(app, full))


def list_runs(app: Headrace, wanted: Filter, *, limit: int, as_json: bool) -> None:
    """A table of runs, or all that is known of them."""
    rows = matching(app, wanted, limit=limit)
    if as_json:
        print_data([row.model_dump(mode="json") for row in rows])
        return
    if not rows:
        say(f"no runs in stack {escape(app.settings.stack)} since {wanted.since.astimezone():%Y-%m-%d %H:%M}")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("run", style="dim", no_wrap=True, min_width=RUN_ID_COLUMNS)
    for name in ("workflow", "status", "started", "took", "attempts"):
        table.add_column(name, no_wrap=name != "workflow")
    for row in rows:
        table.add_row(*_cells(row))
    out.print(table)
    if len(rows) == limit:
        errors.print(f"the newest {counted(limit, 'run')}: more with --limit", style="dim")


def _cells(row: V1TaskSummary) -> tuple[str, ...]:
    started = row.started_at.astimezone().strftime("%m-%d %H:%M:%S") if row.started_at else "-"
    ended = row.finished_at
    took = int((ended - row.created_at).total_seconds() * 1000) if ended is not None else None
    return (
        row.metadata.id,
        escape(row.workflow_name or ""),
        painted(RunStatus(row.status)),
        started,
        seconds(took),
        str(max([row.attempt, *(child.attempt for child in row.children)])),
    )


def list_workflows(app: Headrace, *, as_json: bool) -> None:
    """What the stack has published."""
    rows = app.workflows.list().rows
    if as_json:
        print_data([row.model_dump(mode="json") for row in rows])
        return
    for row in rows:
        say(f"{escape(row.name)}{'  [yellow]paused[/]' if row.is_paused else ''}")
    if not rows:
        say(f"stack {escape(app.settings.stack)} has published no workflow: deploy it, or run `headrace dev`")
