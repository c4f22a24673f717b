"""The workers of the stack, and what the stack cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.app import Headrace
from headrace_dashboard.costs import last_day


def view(hatchet: Headrace, asked: Mapping[str, str]) -> Mapping[str, Any]:
    """Workers as they are declared or published, and the processes that are alive."""
    return {"title": "Workers", "rows": hatchet.workers.list().rows}


def cost(hatchet: Headrace, asked: Mapping[str, str]) -> Mapping[str, Any]:
    """What the last day cost, by the units that AWS counted."""
    return {"title": "Cost", "cost": last_day(hatchet)}
