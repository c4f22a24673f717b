"""Concurrency limits, rate limits, slots and pauses: what is held, and what waits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.app import Headrace
from headrace_dashboard.formats import now_of


def view(hatchet: Headrace, asked: Mapping[str, str]) -> Mapping[str, Any]:
    """The limits that tasks hold or wait at, and the static rate limits."""
    return {
        "title": "Gates and limits",
        "rows": hatchet.gates.list(all=True),
        "limits": hatchet.rate_limits.list(limit=200).rows,
        "now": now_of(hatchet),
    }
