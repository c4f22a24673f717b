"""The workers of the stack, and what the stack cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.datastructures import FormData

from headrace.app import Headrace
from headrace_dashboard.costs import last_day


def view(hatchet: Headrace, asked: Mapping[str, str]) -> Mapping[str, Any]:
    """Workers as they are declared or published, and the processes that are alive."""
    return {"title": "Workers", "rows": hatchet.workers.list().rows}


def pause(hatchet: Headrace, path: Mapping[str, str], form: FormData) -> str:
    """Let the worker begin nothing more: its tasks wait, as long as their schedule timeouts say."""
    hatchet.workers.pause(path["name"])
    return "/workers"


def unpause(hatchet: Headrace, path: Mapping[str, str], form: FormData) -> str:
    """Let it begin tasks again."""
    hatchet.workers.unpause(path["name"])
    return "/workers"


def cost(hatchet: Headrace, asked: Mapping[str, str]) -> Mapping[str, Any]:
    """What the last day cost, by the units that AWS counted."""
    return {"title": "Cost", "cost": last_day(hatchet)}
