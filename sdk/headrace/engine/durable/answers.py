"""The answers to the open operations of a durable task: what a look finds, and what the claim of a resuming ticket writes down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from headrace.core.durable.answers import (
    Facts,
    answered,
    next_due_ms,
    places_in_joins,
    waits,
)
from headrace.core.durable.encoding import decode_tail, encode_tail, texts_of
from headrace.core.durable.log import Entry, Kind
from headrace.core.run.message import TaskMessage, encode_message
from headrace.core.run.owed import worker_of
from headrace.core.run.record import RunRecord, TaskRow
from headrace.core.run.transitions.claim import Resumed
from headrace.core.table import join_partition, run_key
from headrace.core.values import dataclass
from headrace.engine.catalog.plans import record_in
from headrace.engine.durable.facts import events_for, facts_for
from headrace.engine.durable.log import Log, load_log, tail_of, with_answers
from headrace.engine.engine import Engine
from headrace.engine.timers import send_at
from headrace.engine.waits.kinds.children import is_empty
from headrace.engine.waits.wake import send_now


def look(
    engine: Engine, record: RunRecord, task: str, entries: Sequence[Entry], places: Mapping[str, int]
) -> list[Entry]:
    """The open operations that are answered by now, with their order. Nothing is written."""
    return answered(entries, facts_for(engine, record, task, entries, places))


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
    """What a claim writes, the log of that, and the operations that it answers, as they were."""

    resumed: Resumed
    record: RunRecord
    log: Log
    answered: tuple[Entry, ...]


class Nothing(Enum):
    """No operation is answered: the message is spent."""

    NOTHING = "nothing"


NOTHING = Nothing.NOTHING


def resumption(engine: Engine, message: TaskMessage) -> Resumption | Nothing | None:
    """What the claim of a resuming ticket writes down: the log with what is answered by now, in its order, before code can see it.

    None: the ticket is not that of a suspended task, so an ordinary claim says what it is.
    """
    record = _suspended(engine, message)
    if record is None:
        return None
    row = record.tasks[message.task]
    found = load_log(engine, record.run_id, message.task, tail_of(record, message.task))
    entries = found.entries
    now_ms = engine.clock.now_ms()
    answers = {
        entry.node: entry for entry in look(engine, record, message.task, entries, places_in_joins(entries))
    }
    if not answers and not message.restored:
        if _suspended(engine, message) is None:
            return None  # a later delivery of this message has claimed meanwhile, and taken the answers: the message is its own
        _send_on(engine, record, message, entries, looked_at_ms=now_ms)
        return NOTHING
    log = Log(with_answers(found.tail, answers), found.parts, texts_of(row.log))
    return Resumption(
        resumed=Resumed(
            log=encode_tail(log.tail, log.texts) or "",
            invocations=row.invocations + 1,
            begun_at_ms=row.begun_at_ms,
        ),
        record=record,
        log=log,
        answered=tuple(entry for entry in entries if entry.node in answers),
    )


def _suspended(engine: Engine, message: TaskMessage) -> RunRecord | None:
    """The record, where the message's ticket is that of a suspended task."""
    record = record_in(engine, engine.store.get(run_key(message.run_id)))
    row = record.tasks.get(message.task) if record is not None else None
    if record is None or row is None or record.cancelled_at_ms is not None:
        return None
    return record if row.resumes and row.ticket == message.ticket else None


def _send_on(
    engine: Engine, record: RunRecord, message: TaskMessage, entries: Sequence[Entry], *, looked_at_ms: int
) -> None:
    """A sleep is over, and its operation waits for another one: the ticket's message comes again when that is over.

    What was not over before the look counts, though it may be by now. It is sent before this message goes, so a crash in between sends it twice.
    """
    due_ms = next_due_ms(entries, after_ms=looked_at_ms)
    if due_ms is not None:
        send_at(engine, worker_of(record, message.task), due_ms, encode_message(message))
