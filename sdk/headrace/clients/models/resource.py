"""What every resource has: an identity, and its place on a page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

Object = dict[str, Any]


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, populate_by_name=True)


class APIResourceMeta(Model):
    """The identity of a resource."""

    id: str
    created_at: datetime
    updated_at: datetime


class PaginationResponse(Model):
    """Where a page stands among the others, from 1; `next_page` is None at the end, `num_pages` None where unknown."""

    current_page: int | None = None
    next_page: int | None = None
    num_pages: int | None = None


class ResourceId(Model):
    """The identity of what has no history: a workflow, a worker."""

    id: str


def at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
