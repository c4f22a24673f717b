"""A run in the terminal: its graph by layers, and a waterfall of waiting and running."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from headrace.core.run.derived.graph import TaskState, states
from headrace.core.run.derived.progress import finished_at_ms, public_status
from headrace.core.run.record import RunRecord, TaskStatus
from headrace_infra.cli.console import COLOURS, seconds


def layers(record: RunRecord) -> list[list[str]]:
    """Tasks by their distance from the roots."""
    depth: dict[str, int] = {}
    for task in record.plan.tasks:
        depth[task.name] = max((depth[parent] + 1 for parent in task.parents), default=0)
    out: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for name, level in depth.items():
        out[level].append(name)
    return out


def graph(record: RunRecord) -> RenderableType:
    """One line a layer; after each task, in brackets, the parents it waits for."""
    found = states(record)
    lines: list[Text] = []
    for number, names in enumerate(layers(record)):
        line = Text("   " * number + ("└─ " if number else ""))
        for place, name in enumerate(names):
            if place:
                line.append("   ")
            line.append_text(_task(record, name, found.get(name)))
        lines.append(line)
    return Group(*lines, Text(""))


def _task(record: RunRecord, name: str, state: TaskState | None) -> Text:
    if state is None:
        return Text(f"○ {name}", style="dim")
    colour = COLOURS[public_status(state.status)]
    mark = {"COMPLETED": "●", "SKIPPED": "◌", "FAILED": "✗", "CANCELLED": "⊘", "RUNNING": "▶"}.get(
        state.status.value, "○"
    )
    text = Text(f"{mark} {name}", style=colour)
    parents = record.plan.task(name).parents
    if len(parents) > 1:
        text.append(f" ({' + '.join(parents)})", style="dim")
    if state.reason and state.status is not TaskStatus.COMPLETED:
        text.append(f" {state.reason}", style="dim")
    return text


def waterfall(record: RunRecord, *, now_ms: int, width: int) -> RenderableType:
    """A bar a task that has started: dots for waiting, blocks for running, to scale."""
    began = record.created_at_ms
    rows = {name: row for name, row in record.tasks.items() if row.started_at_ms is not None}
    over_ms = finished_at_ms(record)
    now_ms = now_ms if over_ms is None else over_ms  # a task of a cancelled run may never say that it ended
    ended = max([row.finished_at_ms or now_ms for row in rows.values()], default=now_ms)
    scale = max(1, ended - began) / width
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, row in rows.items():
        start_ms = row.begun_at_ms or began
        end_ms = row.finished_at_ms or max(now_ms, start_ms)
        waited = max(0, int((min(row.queued_at_ms or start_ms, start_ms) - began) / scale))
        queued = max(0, int((start_ms - began) / scale) - waited)
        ran = max(1, int((end_ms - start_ms) / scale))
        bar = Text(" " * waited + "·" * queued, style="dim")
        bar.append("█" * ran, style=COLOURS[public_status(row.status)])
        retries = f" (attempt {row.app_retry_count + 1})" if row.app_retry_count else ""
        table.add_row(escape(name) + retries, seconds(end_ms - start_ms), bar)
    return table
