"""A durable log as text: the tail in a task's row, and the body of a sealed part. Pure."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TypeAlias

from headrace.core.durable.log import (
    NO_LOG,
    SEAL_AT_BYTES,
    Branch,
    ChildRun,
    Entry,
    EventLeaf,
    Groups,
    Kind,
    Leaf,
    Part,
    SleepLeaf,
    Tail,
)
from headrace.core.run.plans.plan import Json


def encode_entries(entries: Iterable[Entry]) -> str:
    """Compact JSON of entries: the body of a sealed part."""
    return _compact([_entry(each) for each in entries])


Texts: TypeAlias = dict[int, tuple[Entry, str]]
"""Entries as they were encoded, by node."""


def encode_tail(tail: Tail, texts: Texts | None = None) -> str | None:
    """The text for the row; None for an empty log. `texts`: what was encoded before, and is by this call: an entry that is the same is not
    encoded again."""
    if tail == NO_LOG:
        return None
    known: Texts = texts if texts is not None else {}
    parts: Json = [[part.number, part.owner, *([part.tier] if part.tier else ())] for part in tail.parts]
    branches: Json = [[branch.number, branch.node] for branch in tail.branches]
    entries = ",".join([_text(each, known) for each in tail.entries])
    return f"[{_compact(parts) if parts else '[]'},[{entries}]{f',{_compact(branches)}' if branches else ''}]"


def _text(entry: Entry, known: Texts) -> str:
    before = known.get(entry.node)
    if before is not None and before[0] is entry:
        return before[1]
    text = _compact(_entry(entry))
    known[entry.node] = entry, text
    return text


def _entry(entry: Entry) -> Json:
    if entry.child is not None:
        data: Json = [entry.child.run_id, entry.child.first]
    elif entry.open or entry.given_up:
        data = [[_leaf(leaf) for leaf in group] for group in entry.groups]
    else:
        data = entry.result
    out: list[Json] = [entry.node, entry.kind.value, entry.asked, entry.order, data]
    if entry.label or entry.events:
        return [*out, int(entry.given_up), entry.label, *entry.events]
    return [*out, 1] if entry.given_up else out


def _leaf(leaf: Leaf) -> Json:
    if isinstance(leaf, SleepLeaf):
        return [leaf.due_at_ms, leaf.key]
    return [leaf.event_key, leaf.key, leaf.scope, leaf.expression, leaf.since_ms]


_compact: Callable[[Json], str] = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def decode_entries(text: str) -> tuple[Entry, ...]:
    """The entries that `encode_entries` wrote. ValueError where the text holds none."""
    return tuple(_decoded(each) for each in json.loads(text))


def decode_tail(text: str | None) -> Tail:
    """The tail that `encode_tail` wrote. ValueError where the text holds none."""
    if text is None:
        return NO_LOG
    known = _known.get(text)
    if known is None:
        known = _tail(text), {}
        _remember(text, known)
    return known[0]


def encoded(tail: Tail, texts: Texts) -> str | None:
    """As `encode_tail`; and who decodes the text in this process has the tail at once: the look after a suspension, the next claim."""
    text = encode_tail(tail, texts)
    if text is not None:
        _remember(text, (tail, dict(texts)))
    return text


def texts_of(text: str | None) -> Texts:
    """What of a tail's text is known to be of which entry: a copy."""
    known = _known.get(text or "")
    return dict(known[1]) if known is not None else {}


MOST_KNOWN, LONGEST_KNOWN = 64, 4 * SEAL_AT_BYTES
"""How many tails a process remembers by their text, and how long that is at most. What a text holds never changes."""

_known: OrderedDict[str, tuple[Tail, Texts]] = OrderedDict()


def _remember(text: str, known: tuple[Tail, Texts]) -> None:
    if len(text) > LONGEST_KNOWN:
        return
    _known[text] = known
    if len(_known) > MOST_KNOWN:
        with suppress(KeyError):  # another thread was first
            _known.popitem(last=False)


def _tail(text: str) -> Tail:
    parts, entries, *branches = json.loads(text)
    return Tail(
        parts=tuple(Part(*part) for part in parts),
        entries=tuple(_decoded(each) for each in entries),
        branches=tuple(Branch(*branch) for found in branches for branch in found),
    )


def _decoded(raw: Sequence[object]) -> Entry:
    node, kind, asked, order, data, *rest = raw
    given_up, label = bool(rest and rest[0]), str(rest[1]) if len(rest) > 1 else ""
    if not (isinstance(node, int) and isinstance(order, int)):
        raise ValueError(f"no entry of a durable log: {raw!r}")
    found = Kind(str(kind))
    child, groups, result = _data(found, data, is_open=order == 0 or given_up)
    return Entry(
        node=node,
        kind=found,
        asked=str(asked),
        order=order,
        groups=groups,
        child=child,
        result=result,
        given_up=given_up,
        label=label,
        events=tuple(map(str, rest[2:])),
    )


def _data(kind: Kind, data: object, *, is_open: bool) -> tuple[ChildRun | None, Groups, Json]:
    """What an entry of a kind holds: the child, the groups that are waited for, or the result."""
    match kind:
        case Kind.RUN:  # without a child: it is being started
            named = isinstance(data, list) and data
            return (ChildRun(str(named[0]), int(str(named[1]))) if named else None), (), None
        case Kind.WAIT if is_open and isinstance(data, list):
            return None, tuple(tuple(_decoded_leaf(leaf) for leaf in group) for group in data), None
        case _:
            return None, (), data  # type: ignore[return-value]  # it is JSON


def _decoded_leaf(raw: list[object]) -> Leaf:
    if len(raw) == 2:
        return SleepLeaf(int(str(raw[0])), str(raw[1]))
    event_key, key, scope, expression, since_ms = raw
    return EventLeaf(
        str(event_key),
        str(key),
        scope if isinstance(scope, str) else None,
        expression if isinstance(expression, str) else None,
        since_ms if isinstance(since_ms, int) else None,
    )
