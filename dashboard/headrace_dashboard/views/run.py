"""One run: why it ended as it did, what it was given, what each task did and when."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import FormData

from headrace.app import Headrace
from headrace.clients.models.runs import V1TaskSummary, V1WorkflowRunDetails
from headrace.core.run.record import RunStatus
from headrace.core.sealed import readable
from headrace.engine.records.logs import read_chunks
from headrace_dashboard.formats import now_of
from headrace_dashboard.views.listed import named
from headrace_dashboard.views.pictures import graph, waterfall

OVER = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)
CHUNKS, STREAM_CHARS = 2_000, 10_000
"""How much of a stream a page reads, and shows of that."""

LINES = 1000
"""How many log lines a page shows."""


def view(hatchet: Headrace, asked: Mapping[str, str]) -> Mapping[str, Any]:
    """Everything about a run. RunNotFound where there is none."""
    details = hatchet.runs.get(asked["run_id"])
    now = now_of(hatchet)
    lines = hatchet.logs.list(details.run.metadata.id, limit=LINES).rows
    return {
        "title": f"{_workflow(details)} {details.run.metadata.id[:8]}",
        "run": details.run,
        "run_id": details.run.metadata.id,
        "workflow": _workflow(details),
        "tasks": details.tasks,
        "events": details.task_events,
        "failed": [task for task in details.tasks if task.error_message],
        "graph": graph(details) if len(details.shape) > 1 else None,
        "waterfall": waterfall(details.run.created_at, details.tasks, now),
        "lines": lines,
        "more_lines": len(lines) == LINES,
        "stream": _stream(hatchet, details.run.metadata.id),
        "over": details.run.status in OVER,
        "parent": details.run.parent_task_external_id,
        "input_text": json.dumps(readable(details.run.input), indent=2, ensure_ascii=False),
        "durable": _durable(details.tasks),
        "children": named(hatchet, _children(details.tasks)),
        "childless": _childless(details),
        "now": now,
    }


def _stream(hatchet: Headrace, run_id: str) -> str:
    """What the run's tasks streamed, as text: the end of its first CHUNKS chunks; empty where they did not."""
    chunks = [chunk for _, chunk in read_chunks(hatchet.engine, run_id, limit=CHUNKS)]
    texts = [chunk if isinstance(chunk, str) else chunk.decode("utf-8", "replace") for chunk in chunks]
    return "".join(texts)[-STREAM_CHARS:]


def _workflow(details: V1WorkflowRunDetails) -> str:
    return details.tasks[0].workflow_name if details.tasks else details.run.display_name.rsplit("-", 1)[0]


def _durable(tasks: list[V1TaskSummary]) -> list[tuple[V1TaskSummary, Any]]:
    """The logs of durable tasks, where there are any."""
    return [(task, task.durable_log) for task in tasks if task.durable_log]


def _children(tasks: list[V1TaskSummary]) -> list[str]:
    """The child runs that the logs of durable tasks name."""
    return [entry.child_run_id for _, log in _durable(tasks) for entry in log if entry.child_run_id]


def _childless(details: V1WorkflowRunDetails) -> bool:
    """Whether it is known that it has no child runs: how many a task has is written when the task ends."""
    spawned = any(task.num_spawned_children for task in details.tasks)
    return details.run.status in OVER and not spawned and not _children(details.tasks)


def cancel(hatchet: Headrace, path: Mapping[str, str], form: FormData) -> str:
    """Cancel the run."""
    hatchet.runs.cancel(path["run_id"])
    return f"/runs/{path['run_id']}"


def replay(hatchet: Headrace, path: Mapping[str, str], form: FormData) -> str:
    """Run it again, under its own id."""
    hatchet.runs.replay(path["run_id"])
    return f"/runs/{path['run_id']}"


def reset(hatchet: Headrace, path: Mapping[str, str], form: FormData) -> str:
    """Run a durable task again from one of its operations on."""
    hatchet.runs.reset_durable_task(
        str(form.get("task")), _number(form.get("node")), _number(form.get("branch"))
    )
    return f"/runs/{path['run_id']}"


def _number(given: object) -> int:
    text = str(given)
    if not text.isdecimal():
        raise ValueError(f"{text!r} is not the number of an operation")
    return int(text)
