"""What the tasks of a run wait for, where that is events, time or child runs: by its record alone. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

from headrace.core.durable.answers import waits
from headrace.core.durable.encoding import decode_tail
from headrace.core.durable.log import Entry, EventLeaf, SleepLeaf
from headrace.core.durable.views import asked_in_words
from headrace.core.durable.words import conditions_in_words
from headrace.core.run.derived.graph import TaskState, leaf_met, states
from headrace.core.run.plans.plan import Groups, Leaf, PlannedEvent, PlannedSleep
from headrace.core.run.record import RunRecord
from headrace.core.values import dataclass


class WaitKind(StrEnum):
    """What ends a wait."""

    EVENT = "EVENT"  # an event; or, where there is a time too, whichever comes first
    TIME = "TIME"  # time alone
    CHILD = "CHILD"  # the end of child runs


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedEvent:
    """An event that would do: of this key; of `scope`, and with a payload for which `expression` holds, where they are given."""

    key: str
    scope: str | None = None
    expression: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One wait of a task. `node_id`: of a durable operation. `until_ms`: when time alone ends it; None: it cannot."""

    task: str
    node_id: int | None = None
    kind: WaitKind
    what: str
    events: tuple[WantedEvent, ...] = ()
    child_run_id: str | None = None
    since_ms: int
    until_ms: int | None = None


def waits_of(record: RunRecord) -> list[Waiting]:
    """The waits of a run: none of one that is over, or that was cancelled."""
    if record.cancelled_at_ms is not None:
        return []
    known = states(record)
    return [wait for name, state in known.items() for wait in _waits(record, name, state)]


def _waits(record: RunRecord, task: str, state: TaskState) -> Iterator[Waiting]:
    row = state.row
    if state.pending:
        yield _conditions(record, task, state.due_since_ms)
    elif row is not None and row.resumes:
        since_ms = row.queued_at_ms or record.created_at_ms
        entries = decode_tail(row.log).entries
        yield from (_operation(task, entry, since_ms) for entry in entries if waits(entry))


def _operation(task: str, entry: Entry, since_ms: int) -> Waiting:
    leaves = [leaf for group in entry.groups for leaf in group]
    events = tuple(
        WantedEvent(key=leaf.event_key, scope=leaf.scope, expression=leaf.expression)
        for leaf in leaves
        if isinstance(leaf, EventLeaf)
    )
    dues = [[leaf.due_at_ms for leaf in group if isinstance(leaf, SleepLeaf)] for group in entry.groups]
    return Waiting(
        task=task,
        node_id=entry.node,
        kind=WaitKind.CHILD if entry.child is not None else _kind(events),
        what=asked_in_words(entry),
        events=events,
        child_run_id=entry.child.run_id if entry.child is not None else None,
        since_ms=since_ms,
        until_ms=_ends_at(dues),
    )


def _conditions(record: RunRecord, task: str, since_ms: int) -> Waiting:
    """The conditions of a workflow's task whose parents are done."""
    plan = record.plan.task(task)
    events = tuple(
        WantedEvent(key=leaf.event_key, scope=leaf.scope, expression=leaf.expression)
        for leaf in plan.leaves
        if isinstance(leaf, PlannedEvent)
    )
    actions = (plan.wait_for, plan.skip_if, plan.cancel_if)
    ends = [_ends_at(_dues(record, groups, since_ms)) for groups in actions if groups]
    return Waiting(
        task=task,
        kind=_kind(events),
        what=conditions_in_words(plan, since_ms),
        events=events,
        since_ms=since_ms,
        until_ms=min((each for each in ends if each is not None), default=None),
    )


def _dues(record: RunRecord, groups: Groups, since_ms: int) -> list[list[int]]:
    """By group, since when each condition holds that time brings, or that holds already."""
    known = states(record)

    def due(leaf: Leaf) -> int | None:
        match leaf:
            case PlannedSleep():
                return since_ms + leaf.duration_ms
            case PlannedEvent():
                return None
            case _:
                return since_ms if leaf_met(record, leaf, known) else None

    return [[at_ms for leaf in group if (at_ms := due(leaf)) is not None] for group in groups]


def _kind(events: Sequence[WantedEvent]) -> WaitKind:
    return WaitKind.EVENT if events else WaitKind.TIME


def _ends_at(dues: Iterable[Sequence[int]]) -> int | None:
    """When all groups hold, each by the first of its times; None: time alone does not bring one of them."""
    firsts = [min(group, default=None) for group in dues]
    times = [each for each in firsts if each is not None]
    return max(times) if times and len(times) == len(firsts) else None
