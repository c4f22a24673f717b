"""A bulk operation as its callers see it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

from headrace.clients.models.resource import Model, at

if TYPE_CHECKING:
    from headrace.engine.runs.bulk import operation


class BulkOperation(Model):
    """How far a bulk cancel or replay is.

    Of the runs `looked_at`, `done` were cancelled or replayed, `refused` could not be (the first 10 `reasons` say why), and the others needed
    nothing. `total`: how many there are to look at; None until that is counted, or where there are more than 100,000.
    """

    id: str
    kind: Literal["cancel", "replay"]
    status: Literal["WORKING", "DONE", "STOPPED"]
    total: int | None
    looked_at: int
    done: int
    refused: int
    reasons: list[str]
    created_at: datetime
    updated_at: datetime


def bulk_operation(found: operation.BulkOperation) -> BulkOperation:
    """The stored operation, for callers."""
    return BulkOperation(
        id=found.id,
        kind=found.kind.value,
        status=found.status.value,
        total=found.total,
        looked_at=found.looked_at,
        done=found.done,
        refused=found.refused,
        reasons=list(found.reasons),
        created_at=at(found.created_at_ms),
        updated_at=at(found.changed_at_ms),
    )
