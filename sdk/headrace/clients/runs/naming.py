"""Workflows that a caller names, as a listing of runs takes them."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.clients.naming import App, workflow_name


def named(app: App, given: Iterable[str] | None) -> frozenset[str] | None:
    """Names and ids of workflows as `Wanted` takes them, each with its namespace; None for all."""
    if given is None:
        return None
    return frozenset(each for one in given for each in (one, workflow_name(app, one)))
