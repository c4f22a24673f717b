"""What starts runs beside calls: events, crons, schedules, webhooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.datastructures import FormData

from headrace.app import Headrace
from headrace_dashboard.views.listed import named

LIMIT = 100
SHOWN = 10
"""How many runs of an event are named; a link shows all."""


def events(hatchet: Headrace, asked: Mapping[str, str]) -> Mapping[str, Any]:
    """The newest events, with what they started."""
    keys = [asked["key"]] if asked.get("key") else None
    rows = hatchet.event.list(limit=LIMIT, keys=keys).rows
    started = [run.workflow_run_id for row in rows for run in row.triggered_runs[:SHOWN]]
    return {
        "title": "Events",
        "rows": rows,
        "key": asked.get("key", ""),
        "runs": named(hatchet, started),
        "shown": SHOWN,
    }


def schedules(hatchet: Headrace, asked: Mapping[str, str]) -> Mapping[str, Any]:
    """Crons with their next time, and runs that wait for theirs."""
    return {
        "title": "Crons and schedules",
        "crons": hatchet.cron.list(limit=LIMIT).rows or [],
        "schedules": hatchet.scheduled.list(limit=LIMIT).rows or [],
    }


def delete(hatchet: Headrace, path: Mapping[str, str], form: FormData) -> str:
    """Delete a cron that was created, or a run that has not started."""
    if form.get("cron"):
        hatchet.cron.delete(str(form["cron"]))
    elif form.get("scheduled"):
        hatchet.scheduled.delete(str(form["scheduled"]))
    else:
        raise ValueError("nothing was named to delete: cron or scheduled")
    return "/schedules"


def webhooks(hatchet: Headrace, asked: Mapping[str, str]) -> Mapping[str, Any]:
    """The webhooks that other services may call. Secrets are never shown."""
    return {"title": "Webhooks", "rows": hatchet.webhooks.list(limit=LIMIT).rows or []}
