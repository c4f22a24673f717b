"""The log of one attempt at a durable task: what was read, what has been added, what is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from headrace.core.durable.answers import next_due_ms
from headrace.core.durable.log import Entry, Tail, encode_tail
from headrace.core.run.commit import Attempt
from headrace.core.run.record import RunRecord
from headrace.engine.durable import operations
from headrace.engine.engine import Engine


class Journal:
    """Values in, values out; every method but `put` may block. One attempt has one."""

    def __init__(self, engine: Engine, record: RunRecord, attempt: Attempt) -> None:
        self._engine = engine
        self._record = record
        self._attempt = attempt
        self._tail = Tail()
        self._changed = False

    def load(self) -> list[Entry]:
        """All entries, by node. A row holds the tail, so there is something to read only where parts were sealed."""
        self._tail, entries = operations.load_log(self._engine, self._record, self._attempt.task)
        return entries

    @property
    def hold_s(self) -> float:
        return self._engine.limits.hold_s

    def now_ms(self) -> int:
        return self._engine.clock.now_ms()

    def put(self, entries: Iterable[Entry]) -> None:
        """Add entries, or replace what was there; not written yet."""
        self._tail = operations.with_answers(self._tail, {entry.node: entry for entry in entries})
        self._changed = True

    def save(self) -> bool:
        """Write what was put. False: the attempt is fenced, or its run was cancelled."""
        tail = self._sealed()
        saved = operations.save(self._engine, self._attempt, tail)
        self._changed = self._changed and not saved
        return saved

    def look(self, entries: Sequence[Entry]) -> list[Entry]:
        """Those of the entries that are answered by now, with their order. Nothing is written."""
        return operations.look(self._engine, self._record, self._attempt.task, entries)

    def arm(self, entries: Sequence[Entry]) -> None:
        """Put the subscriptions of open operations, so that events find them."""
        operations.arm(self._engine, self._record, self._attempt.task, entries)

    def disarm(self, entries: Sequence[Entry]) -> None:
        operations.disarm(self._engine, self._record, self._attempt.task, entries)

    def before_suspension(self) -> int | None:
        """Put the subscriptions of all that is open; when the next of its sleeps is over, in milliseconds."""
        self.arm(self._tail.entries)
        return next_due_ms(self._tail.entries, after_ms=self.now_ms())

    def unwritten(self) -> str | None:
        """The log for the attempt's commit; None where all of it is written."""
        return encode_tail(self._sealed()) if self._changed else None

    def _sealed(self) -> Tail:
        self._tail = operations.sealed(self._engine, self._record, self._attempt, self._tail)
        return self._tail
