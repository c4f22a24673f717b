"""`headrace trigger` and `headrace runs`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from rich.markup import escape
from rich.table import Table

from headrace.app import Headrace
from headrace.core.run.graph import finished_at_ms, run_status, states
from headrace.core.run.record import RunRecord, RunStatus
from headrace.engine.runs.read import read
from headrace.engine.waits.points import waited_for
from headrace.engine.waits.views import places_in_line
from headrace.errors import FailedTaskRunExceptionGroup, NotConfigured
from headrace.triggers.outcomes import outcome_of
from headrace_infra.cli.apps import parsed_object
from headrace_infra.cli.console import errors, out, painted, seconds
from headrace_infra.cli.drawing import graph, waterfall


def trigger(
    app: Headrace, workflow: str, text: str, metadata: str, *, priority: int | None, wait: bool
) -> None:
    """Start a run; print its id or, with `wait`, its result as JSON."""
    stub = app.stubs.workflow(name=workflow, input_validator=dict)
    try:
        ref = stub.run(
            parsed_object(text, "--input"),
            wait_for_result=False,
            additional_metadata=parsed_object(metadata, "--metadata"),
            priority=priority,
        )
    except ValueError as error:
        raise NotConfigured(str(error)) from error
    if not wait:
        out.print(ref.workflow_run_id)
        return
    errors.print(f"run {ref.workflow_run_id}", style="dim")
    try:
        with errors.status("waiting for the result"):
            result = ref.result()
    except FailedTaskRunExceptionGroup as error:
        errors.print(f"[red]FAILED[/]\n{escape(str(error))}", highlight=False)
        raise SystemExit(1) from None
    except ValueError as error:
        raise NotConfigured(str(error)) from error
    out.print_json(json.dumps(result))


def list_runs(app: Headrace, workflow: str | None, statuses: list[str], *, hours: float, limit: int) -> None:
    """A table of runs."""
    try:
        wanted = [RunStatus(status.upper()) for status in statuses]
    except ValueError as error:
        raise NotConfigured(f"{error}: statuses are {', '.join(RunStatus)}") from error
    since = datetime.now(UTC) - timedelta(hours=hours)
    with errors.status("reading runs"):
        names = [workflow] if workflow else None
        rows = app.runs.list(since=since, statuses=wanted or None, workflow_ids=names, limit=limit).rows
    table = Table(box=None, pad_edge=False)
    for name in ("run", "workflow", "status", "started", "took", "attempts"):
        table.add_column(name, style="dim" if name == "run" else "")
    for row in rows:
        started = row.started_at.astimezone().strftime("%m-%d %H:%M:%S") if row.started_at else "-"
        took = (
            int((row.finished_at - row.started_at).total_seconds() * 1000)
            if row.finished_at and row.started_at
            else None
        )
        table.add_row(
            row.metadata.id,
            row.workflow_name or "",
            painted(RunStatus(row.status)),
            started,
            seconds(took),
            str(row.attempt),
        )
    out.print(table if rows else "no runs")


def _record(app: Headrace, run_id: str) -> RunRecord:
    record = read(app.engine, run_id)
    if record is None:
        raise NotConfigured(f"there is no run {run_id} in stack {app.settings.stack!r}")
    return record


def show(app: Headrace, run_id: str) -> None:
    """Everything about one run."""
    record = _record(app, run_id)
    status, ended_ms = run_status(record), finished_at_ms(record)
    took = seconds(ended_ms - record.created_at_ms if ended_ms is not None else None)
    out.print(f"[bold]{escape(record.plan.workflow)}[/]  {painted(status)}  {took}  [dim]{run_id}[/]")
    if record.parent is not None:
        out.print(f"[dim]child of {record.parent.run_id}, task {record.parent.task}[/]")
    if record.metadata:
        out.print(f"[dim]metadata {escape(json.dumps(dict(record.metadata)))}[/]")
    out.print()
    out.print(graph(record))
    out.print(waterfall(record, now_ms=app.engine.clock.now_ms(), width=max(20, out.width - 60)))
    _show_waiting(app, record)
    if status is RunStatus.CANCELLED and record.cancel_reason:
        out.print(f"[magenta]cancelled[/]: {escape(record.cancel_reason)}")
    if status is RunStatus.COMPLETED:
        out.print_json(json.dumps(outcome_of(app, record)))
    for name, row in record.tasks.items():
        if row.error is not None and row.settled:
            out.print(f"[red]{escape(name)}[/]: {escape(row.error.type)}: {escape(row.error.message)}")


def _show_waiting(app: Headrace, record: RunRecord) -> None:
    """What each parked task waits for, since when, and its place in the line."""
    places = places_in_line(app.engine, record)
    for name, state in states(record).items():
        what = waited_for(state)
        if what is None or state.row is None:
            continue
        since = seconds(app.engine.clock.now_ms() - (state.row.queued_at_ms or record.created_at_ms))
        place = f", number {places[name]} in line" if name in places else ""
        out.print(f"[yellow]{escape(name)}[/] waits for {escape(what)}, since {since}{place}")


def cancel_run(app: Headrace, run_id: str) -> None:
    _record(app, run_id)
    app.runs.cancel(run_id)
    out.print(f"{run_id}: {painted(run_status(_record(app, run_id)))}")


def logs(app: Headrace, run_id: str) -> None:
    """The run's lines, oldest first."""
    from headrace.engine.records.logs import read_lines

    _record(app, run_id)
    for line in read_lines(app.engine, run_id):
        at = datetime.fromtimestamp(line.at_ms / 1000, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
        out.print(f"[dim]{at} {line.task} #{line.retry_count + 1}[/] {escape(line.line)}", highlight=False)
