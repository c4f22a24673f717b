"""The log of a durable task in the table: a tail in its row, and sealed parts beside the record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from headrace.core.changes import Applied, Put
from headrace.core.durable.encoding import Texts, decode_entries, decode_tail
from headrace.core.durable.log import Entry, Part, Tail
from headrace.core.durable.parts import Sealing, encode_part, sealing, text_of_part
from headrace.core.run.record import RunRecord
from headrace.core.run.transitions.fence import Attempt
from headrace.core.run.transitions.lease import save_log
from headrace.core.sealed import MARK
from headrace.core.table import log_part_key
from headrace.core.values import dataclass, replace
from headrace.engine.catalog.plans import record_in
from headrace.engine.engine import Engine


@dataclass(frozen=True, slots=True)
class Log:
    """The log of a task as it was read: the tail in its row, and what is in the sealed parts. `texts`: what was encoded of it meanwhile."""

    tail: Tail
    parts: Mapping[Part, tuple[Entry, ...]]
    texts: Texts = field(default_factory=dict)

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
    parts: dict[Part, tuple[Entry, ...]] = {}
    for part in tail.parts:
        entries = known.get(part) if known else None
        entries = entries if entries is not None else engine.log_parts.get((run_id, task, part))
        if entries is not None:
            parts[part] = entries
    missing = [part for part in tail.parts if part not in parts]
    keys = [log_part_key(run_id, task, part.number, part.owner) for part in missing]
    for part, item in zip(missing, engine.store.get_many(keys) if keys else [], strict=True):
        if item is None:
            raise ValueError(f"part {part.number} of the durable log of task {task} is missing")
        text = text_of_part(item)
        parts[part] = decode_entries(text)
        if MARK not in text:  # what could not be opened now may be another time
            engine.log_parts.put((run_id, task, part), parts[part], len(text))
    return Log(tail, parts)


def tail_of(record: RunRecord, task: str) -> Tail:
    """What the row of a task holds of its log."""
    row = record.tasks.get(task)
    return decode_tail(row.log if row is not None else None)


def seal(
    engine: Engine, record: RunRecord, attempt: Attempt, tail: Tail, known: Mapping[Part, tuple[Entry, ...]]
) -> Sealing | None:
    """Of a tail that is too long to be written again and again, put the answered entries into an item. None: nothing of it is answered.

    The attempt's owner is in the item's key, so an attempt that lost its lease overwrites nothing: the one that took over has the same ticket.
    """
    made = sealing(tail, known, owner=attempt.owner)
    if made is not None:
        key = log_part_key(record.run_id, attempt.task, made.part.number, made.part.owner)
        engine.store.write(
            Put(key=key, item={**encode_part(made.entries), "expires_at": record.expires_at_s})
        )
    return made


def save(engine: Engine, attempt: Attempt, text: str | None) -> bool:
    """Write the tail of a running attempt's log. False: the attempt is fenced, or its run was cancelled."""
    written = engine.store.write(save_log(attempt, text))
    if isinstance(written, Applied):
        return True
    if written.item is None:
        return False
    row = record_in(engine, written.item).tasks.get(attempt.task)  # a lost response leaves what we wrote
    return row is not None and row.owner == attempt.owner and row.log == text


def with_answers(tail: Tail, answers: Mapping[int, Entry]) -> Tail:
    """The tail with those entries in the place of what it had, or added to it."""
    last = tail.entries[-1].node if tail.entries else -1
    if all(node > last for node in answers):  # a step after the others: no look at those
        return replace(tail, entries=(*tail.entries, *(answers[node] for node in sorted(answers))))
    found = {entry.node: entry for entry in tail.entries} | dict(answers)
    return replace(tail, entries=tuple(found[node] for node in sorted(found)))
