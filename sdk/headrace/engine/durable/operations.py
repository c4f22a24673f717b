"""The log of a durable task in the table, and the facts that answer its operations."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from headrace.core.changes import Applied, Put
from headrace.core.durable.answers import EventFound, Facts, answered, event_leaves, next_due_ms, waits
from headrace.core.durable.log import (
    SEAL_AT_BYTES,
    Entry,
    Kind,
    Part,
    Tail,
    decode_entries,
    decode_tail,
    encode_entries,
    encode_tail,
)
from headrace.core.run.commit import Attempt, Resumed, save_log
from headrace.core.run.graph import finished, finished_at_ms
from headrace.core.run.message import TaskMessage, encode_message
from headrace.core.run.owed import worker_of
from headrace.core.run.record import RunRecord, TaskRow
from headrace.core.table import join_partition, log_part_key, run_key
from headrace.engine.catalog.plans import record_in
from headrace.engine.clock.timers import send_at
from headrace.engine.engine import Engine
from headrace.engine.waits.kinds.children import is_empty
from headrace.engine.waits.wake import send_now

if TYPE_CHECKING:
    from headrace.core.events.subscription import Subscription


def load_log(engine: Engine, record: RunRecord, task: str) -> tuple[Tail, list[Entry]]:
    """The log of a task: the tail in its row, and all entries by node, the sealed ones read from their items."""
    row = record.tasks.get(task)
    tail = decode_tail(row.log if row is not None else None)
    keys = [log_part_key(record.run_id, task, part.number, part.ticket) for part in tail.parts]
    found = {entry.node: entry for entry in tail.entries}
    for part, item in zip(tail.parts, engine.store.get_many(keys) if keys else [], strict=True):
        if item is None:
            raise ValueError(f"part {part.number} of the durable log of task {task} is missing")
        found |= {entry.node: entry for entry in decode_entries(str(item["body"])) if entry.node not in found}
    return tail, [found[node] for node in sorted(found)]


def sealed(engine: Engine, record: RunRecord, attempt: Attempt, tail: Tail) -> Tail:
    """The tail as it may be written. Of one that is too long the answered entries go to an item first.

    The attempt's ticket is in the item's key, so an attempt that lost its lease overwrites nothing.
    """
    if len(encode_tail(tail) or "") <= SEAL_AT_BYTES:
        return tail
    done = [entry for entry in tail.entries if not entry.open]
    if not done:
        return tail
    part = Part(1 + max((part.number for part in tail.parts), default=0), attempt.ticket)
    body = encode_entries(done)
    key = log_part_key(record.run_id, attempt.task, part.number, part.ticket)
    engine.store.write(Put(key=key, item={"body": body, "expires_at": record.expires_at_s}))
    return Tail(parts=(*tail.parts, part), entries=tuple(entry for entry in tail.entries if entry.open))


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


def facts_for(engine: Engine, record: RunRecord, task: str, entries: Sequence[Entry]) -> Facts:
    """What is true of the open operations among `entries`: a read of the children, one of the subscriptions, and the clock."""
    children = [entry.child.run_id for entry in entries if waits(entry) and entry.child is not None]
    ended: dict[str, int] = {}
    for item in engine.store.get_many([run_key(each) for each in children]) if children else []:
        child = record_in(engine, item)
        if child is not None and finished(child):
            ended[child.run_id] = finished_at_ms(child) or child.created_at_ms
    return Facts(
        now_ms=engine.clock.now_ms(), events=events_for(engine, record, task, entries), ended_at_ms=ended
    )


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


def look(engine: Engine, record: RunRecord, task: str, entries: Sequence[Entry]) -> list[Entry]:
    """The open operations that are answered by now, with their order. Nothing is written."""
    return answered(entries, facts_for(engine, record, task, entries))


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
    """What a claim writes, and the operations that it answers, as they were."""

    resumed: Resumed
    record: RunRecord
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
    tail, entries = load_log(engine, record, message.task)
    answers = {entry.node: entry for entry in look(engine, record, message.task, entries)}
    if not answers:
        _send_on(engine, record, message, entries)
        return NOTHING
    log = encode_tail(with_answers(tail, answers))
    return Resumption(
        resumed=Resumed(log=log or "", invocations=row.invocations + 1),
        record=record,
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
