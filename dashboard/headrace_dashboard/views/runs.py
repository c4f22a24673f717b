"""The list of runs, by the filters in its address; and what can be done to many at once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import FormData

from headrace.app import Headrace
from headrace.clients.models.bulk import BulkOperation
from headrace.clients.models.runs import BulkCancelReplayOpts, RunFilter
from headrace.core.run.record import RunStatus
from headrace_dashboard.formats import now_of
from headrace_dashboard.views.listed import LOOK_AT, any_of, rows_of

LIMIT = 50
FILTERS = ("workflow", "status", "hours", "metadata", "parent", "event", "before")
BULK = ("workflow", "status", "hours", "metadata", "before")
"""The filters that a bulk operation has, too."""


def view(hatchet: Headrace, asked: Mapping[str, str]) -> Mapping[str, Any]:
    """A page of runs. ValueError, which names the field, where a filter cannot be read."""
    hours = _number(asked, "hours", 24.0)
    page = max(1, int(_number(asked, "page", 1)))
    found = rows_of(
        hatchet,
        since=now_of(hatchet) - timedelta(hours=hours),
        until=_moment(asked, "before"),
        statuses=_statuses(asked.get("status", "")),
        workflow_ids=any_of(asked.get("workflow", "")),
        additional_metadata=_pairs(asked.get("metadata", "")),
        parent_task_external_id=asked.get("parent") or None,
        triggering_event_external_id=asked.get("event") or None,
        offset=(page - 1) * LIMIT,
        limit=LIMIT,
        look_at=LOOK_AT + page * LIMIT,
    )
    kept = {name: asked[name] for name in FILTERS if asked.get(name)}
    return {
        "title": "Runs",
        "rows": found.rows,
        "searched_until": found.searched_until,
        "further": _further(kept, found.searched_until),
        "page": page,
        "older": f"/runs?{urlencode(kept | {'page': str(page + 1)})}" if found.pagination.next_page else None,
        "newer": f"/runs?{urlencode(kept | {'page': str(page - 1)})}" if page > 1 else None,
        "statuses": list(RunStatus),
        "filters": {name: asked.get(name, "") for name in FILTERS} | {"hours": f"{hours:g}"},
        "back": f"/runs?{urlencode(kept)}",
        "by_filter": _by_filter(kept, hours),
        "bulk": hatchet.runs.get_bulk(asked["bulk"]) if asked.get("bulk") else None,
    }


def _by_filter(kept: Mapping[str, str], hours: float) -> dict[str, str] | None:
    """What a form says to act on all that match; None where a bulk operation has not all of these filters."""
    if any(name not in BULK for name in kept):
        return None
    return {**kept, "hours": f"{hours:g}"}


def _further(kept: Mapping[str, str], until: datetime | None) -> str | None:
    """The address of the same list of older runs, where this one stopped looking at `until`."""
    return None if until is None else f"/runs?{urlencode({**kept, 'before': until.isoformat()})}"


def _moment(asked: Mapping[str, str], name: str) -> datetime | None:
    text = asked.get(name) or ""
    try:
        found = datetime.fromisoformat(text) if text else None
    except ValueError:
        raise ValueError(f"{name} must be a time such as 2026-01-31T12:00:00+00:00, not {text!r}") from None
    return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)


def _number(asked: Mapping[str, str], name: str, default: float) -> float:
    text = asked.get(name) or ""
    try:
        number = float(text) if text else default
    except ValueError:
        raise ValueError(f"{name} must be a number, not {text!r}") from None
    if not 0 < number < 24 * 366:
        raise ValueError(f"{name} must be over 0 and at most a year's hours, not {text}")
    return number


def _statuses(text: str) -> list[RunStatus] | None:
    if not text:
        return None
    try:
        return [RunStatus(text)]
    except ValueError:
        raise ValueError(f"status must be one of {', '.join(RunStatus)}, not {text!r}") from None


def _pairs(text: str) -> dict[str, str] | None:
    """`key=value`, several separated by commas."""
    if not text.strip():
        return None
    pairs = [part.split("=", 1) for part in text.split(",") if part.strip()]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"metadata must be key=value, not {text!r}")
    return {name.strip(): value.strip() for name, value in pairs}


def _chosen(form: FormData) -> list[str]:
    ids = [str(value) for value in form.getlist("run")]
    if not ids:
        raise ValueError("no run was chosen: tick at least one")
    return ids


def cancel_all(hatchet: Headrace, path: Mapping[str, str], form: FormData) -> str:
    """Cancel the chosen runs, or all that match."""
    return _asked(form, hatchet.runs.bulk_cancel(_which(hatchet, form)))


def replay_all(hatchet: Headrace, path: Mapping[str, str], form: FormData) -> str:
    """Run the chosen runs again, or all that match."""
    return _asked(form, hatchet.runs.bulk_replay(_which(hatchet, form)))


def _which(hatchet: Headrace, form: FormData) -> BulkCancelReplayOpts:
    if not form.get("all"):
        return BulkCancelReplayOpts(ids=_chosen(form))
    asked = {name: str(form[name]) for name in BULK if form.get(name)}
    filters = RunFilter(
        since=now_of(hatchet) - timedelta(hours=_number(asked, "hours", 24.0)),
        until=_moment(asked, "before"),
        statuses=_statuses(asked.get("status", "")),
        workflow_ids=[asked["workflow"]] if asked.get("workflow") else None,
        additional_metadata=_pairs(asked.get("metadata", "")),
    )
    return BulkCancelReplayOpts(filters=filters)


def _asked(form: FormData, operation: BulkOperation) -> str:
    """The list again, which shows how far the operation is where it was asked for all."""
    path = back(form)
    if not form.get("all"):
        return path
    return f"{path}{'&' if '?' in path else '?'}{urlencode({'bulk': operation.id})}"


def back(form: FormData) -> str:
    """The page that the form was on: a path of this server, never another site."""
    path = str(form.get("back") or "/runs")
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/runs"
