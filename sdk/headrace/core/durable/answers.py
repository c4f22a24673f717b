"""Which open operations are answered by now, and in which order that is written down. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from headrace.core.durable.log import Entry, EventLeaf, Kind, Leaf, SleepLeaf
from headrace.core.run.plans.plan import Json
from headrace.core.values import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFound:
    """The event that satisfied a leaf: when it came, its payload, and its short name."""

    at_ms: int
    payload: Json
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is true by now. `events`: by (node, number of the leaf). `ended_at_ms`: of children that are over, by run id."""

    now_ms: int
    events: Mapping[tuple[int, int], EventFound]
    ended_at_ms: Mapping[str, int]


def leaves_of(entry: Entry) -> list[Leaf]:
    """The leaves of a WAIT in one row: a leaf's number is its place here."""
    return [leaf for group in entry.groups for leaf in group]


def event_leaves(entries: Iterable[Entry]) -> list[tuple[int, int, EventLeaf]]:
    """(node, number, leaf) of every event that an open operation waits for."""
    return [
        (entry.node, number, leaf)
        for entry in entries
        if waits(entry)
        for number, leaf in enumerate(leaves_of(entry))
        if isinstance(leaf, EventLeaf)
    ]


def places_in_joins(entries: Iterable[Entry]) -> dict[str, int]:
    """The index of each child among those of its parent, by run id: the children of one call have the indexes from its first on, in the
    order of their nodes."""
    out: dict[str, int] = {}
    following: dict[int, int] = {}
    for entry in entries:
        if entry.child is not None and entry.child.run_id not in out:
            index = following.get(entry.child.first, entry.child.first)
            out[entry.child.run_id] = index
            following[entry.child.first] = index + 1
    return out


def waits(entry: Entry) -> bool:
    """Whether the operation is one that something outside has to answer."""
    return entry.open and entry.kind is not Kind.MEMO


def next_due_ms(entries: Iterable[Entry], *, after_ms: int) -> int | None:
    """When the next sleep of an open operation is over, past `after_ms`; None where there is none.

    One that is over already, and has not answered its operation, waits for others of it.
    """
    dues = [
        leaf.due_at_ms
        for entry in entries
        if waits(entry)
        for leaf in leaves_of(entry)
        if isinstance(leaf, SleepLeaf) and leaf.due_at_ms > after_ms
    ]
    return min(dues, default=None)


def answered(entries: Sequence[Entry], facts: Facts) -> list[Entry]:
    """The open operations that the facts answer, each with its order: by the time of the answer, then by node."""
    found: list[tuple[int, int, Entry]] = []
    for entry in entries:
        if not waits(entry):
            continue
        answer = _run(entry, facts) if entry.kind is Kind.RUN else _wait(entry, facts)
        if answer is not None:
            at_ms, result = answer
            by = _events_of(entry, facts)
            found.append((at_ms, entry.node, replace(entry, result=result, groups=(), events=by)))
    found.sort(key=lambda each: each[:2])
    first = 1 + max((entry.order for entry in entries), default=0)
    return [replace(entry, order=first + place) for place, (_, _, entry) in enumerate(found)]


def _run(entry: Entry, facts: Facts) -> tuple[int, Json] | None:
    if entry.child is None or entry.child.run_id not in facts.ended_at_ms:
        return None
    return facts.ended_at_ms[entry.child.run_id], None


def _wait(entry: Entry, facts: Facts) -> tuple[int, Json] | None:
    """All groups, of each any leaf: when the last group was satisfied, and what each satisfied leaf brought, by its key."""
    number, at_ms = 0, 0
    result: dict[str, Json] = {}
    for group in entry.groups:
        times: list[int] = []
        for leaf in group:
            found = _leaf(leaf, facts, (entry.node, number))
            number += 1
            if found is not None:
                times.append(found[0])
                result[leaf.key] = [found[1]]
        if not times:
            return None
        at_ms = max(at_ms, min(times))
    return at_ms, result


def _events_of(entry: Entry, facts: Facts) -> tuple[str, ...]:
    """The events that an answer came by: the task has had them."""
    places = ((entry.node, number) for number in range(len(leaves_of(entry))))
    return tuple(facts.events[place].name for place in places if place in facts.events)


def _leaf(leaf: Leaf, facts: Facts, place: tuple[int, int]) -> tuple[int, Json] | None:
    if isinstance(leaf, SleepLeaf):
        return (leaf.due_at_ms, {"due_at_ms": leaf.due_at_ms}) if leaf.due_at_ms <= facts.now_ms else None
    event = facts.events.get(place)
    return (event.at_ms, event.payload) if event is not None else None
