"""A new branch of a durable log: it keeps the operations before a node, and makes the rest again. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from headrace.core.durable.log import Branch, Entry, Part, Tail


def branched(tail: Tail, parts: Mapping[Part, tuple[Entry, ...]], node: int, *, number: int) -> Tail:
    """The tail of branch `number`, made of a branch's `tail`: sealed parts that end before `node` are named as they are, of the others the
    operations before it are taken over. `parts`: what is in them."""
    whole = tuple(part for part in tail.parts if all(entry.node < node for entry in parts[part]))
    found = {entry.node: entry for part in tail.parts if part not in whole for entry in parts[part]}
    found |= {entry.node: entry for entry in tail.entries}
    return replace(
        tail,
        parts=whole,
        entries=tuple(found[each] for each in sorted(found) if each < node),
        branches=(*(each for each in tail.branches if each.node < node), Branch(number, node)),
    )
