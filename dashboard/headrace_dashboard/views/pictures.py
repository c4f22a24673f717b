"""The graph of a run and its waterfall, as numbers that a template draws as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from headrace.clients.models.runs import V1TaskSummary, V1WorkflowRunDetails

BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y = 150, 34, 44, 14
NAME_CHARS = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A task in the graph."""

    name: str
    label: str
    status: str
    x: int
    y: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Boxes in columns, and the arrows between them as SVG paths."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    arrows: tuple[str, ...]


def graph(details: V1WorkflowRunDetails) -> Graph:
    """The tasks in columns by their distance from the roots."""
    parents: dict[str, list[str]] = {item.step_id: [] for item in details.shape}
    for item in details.shape:
        for child in item.children_step_ids:
            parents[child].append(item.step_id)
    statuses = {task.task_name: task.status.value for task in details.tasks}
    return drawn(parents, statuses)


def drawn(parents: dict[str, list[str]], statuses: dict[str | None, str]) -> Graph:
    """`parents`: by task, in an order in which parents come first. `statuses`: empty where no run is drawn."""
    depth: dict[str, int] = {}
    for name, above in parents.items():
        depth[name] = max((depth.get(parent, 0) + 1 for parent in above), default=0)
    taken: dict[int, int] = {}
    boxes: dict[str, Box] = {}
    for name, column in depth.items():
        row = taken.get(column, 0)
        taken[column] = row + 1
        label = name if len(name) <= NAME_CHARS else name[: NAME_CHARS - 1] + "…"
        boxes[name] = Box(
            name=name,
            label=label,
            status=statuses.get(name, "WAITING") if statuses else "",
            x=8 + column * (BOX_WIDTH + GAP_X),
            y=8 + row * (BOX_HEIGHT + GAP_Y),
        )
    arrows = tuple(_arrow(boxes[parent], boxes[name]) for name, above in parents.items() for parent in above)
    return Graph(
        width=16 + (max(taken, default=0) + 1) * (BOX_WIDTH + GAP_X) - GAP_X,
        height=16 + max(taken.values(), default=1) * (BOX_HEIGHT + GAP_Y) - GAP_Y,
        boxes=tuple(boxes.values()),
        arrows=arrows,
    )


def _arrow(above: Box, below: Box) -> str:
    x1, y1 = above.x + BOX_WIDTH, above.y + BOX_HEIGHT // 2
    x2, y2 = below.x, below.y + BOX_HEIGHT // 2
    middle = (x1 + x2) // 2
    return f"M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A task's time, in thousandths of the run's: waiting, then running."""

    name: str
    status: str
    waits_from: int
    runs_from: int
    ends: int
    waited_ms: float
    ran_ms: float | None


def waterfall(began: datetime, tasks: Sequence[V1TaskSummary], now: datetime) -> tuple[Bar, ...]:
    """A bar a task, to the scale of the run. What is not over runs until now."""
    ends = [task.finished_at or now for task in tasks]
    whole = max(((end - began).total_seconds() for end in ends), default=0) or 0.001

    def at(moment: datetime) -> int:
        return round(min(1.0, max(0.0, (moment - began).total_seconds() / whole)) * 1000)

    bars: list[Bar] = []
    for task, end in zip(tasks, ends, strict=True):
        start = task.started_at or end
        bars.append(
            Bar(
                name=task.task_name or task.display_name,
                status=task.status.value,
                waits_from=at(task.created_at),
                runs_from=at(start),
                ends=max(at(end), at(start) + 2),
                waited_ms=max(0.0, (start - task.created_at).total_seconds() * 1000),
                ran_ms=(end - task.started_at).total_seconds() * 1000 if task.started_at else None,
            )
        )
    return tuple(bars)
