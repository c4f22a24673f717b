"""Runs as the pages list them: a page comes back after a bounded number of reads, and says how far it looked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.app import Headrace
from headrace.clients.models.runs import V1TaskSummaryList

LOOK_AT = 500
"""How many runs a page reads at most, a hundred a request: whether a run is open, or has some metadata, is in its record only."""


def rows_of(
    hatchet: Headrace, *, limit: int, offset: int = 0, look_at: int = LOOK_AT, **wanted: Any
) -> V1TaskSummaryList:
    """As `hatchet.runs.list` without payloads; `searched_until` of the answer says where it stopped looking."""
    return hatchet.runs._list(
        offset=offset, limit=limit, only_tasks=False, payloads=False, look_at=look_at, **wanted
    )


def any_of(given: str) -> Sequence[str] | None:
    """A filter's one value; None where it is empty."""
    return [given] if given else None
