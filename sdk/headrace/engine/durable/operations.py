"""The log of a durable task in the table, and the facts that answer its operations."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING

from headrace.core.changes import Applied, Put
from headrace.core.durable.answers import (
    EventFound,
    Facts,
    answered,
    event_leaves,
    next_due_ms,
    places_in_joins,
    waits,
)
from headrace.core.durable.log import (
    SEAL_AT_BYTES,
    ChildRun,
    Entry,
    Kind,
    Part,
    Tail,
    decode_tail,
    encode_tail,
)
from headrace.core.durable.parts import Sealing, decode_part, encode_part, sealing
from headrace.core.run.graph import finished, finished_at_ms
from headrace.core.run.message import TaskMessage, encode_message
from headrace.core.run.owed import worker_of
from headrace.core.run.record import RunRecord, TaskRow
from headrace.core.run.transitions.claim import Resumed
from headrace.core.run.transitions.fence import Attempt
from headrace.core.run.transitions.lease import save_log
from headrace.core.table import join_key, join_partition, log_part_key, run_key
from headrace.core.values import dataclass
from headrace.engine.catalog.plans import record_in
from headrace.engine.clock.timers import send_at
from headrace.engine.engine import Engine
from headrace.engine.finished import round_of
from headrace.engine.waits.kinds.children import is_empty, leaf_for
from headrace.engine.waits.wake import send_now

if TYPE_CHECKING:
    from headrace.core.events.subscription import Subscription


@dataclass(frozen=True, slots=True)
class Log:
    """The log of a task as it was read: the tail in its row, and what is in the sealed parts."""

    tail: Tail
    parts: Mapping[Part, tuple[Entry, ...]]

    @property
    def entries(self) -> list[Entry]:
        """All entries, by node."""
        found = {entry.node: entry for entries in self.parts.values() for entry in entries}
        found |= {entry.node: entry for entry in self.tail.entries}
        return [found[node] for node in sorted(found)]


def load_log(
    engine: Engine, run_id: str, task: str, tail: Tail, known: Mapping[Part, tuple[Entry, ...]] | None = None
) -> Log:
    """The log of a task, its sealed parts read from their items, but those that are known. ValueError where one is missing."""
    parts = {part: known[part] for part in tail.parts if part in known} if known else {}
    missing = [part for part in tail.parts if part not in parts]
    keys = [log_part_key(run_id, task, part.number, part.owner) for part in missing]
    for part, item in zip(missing, engine.store.get_many(keys) if keys else [], strict=True):
        if item is None:
            raise ValueError(f"part {part.number} of the durable log of task {task} is missing")
        parts[part] = decode_part(item)
    return Log(tail, parts)


def tail_of(record: RunRecord, task: str) -> Tail:
    """What the row of a task holds of its log."""
    row = record.tasks.get(task)
    return decode_tail(row.log if row is not None else None)


def seal(
    engine: Engine, record: RunRecord, attempt: Attempt, tail: Tail, known: Mapping[Part, tuple[Entry, ...]]
) -> Sealing | None:
    """Of a tail that is too long to be written again and again, put the answered entries into an item. None: nothing is to be sealed.

    The attempt's owner is in the item's key, so an attempt that lost its lease overwrites nothing: who took over has the same ticket.
    """
    if len(encode_tail(tail) or "") <= SEAL_AT_BYTES:
        return None
    made = sealing(tail, known, owner=attempt.owner)
    if made is not None:
        key = log_part_key(record.run_id, attempt.task, made.part.number, made.part.owner)
        engine.store.write(
            Put(key=key, item={**encode_part(made.entries), "expires_at": record.expires_at_s})
        )
    return made


def save(engine: Engine, attempt: Attempt, tail: Tail) -> bool:
    """Write the log of a running attempt. False: the attempt is fenced, or its run was cancelled."""
    written = engine.store.write(save_log(attempt, encode_tail(tail)))
    if isinstance(written, Applied):
        return True
    if written.item is None:
        return False
    row = record_in(engine, written.item).tasks.get(attempt.task)  # a lost response leaves what we wrote
    return row is not None and row.owner == attempt.owner and row.log == encode_tail(tail)


# ---------------------------------------------------------------- facts


def facts_for(
    engine: Engine, record: RunRecord, task: str, entries: Sequence[Entry], places: Mapping[str, int]
) -> Facts:
    """What is true of the open operations among `entries`: the children that have left their joins, one read of the subscriptions, and the
    clock. `places`: see `places_in_joins`, of all entries of the task."""
    return Facts(
        now_ms=engine.clock.now_ms(),
        events=events_for(engine, record, task, entries),
        ended_at_ms=_ended_children(engine, record, task, entries, places),
    )


def _ended_children(
    engine: Engine, record: RunRecord, task: str, entries: Sequence[Entry], places: Mapping[str, int]
) -> dict[str, int]:
    """When the children ended that are over, by run id. Of many only those are read that have left their join."""
    children = [entry.child for entry in entries if waits(entry) and entry.child is not None]
    ended: dict[str, int] = {}
    left = _left_their_joins(engine, record, task, children, places)
    for item in engine.store.get_many([run_key(run_id) for run_id in left]) if left else []:
        child = record_in(engine, item) if item is not None else None
        if child is not None and finished(child):
            engine.children.remember(round_of(record, task), child)
            ended[child.run_id] = finished_at_ms(child) or child.created_at_ms
    return ended


def _left_their_joins(
    engine: Engine, record: RunRecord, task: str, children: Sequence[ChildRun], places: Mapping[str, int]
) -> list[str]:
    """The children that may be over: those that are not in the leaf of their join any more, and any that is alone in it."""
    by_leaf: dict[str, list[str]] = {}
    for child in children:
        index = places.get(child.run_id, child.first)
        by_leaf.setdefault(leaf_for(record.run_id, task, child.first, index), []).append(child.run_id)
    shared = [leaf for leaf, members in by_leaf.items() if len(members) > 1]
    items = engine.store.get_many([join_key(leaf) for leaf in shared]) if shared else []
    inside: dict[str, object] = {
        leaf: item.get("left") for leaf, item in zip(shared, items, strict=True) if item is not None
    }
    return [
        run_id
        for leaf, members in by_leaf.items()
        for run_id in members
        if not _is_in(inside.get(leaf), places.get(run_id))
    ]


def _is_in(indexes: object, index: int | None) -> bool:
    return isinstance(indexes, frozenset | set) and index in indexes


def subscriptions_of(
    record: RunRecord, task: str, entries: Iterable[Entry]
) -> list[tuple[tuple[int, int], Subscription, int | None]]:
    """The subscriptions of the open operations, each with its (node, leaf) and since when earlier events count."""
    found = event_leaves(entries)
    if not found:
        return []
    from headrace.core.events.subscription import Subscription

    return [
        (
            (node, number),
            Subscription(
                run_id=record.run_id,
                task=task,
                node=node,
                leaf=number,
                event_key=leaf.event_key,
                scope=leaf.scope,
                expression=leaf.expression,
            ),
            leaf.since_ms,
        )
        for node, number, leaf in found
    ]


def events_for(
    engine: Engine, record: RunRecord, task: str, entries: Iterable[Entry]
) -> dict[tuple[int, int], EventFound]:
    """The events that have satisfied subscriptions of the open operations: one batched read, none where there is none."""
    wanted = subscriptions_of(record, task, entries)
    if not wanted:
        return {}
    from headrace.engine.events import subscriptions

    found = subscriptions.look_up(engine, [each for _, each, _ in wanted])
    return {
        place: EventFound(
            at_ms=event.at_ms,
            payload=json.loads(event.payload) if event.payload else {},
            event_id=event.event_id,
        )
        for (place, _, _), event in zip(wanted, found, strict=True)
        if event is not None
    }


def arm(engine: Engine, record: RunRecord, task: str, entries: Iterable[Entry]) -> None:
    """Put the subscriptions of the open operations; those that look back are satisfied by an earlier event at once."""
    wanted = subscriptions_of(record, task, entries)
    if not wanted:
        return
    from headrace.engine.events import subscriptions

    subscriptions.arm(engine, [each for _, each, _ in wanted])
    for _, subscription, since_ms in wanted:
        if since_ms is not None:
            subscriptions.look_back(engine, subscription, since_ms)


def disarm(engine: Engine, record: RunRecord, task: str, entries: Iterable[Entry]) -> None:
    """Take the subscriptions of operations away: they are answered, or the task is over."""
    wanted = [each for _, each, _ in subscriptions_of(record, task, entries)]
    if wanted:
        from headrace.engine.events import subscriptions

        subscriptions.disarm(engine, wanted)


def look(
    engine: Engine, record: RunRecord, task: str, entries: Sequence[Entry], places: Mapping[str, int]
) -> list[Entry]:
    """The open operations that are answered by now, with their order. Nothing is written."""
    return answered(entries, facts_for(engine, record, task, entries, places))


# ---------------------------------------------------------------- suspended


def look_after(engine: Engine, record: RunRecord, task: str) -> None:
    """The look after a suspension: what was answered just before it woke nothing. Sends the ticket where there is an answer.

    Paid again by every later delivery on this account, so a crash between the suspension and this look loses nothing.
    """
    row = record.tasks[task]
    if row.resumes and record.cancelled_at_ms is None and _any_answer(engine, record, task, row):
        send_now(engine, record, task)


def _any_answer(engine: Engine, record: RunRecord, task: str, row: TaskRow) -> bool:
    """As `look`, with less to read: of children only the joins of their calls."""
    entries = decode_tail(row.log).entries
    runs = [
        entry.child
        for entry in entries
        if waits(entry) and entry.kind is Kind.RUN and entry.child is not None
    ]
    joins = {join_partition(record.run_id, task, child.first) for child in runs}
    if any(is_empty(engine, join) for join in sorted(joins)):
        return True
    return bool(
        answered(
            entries,
            Facts(
                now_ms=engine.clock.now_ms(), events=events_for(engine, record, task, entries), ended_at_ms={}
            ),
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumption:
    """What a claim writes, what is in the sealed parts of the log, and the operations that it answers, as they were."""

    resumed: Resumed
    record: RunRecord
    parts: Mapping[Part, tuple[Entry, ...]]
    answered: tuple[Entry, ...]


class Nothing(Enum):
    """No operation is answered: the message is spent."""

    NOTHING = "nothing"


NOTHING = Nothing.NOTHING


def resumption(engine: Engine, message: TaskMessage) -> Resumption | Nothing | None:
    """What the claim of a resuming ticket writes down: the log with what is answered by now, in its order, before code can see it.

    None: the ticket is not that of a suspended task, so an ordinary claim says what it is.
    """
    item = engine.store.get(run_key(message.run_id))
    record = record_in(engine, item)
    row = record.tasks.get(message.task) if record is not None else None
    if record is None or row is None or record.cancelled_at_ms is not None:
        return None
    if not row.resumes or row.ticket != message.ticket:
        return None
    found = load_log(engine, record.run_id, message.task, tail_of(record, message.task))
    tail, entries = found.tail, found.entries
    answers = {
        entry.node: entry for entry in look(engine, record, message.task, entries, places_in_joins(entries))
    }
    if not answers and not message.restored:
        _send_on(engine, record, message, entries)
        return NOTHING
    log = encode_tail(with_answers(tail, answers))
    return Resumption(
        resumed=Resumed(log=log or "", invocations=row.invocations + 1),
        record=record,
        parts=found.parts,
        answered=tuple(entry for entry in entries if entry.node in answers),
    )


def _send_on(engine: Engine, record: RunRecord, message: TaskMessage, entries: Sequence[Entry]) -> None:
    """A sleep is over, and its operation waits for another one: the ticket's message comes again when that is over.

    It is sent before this message goes, so a crash in between sends it twice.
    """
    due_ms = next_due_ms(entries, after_ms=engine.clock.now_ms())
    if due_ms is not None:
        send_at(engine, worker_of(record, message.task), due_ms, encode_message(message))


def with_answers(tail: Tail, answers: Mapping[int, Entry]) -> Tail:
    """The tail with those entries in the place of what it had, or added to it."""
    found = {entry.node: entry for entry in tail.entries} | dict(answers)
    return replace(tail, entries=tuple(found[node] for node in sorted(found)))


def end_operations(engine: Engine, record: RunRecord, task: str) -> None:
    """A durable task is over: take the subscriptions of its open operations away."""
    disarm(engine, record, task, decode_tail(record.tasks[task].log).entries)
