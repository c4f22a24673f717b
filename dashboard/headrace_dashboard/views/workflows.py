"""The workflows of the stack; one of them with its graph, its figures and a form that starts it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from statistics import quantiles
from typing import Any

from starlette.datastructures import FormData

from headrace.app import Headrace
from headrace.core.run.record import RunStatus
from headrace_dashboard.formats import now_of

SAMPLE = 200
"""How many of the newest runs the figures come from."""

QUEUE_TTL = timedelta(days=1)
"""How long runs of a workflow that was paused here may wait."""


def view(hatchet: Headrace, asked: Mapping[str, str]) -> Mapping[str, Any]:
    """All workflows that the stack's workers have registered."""
    return {"title": "Workflows", "rows": hatchet.workflows.list(limit=1000).rows}


def one(hatchet: Headrace, asked: Mapping[str, str]) -> Mapping[str, Any]:
    """One workflow. ValueError where the stack has none of that name."""
    workflow = hatchet.workflows.get(asked["name"])
    since = now_of(hatchet) - timedelta(days=1)
    rows = hatchet.runs.list(
        since=since, workflow_ids=[workflow.name], limit=SAMPLE, include_payloads=False
    ).rows
    done = [row for row in rows if row.status in (RunStatus.COMPLETED, RunStatus.FAILED)]
    took = [float(row.duration) for row in done if row.duration is not None]
    completed = sum(row.status is RunStatus.COMPLETED for row in done)
    return {
        "title": workflow.name,
        "workflow": workflow,
        "rows": rows[:20],
        "sampled": len(rows),
        "rate": completed / len(done) if done else None,
        "p50": _quantile(took, 50),
        "p95": _quantile(took, 95),
        "input_text": asked.get("input") or json.dumps(example(workflow), indent=2),
        "metadata_text": asked.get("metadata") or "{}",
    }


def _quantile(values: list[float], percent: int) -> float | None:
    if not values:
        return None
    return quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]


def example(workflow: Any) -> Any:
    """An input to begin with: made from the schema that was registered, `{}` where none was."""
    schema = getattr(workflow, "input_schema", None) or {}
    return {name: _value(schema, of) for name, of in schema.get("properties", {}).items()}


def _value(schema: Mapping[str, Any], of: Mapping[str, Any]) -> Any:
    if "default" in of:
        return of["default"]
    if "enum" in of:
        return of["enum"][0]
    if "$ref" in of:
        of = schema.get("$defs", {}).get(of["$ref"].rsplit("/", 1)[-1], {})
        return {name: _value(schema, each) for name, each in of.get("properties", {}).items()}
    kinds: dict[str, Any] = {
        "string": "text",
        "integer": 1,
        "number": 1.0,
        "boolean": True,
        "array": [],
        "object": {},
    }
    return kinds.get(of.get("type", ""))


def start(hatchet: Headrace, path: Mapping[str, str], form: FormData) -> str:
    """Start a run with the form's input; goes on to its page."""
    details = hatchet.runs.create(
        path["name"], _parsed(form, "input"), additional_metadata=_parsed(form, "metadata")
    )
    return f"/runs/{details.run.metadata.id}"


def _parsed(form: FormData, field: str) -> dict[str, Any]:
    text = str(form.get(field) or "{}")
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"the {field} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"the {field} must be a JSON object, not a {type(value).__name__}")
    return value


def pause(hatchet: Headrace, path: Mapping[str, str], form: FormData) -> str:
    """Pause the workflow: its new runs wait, for a day at most."""
    hatchet.workflows.pause(path["name"], QUEUE_TTL)
    return f"/workflows/{path['name']}"


def unpause(hatchet: Headrace, path: Mapping[str, str], form: FormData) -> str:
    """Let its runs go on."""
    hatchet.workflows.unpause(path["name"])
    return f"/workflows/{path['name']}"
