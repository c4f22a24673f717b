"""`headrace runs get` and `headrace runs logs`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from headrace.core.durable.views import OperationState
from headrace.core.run.derived.graph import states
from headrace.core.run.derived.progress import finished_at_ms, run_status
from headrace.core.run.record import RunRecord, RunStatus
from headrace.core.sealed import readable
from headrace.engine.records.logs import LogLine, read_lines
from headrace.engine.waits.points import waited_for
from headrace.engine.waits.views import places_in_line
from headrace_infra.cli.console import counted, out, painted, print_data, say, seconds
from headrace_infra.cli.runs.drawing import graph, waterfall
from headrace_infra.cli.runs.found import record_of_run

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.clients.models.runs import V1TaskSummary, V1WorkflowRunDetails

WIDEST_PICTURE = 140
LAST_LINES = 10
LAST_OPERATIONS = 20
LONGEST_RESULT = 120
STATE_COLOURS = {
    OperationState.OPEN: "yellow",
    OperationState.SATISFIED: "green",
    OperationState.GIVEN_UP: "magenta",
}
MOST_CHILDREN = 20
MOST_LINES = 1_000_000
OVER = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)
FOLLOW_S = 0.5


def show(app: Headrace, given: str, *, as_json: bool) -> None:
    """Everything about one run."""
    record = record_of_run(app, given)
    details = app.runs.get(record.run_id)
    children = _children(app, record)
    lines = list(read_lines(app.engine, record.run_id, limit=MOST_LINES))
    if as_json:
        print_data(
            details.model_dump(mode="json")
            | {
                "children": [child.model_dump(mode="json") for child in children],
                "logs": [_line_data(line) for line in lines],
            }
        )
        return
    _head(record)
    _payload("input", details.run.input)
    out.print()
    out.print(graph(record))
    width = max(20, min(out.width, WIDEST_PICTURE) - 60)
    out.print(waterfall(record, now_ms=app.engine.clock.now_ms(), width=width))
    _show_waiting(app, record)
    _show_durable_log(details)
    _show_outcome(record, details)
    _show_children(children)
    _show_log(lines, record.run_id)


def _head(record: RunRecord) -> None:
    status, ended_ms = run_status(record), finished_at_ms(record)
    took = seconds(ended_ms - record.created_at_ms if ended_ms is not None else None)
    created = datetime.fromtimestamp(record.created_at_ms / 1000, UTC).astimezone()
    say(f"[bold]{escape(record.plan.workflow)}[/]  {painted(status)}  {took}  [dim]{record.run_id}[/]")
    say(f"[dim]created {created:%Y-%m-%d %H:%M:%S %z}[/]")
    if record.parent is not None:
        say(f"[dim]child of {record.parent.run_id}, task {escape(record.parent.task)}[/]")
    if record.metadata:
        say(f"[dim]metadata {escape(json.dumps(dict(record.metadata), ensure_ascii=False))}[/]")


def _payload(name: str, value: object) -> None:
    say(f"[bold]{name}[/] {escape(json.dumps(readable(value), ensure_ascii=False, default=str))}")


def _show_waiting(app: Headrace, record: RunRecord) -> None:
    """What each parked task waits for, since when, and its place in the line."""
    places = places_in_line(app.engine, record)
    for name, state in states(record).items():
        what = waited_for(state, record.plan.task(name))
        if what is None:
            continue
        since_ms = state.row.queued_at_ms if state.row is not None else state.due_since_ms
        since = seconds(app.engine.clock.now_ms() - (since_ms or record.created_at_ms))
        place = f", number {places[name]} in line" if name in places else ""
        say(f"[yellow]{escape(name)}[/] waits for {escape(what)}, since {since}{place}")


def _show_durable_log(details: V1WorkflowRunDetails) -> None:
    """What each durable task has asked for: the last operations, by node."""
    for task in details.tasks:
        log = task.durable_log or []
        if not log:
            continue
        say(f"[bold]durable log of {escape(task.task_name or '')}[/]")
        for entry in log[-LAST_OPERATIONS:]:
            colour = STATE_COLOURS[entry.state]
            result = "" if entry.result is None else json.dumps(entry.result, ensure_ascii=False)
            short = result if len(result) <= LONGEST_RESULT else f"{result[: LONGEST_RESULT - 3]}..."
            say(
                f"  [dim]node {entry.node_id:>3}[/]  {entry.kind.value:8}  [{colour}]{entry.state.value:9}[/]  "
                f"{escape(entry.asked)}  [dim]{escape(short)}[/]".rstrip()
            )
        if len(log) > LAST_OPERATIONS:
            say(f"  [dim]the last {LAST_OPERATIONS} of {counted(len(log), 'operation')}: all with -o json[/]")


def _show_outcome(record: RunRecord, details: V1WorkflowRunDetails) -> None:
    """The output, or why there is none: each error with its traceback, and what became of earlier attempts."""
    status = run_status(record)
    if status is RunStatus.CANCELLED and record.cancel_reason:
        say(f"[magenta]cancelled[/]: {escape(record.cancel_reason)}")
    if status is RunStatus.COMPLETED:
        _payload("output", details.run.output)
    for name, row in record.tasks.items():
        if row.retry_count:
            _show_attempts(name, details)
        if row.error is not None and row.settled:
            say(f"[red]{escape(name)}[/]: {escape(row.error.type)}: {escape(row.error.message)}")
            if row.error.trace:
                say(f"[dim]{escape(row.error.trace.rstrip())}[/]")


ENDS = ("FINISHED", "FAILED", "TIMED_OUT", "CANCELLED", "REASSIGNED", "RETRYING", "RETRIED_BY_USER")


def _show_attempts(task: str, details: V1WorkflowRunDetails) -> None:
    """How each attempt ended. A traceback is shown where it differs from the one before; that of the last attempt follows."""
    shown = details.run.error_message or ""
    for event in details.task_events:
        named = (event.task_display_name or "").rpartition("-")[0]
        if named != task or event.event_type.value not in ENDS:
            continue
        at = event.timestamp.astimezone().strftime("%H:%M:%S")
        why, _, trace = (event.error_message or event.message).strip().partition("\n")
        say(f"[dim]{at} {escape(task)} attempt {event.attempt} {event.event_type.value}: {escape(why)}[/]")
        if trace and trace not in shown:
            say(f"[dim]{escape(trace)}[/]")
            shown = trace


def _children(app: Headrace, record: RunRecord) -> list[V1TaskSummary]:
    since = datetime.fromtimestamp(record.created_at_ms / 1000, UTC)
    return app.runs.list_with_pagination(
        since=since, parent_task_external_id=record.run_id, limit=MOST_CHILDREN + 1, include_payloads=False
    )


def _show_children(children: list[V1TaskSummary]) -> None:
    if children:
        say("[bold]children[/]")
    for child in children[:MOST_CHILDREN]:
        say(f"  [dim]{child.metadata.id}[/]  {escape(child.workflow_name)}  {painted(child.status)}")
    if len(children) > MOST_CHILDREN:
        say(f"  [dim]the newest {MOST_CHILDREN} of more[/]")


def _show_log(lines: list[LogLine], run_id: str) -> None:
    if lines:
        say("[bold]log[/]")
    for line in lines[-LAST_LINES:]:
        say(f"  {_line(line)}")
    if len(lines) > LAST_LINES:
        say(f"  [dim]the last {LAST_LINES} of {counted(len(lines), 'line')}: headrace runs logs {run_id}[/]")


# ---------------------------------------------------------------- logs


def logs(app: Headrace, given: str, *, follow: bool, as_json: bool) -> None:
    """The run's lines, oldest first; `follow` goes on until the run has ended. JSON is one object a line."""
    record = record_of_run(app, given)
    seen: set[tuple[str, int, int, str]] = set()
    while True:
        over = run_status(record) in OVER
        _print_new(read_lines(app.engine, record.run_id, limit=MOST_LINES), seen, as_json=as_json)
        if not follow or over:
            return
        app.engine.clock.sleep(FOLLOW_S)
        record = record_of_run(app, record.run_id)


def _print_new(lines: Iterable[LogLine], seen: set[tuple[str, int, int, str]], *, as_json: bool) -> None:
    for line in lines:
        key = (line.task, line.at_ms, line.retry_count, line.line)
        if key in seen:
            continue
        seen.add(key)
        if as_json:
            sys.stdout.write(json.dumps(_line_data(line), ensure_ascii=False) + "\n")
            sys.stdout.flush()
        else:
            say(_line(line))


def _line(line: LogLine) -> str:
    at = datetime.fromtimestamp(line.at_ms / 1000, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
    return f"[dim]{at} {escape(line.task)} #{line.retry_count + 1}[/] {escape(line.line)}"


def _line_data(line: LogLine) -> dict[str, Any]:
    return {
        "at_ms": line.at_ms,
        "task": line.task,
        "attempt": line.retry_count + 1,
        "level": line.level,
        "line": line.line,
    }
