"""Runs as the pages list them: a page comes back after a bounded number of reads, and says how far it looked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.app import Headrace
from headrace.clients.models.runs import V1TaskSummaryList
from headrace.core.run.derived.progress import run_status
from headrace.core.run.record import RunStatus
from headrace.engine.runs.read import read_many

LOOK_AT = 500
"""How many runs a page reads at most, a hundred a request: whether a run is open, or has some metadata, is in its record only."""


def rows_of(
    hatchet: Headrace, *, limit: int, offset: int = 0, look_at: int = LOOK_AT, **wanted: Any
) -> V1TaskSummaryList:
    """As `hatchet.runs.list` without payloads; `searched_until` of the answer says where it stopped looking."""
    return hatchet.runs._list(
        offset=offset, limit=limit, only_tasks=False, payloads=False, look_at=look_at, **wanted
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What a link to a run says."""

    workflow: str
    status: RunStatus


def named(hatchet: Headrace, run_ids: Iterable[str]) -> Mapping[str, Named]:
    """The workflow and the status of runs, a hundred a request, of the first LOOK_AT; those that are there no more are left out."""
    wanted = list(dict.fromkeys(run_ids))[:LOOK_AT]
    found = read_many(hatchet.engine, wanted) if wanted else []
    return {
        record.run_id: Named(workflow=record.plan.workflow, status=run_status(record))
        for record in found
        if record is not None
    }


def any_of(given: str) -> Sequence[str] | None:
    """A filter's one value; None where it is empty."""
    return [given] if given else None
