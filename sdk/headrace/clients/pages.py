"""A page of what was listed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from headrace.clients.models import PaginationResponse

T = TypeVar("T")
DEFAULT_LIMIT = 50


def page_of(
    found: Sequence[T], offset: int | None, limit: int | None
) -> tuple[Sequence[T], PaginationResponse]:
    """`limit` rows (default 50) from `offset` on, and where they stand. ValueError for one that is negative."""
    from headrace.clients.models import PaginationResponse

    first, size = offset or 0, DEFAULT_LIMIT if limit is None else limit
    if first < 0 or size < 1:
        raise ValueError(
            f"offset is {offset!r} and limit {limit!r}: give an offset of at least 0 and a limit of at least 1"
        )
    current = first // size + 1
    more = first + size < len(found)
    return found[first : first + size], PaginationResponse(
        current_page=current, next_page=current + 1 if more else None, num_pages=-(-len(found) // size)
    )
