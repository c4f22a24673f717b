"""A page of what was listed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from headrace.clients.models.resource import PaginationResponse

T = TypeVar("T")
DEFAULT_LIMIT = 50


def span_of(offset: int | None, limit: int | None, default: int = DEFAULT_LIMIT) -> tuple[int, int]:
    """The first row and how many: 0 and `default` where nothing is given. ValueError for what is no place, or no size, of a page."""
    for value, least in ((offset, 0), (limit, 1)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise ValueError(
                f"offset is {offset!r} and limit {limit!r}: give an offset of at least 0 and a limit of at least 1"
            )
    return offset or 0, default if limit is None else limit


def page_of(
    found: Sequence[T], offset: int | None, limit: int | None
) -> tuple[Sequence[T], PaginationResponse]:
    """`limit` rows (default 50) from `offset` on, and where they stand. ValueError for one that is negative."""
    from headrace.clients.models.resource import PaginationResponse

    first, size = span_of(offset, limit)
    current = first // size + 1
    more = first + size < len(found)
    return found[first : first + size], PaginationResponse(
        current_page=current, next_page=current + 1 if more else None, num_pages=-(-len(found) // size)
    )
