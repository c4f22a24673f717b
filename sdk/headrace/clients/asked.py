"""What listings are asked for, checked before anything is read: a mistake would else be answered by an empty list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

E = TypeVar("E", bound=StrEnum)
D = TypeVar("D", int, None)


def time_ms(given: datetime | None, what: str, default_ms: D) -> int | D:
    """A time as the epoch has it; a naive one is of this machine's zone. TypeError for anything else."""
    if given is None:
        return default_ms
    if not isinstance(given, datetime):
        raise TypeError(
            f"{what} is {given!r}: give a datetime, such as datetime.now(UTC) - timedelta(hours=1)"
        )
    return int(given.timestamp() * 1000)


def texts(given: Sequence[str] | None, what: str) -> Sequence[str]:
    """Names, ids or keys; none where nothing is given. TypeError for a text in place of a list."""
    if isinstance(given, str):
        raise TypeError(f"{what} is {given!r}: give a list, [{given!r}]")
    return given or ()


def pairs(given: Mapping[str, str] | None) -> Mapping[str, str]:
    """The pairs of `additional_metadata`. TypeError for what has none."""
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(f"additional_metadata is {given!r}: give a dict, such as {{'customer': 'a'}}")
    return given or {}


def among(given: Iterable[str] | None, kind: type[E], what: str) -> frozenset[E] | None:
    """Those of `kind` that are asked for; None: any. TypeError for a text in place of a list, ValueError for what is none of them."""
    if isinstance(given, str):
        raise TypeError(f"{what} is {str(given)!r}: give a list, [{str(given)!r}]")
    try:
        return frozenset(kind(each) for each in given) if given else None
    except ValueError:
        known = ", ".join(kind)
        raise ValueError(f"{what} is {list(given or ())!r}: give some of {known}") from None
