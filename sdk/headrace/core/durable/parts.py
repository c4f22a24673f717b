"""The sealed parts of a durable log: the older, answered entries, in items of their own beside the record. Pure.

A part is written once. Four parts of a tier are merged into one of the next as the fourth would be written, so that a log of n
operations is written four times over at most, and read in a few items however long it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from headrace.core.changes import Item
from headrace.core.durable.encoding import encode_entries
from headrace.core.durable.log import Entry, Part, Tail
from headrace.core.run.stored.texts import unzipped, zipped
from headrace.core.values import dataclass, replace

PARTS_A_TIER = 4
LAST_TIER = 3
"""Parts of this tier are merged no further: of entries of 70 bytes it holds 1,900."""

LARGEST_CHARS = 200_000
"""Of a merged part, before it is compressed: an item takes 400 KB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealing:
    """A part to write, what is in it, and the tail once it is written."""

    part: Part
    entries: tuple[Entry, ...]
    tail: Tail


def sealing(tail: Tail, known: Mapping[Part, Iterable[Entry]], *, owner: str) -> Sealing | None:
    """How the answered entries of a tail are sealed; None where there is none. `known`: what is in the parts that were read or written."""
    done = [entry for entry in tail.entries if not entry.open]
    if not done:
        return None
    kept, entries, tier = tail.parts, done, 0
    while tier < LAST_TIER:
        same = [part for part in kept if part.tier == tier and part in known]
        if len(same) < PARTS_A_TIER - 1:
            break
        merged = [*(entry for part in same for entry in known[part]), *entries]
        if len(encode_entries(merged)) > LARGEST_CHARS:
            break
        kept, entries, tier = tuple(part for part in kept if part not in same), merged, tier + 1
    part = Part(1 + max((each.number for each in tail.parts), default=0), owner, tier)
    left = tuple(entry for entry in tail.entries if entry.open)
    return Sealing(part=part, entries=tuple(entries), tail=replace(tail, parts=(*kept, part), entries=left))


def encode_part(entries: Iterable[Entry]) -> Item:
    """The body of a part's item: compressed where that is shorter."""
    return {"body": zipped(encode_entries(entries))}


def text_of_part(item: Item) -> str:
    """The text of the entries that `encode_part` wrote. ValueError where the item holds none."""
    body = item.get("body")
    if not isinstance(body, str | bytes):
        raise ValueError(f"no part of a durable log: {sorted(item)}")
    return unzipped(body)
