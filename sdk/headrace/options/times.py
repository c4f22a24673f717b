"""Times and places in time, as users give them."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime

from headrace.errors import DefinitionError


def to_epoch_ms(given: datetime, what: str, *, stacklevel: int = 3) -> int:
    """Milliseconds since the epoch. A naive time is taken as UTC, with a warning. DefinitionError, which names `what`, for no time."""
    if not isinstance(given, datetime):
        raise DefinitionError(
            f"{what} is {given!r}: give a datetime, such as datetime.now(UTC) + timedelta(hours=1)"
        )
    if given.tzinfo is None:
        warnings.warn(
            f"{what} is {given.isoformat()}, without a time zone: it is taken as UTC. Give it tzinfo=UTC",
            stacklevel=stacklevel + 1,
        )
        given = given.replace(tzinfo=UTC)
    try:
        return round(given.timestamp() * 1000)
    except (OverflowError, ValueError, OSError) as error:
        raise DefinitionError(f"{what} is {given!r}: {error}") from error


def from_epoch_ms(at_ms: int) -> datetime:
    """An aware time, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)
