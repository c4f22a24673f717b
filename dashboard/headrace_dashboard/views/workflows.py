"""The workflows of the stack; one of them with its graph, its figures and a form that starts it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from statistics import quantiles
from typing import Any

from starlette.datastructures import FormData

from headrace.app import Headrace
from headrace.clients.inputs import check_input
from headrace.clients.naming import plan_of
from headrace.core.run.record import RunStatus
from headrace.values.schema import SchemaField, example, fields_of, value_of
from headrace_dashboard.formats import now_of
from headrace_dashboard.views.listed import rows_of
from headrace_dashboard.views.pictures import drawn

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
    schema, plan = workflow.input_schema, plan_of(hatchet, workflow.name)
    since = now_of(hatchet) - timedelta(days=1)
    rows = rows_of(hatchet, since=since, workflow_ids=[workflow.name], limit=SAMPLE).rows
    done = [row for row in rows if row.status in (RunStatus.COMPLETED, RunStatus.FAILED)]
    took = [float(row.duration) for row in done if row.duration is not None]
    completed = sum(row.status is RunStatus.COMPLETED for row in done)
    return {
        "title": workflow.name,
        "workflow": workflow,
        "graph": drawn({task.name: list(task.parents) for task in plan.tasks}, {})
        if len(plan.tasks) > 1
        else None,
        "rows": rows[:20],
        "sampled": len(rows),
        "rate": completed / len(done) if done else None,
        "p50": _quantile(took, 50),
        "p95": _quantile(took, 95),
        "fields": [] if asked.get("input") or not schema else fields_of(schema),
        "input_text": asked.get("input") or json.dumps(_example(schema), indent=2),
        "metadata_text": asked.get("metadata") or "{}",
    }


def _quantile(values: list[float], percent: int) -> float | None:
    if not values:
        return None
    return quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]


def _example(schema: Mapping[str, Any] | None) -> Any:
    """An input to begin with: made from the schema that was published, `{}` where none was."""
    try:
        return example(schema, schema.get("$defs", {})) if schema else {}
    except (ValueError, KeyError, TypeError):
        return {}


def start(hatchet: Headrace, path: Mapping[str, str], form: FormData) -> str:
    """Start a run with the form's input; goes on to its page. ValueError where the workflow's model refuses it."""
    input = _of_fields(hatchet, path["name"], form) if form.get("by") == "fields" else _parsed(form, "input")
    check_input(hatchet, path["name"], input, how="")
    details = hatchet.runs.create(path["name"], input, additional_metadata=_parsed(form, "metadata"))
    return f"/runs/{details.run.metadata.id}"


FIELD = "field:"
"""What stands before the names of the schema's fields in the form."""


def _of_fields(hatchet: Headrace, name: str, form: FormData) -> dict[str, Any]:
    """The input that the fields of the form make. ValueError naming the field where a text is missing or not of its kind."""
    fields = fields_of(hatchet.workflows.get(name).input_schema or {})
    texts = [(field, str(form.get(FIELD + field.name) or "")) for field in fields]
    return {field.name: _value(field, text) for field, text in texts if text or field.required}


def _value(field: SchemaField, text: str) -> Any:
    if not text and field.kind != "text":
        raise ValueError(f"{field.name} is required: give a value")
    return value_of(field, text)


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
