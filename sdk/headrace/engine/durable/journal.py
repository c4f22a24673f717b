"""The log of one attempt at a durable task: what was read, what has been added, what is written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

from headrace.core.durable.answers import next_due_ms, places_in_joins
from headrace.core.durable.encoding import Texts, encode_tail, encoded
from headrace.core.durable.log import SEAL_AT_BYTES, Branch, Entry, Part, Tail
from headrace.core.run.record import RunRecord, TaskRow
from headrace.core.run.stored.rows import marked
from headrace.core.run.transitions.fence import Attempt
from headrace.core.sealed import check_opened
from headrace.engine.attempts.ports import DurableLog
from headrace.engine.durable import answers, log, subscriptions
from headrace.engine.durable.log import Log
from headrace.engine.engine import Engine

MOST_HAD = 20
"""How many of the events that have answered a task its next subscription names: one that was delivered long ago is not delivered again."""


class Journal:
    """Values in, values out; every method but `put` may block. One attempt has one."""

    def __init__(
        self,
        engine: Engine,
        record: RunRecord,
        attempt: Attempt,
        resumed: Log | None = None,
        *,
        before: TaskRow | None = None,
        stays: bool = False,
    ) -> None:
        """`resumed`: the log as the claim has written it, as the attempt goes on after a suspension. `before`: the row as that left it.
        `stays`: see `DurableLog`."""
        self.resumed = resumed is not None
        self.stays = stays
        self._before = before
        self._suspended_with: str | None = None
        self._engine = engine
        self._record = record
        self._attempt = attempt
        self._tail = Tail()
        self._read: Tail | None = resumed.tail if resumed is not None else None
        self._put: dict[int, Entry] = {}  # since the tail was last put together: a call may put thousands
        self._parts: Mapping[Part, tuple[Entry, ...]] = (
            resumed.parts if resumed is not None else {}
        )  # what is in the sealed ones
        self._children: dict[int, Entry] = {}  # all that have started one
        self._texts: Texts = resumed.texts if resumed is not None else {}
        self._changed = False
        self._armed: set[int] = set()
        self._had: dict[str, None] = {}  # the events that have answered, by their short names
        self._lock = threading.Lock()  # code puts on its event loop, and writes on threads

    @property
    def reads(self) -> bool:
        """Whether a part of the log is sealed and not known."""
        return any(part not in self._parts for part in self._stored().parts)

    def _stored(self) -> Tail:
        """What the row holds, decoded once: before anything is put, it is the tail."""
        if self._read is None:
            self._read = log.tail_of(self._record, self._attempt.task)
        return self._read

    def load(self) -> list[Entry]:
        """All entries, by node. A row holds the tail, so there is something to read only where parts were sealed."""
        found = log.load_log(
            self._engine,
            self._record.run_id,
            self._attempt.task,
            self._stored(),
            self._parts,
        )
        self._tail, self._parts = found.tail, dict(found.parts)
        entries = found.entries
        self._children = {entry.node: entry for entry in entries if entry.child is not None}
        self._note_events(sorted(entries, key=lambda entry: entry.order))
        for entry in entries:
            self._check_opened(entry)
        return entries

    def answered_since(self, left: DurableLog) -> list[Entry] | None:
        """See `DurableLog`. The row says it: the attempt of `left` has written it last, as it suspended, and the log in it is what it has left.
        A process that died, or is late, finds another owner, ticket or log there, and reads it."""
        if not isinstance(left, Journal) or not self._is_left_by(left):
            return None
        tail = self._stored()
        self._parts, self._children, self._armed = left._parts, left._children, left._armed
        open_before = {entry.node for entry in left._tail.entries if entry.open}
        answered = [entry for entry in tail.entries if entry.node in open_before and not entry.open]
        for entry in answered:
            self._check_opened(entry)
        self._children |= {entry.node: entry for entry in answered if entry.child is not None}
        self._had = left._had
        self._note_events(answered)
        self._tail = tail
        return answered

    def _is_left_by(self, left: Journal) -> bool:
        before, attempt = self._before, left._attempt
        return (
            before is not None
            and before.log is not None
            and left._engine.store is self._engine.store
            and marked(before.owner) == marked(attempt.owner)
            and before.ticket == attempt.ticket + 1
            and before.log == left._suspended_with
        )

    def _check_opened(self, entry: Entry) -> None:
        check_opened(f"operation {entry.node} of durable task {self._attempt.task}", entry.result)

    @property
    def branches(self) -> Sequence[Branch]:
        """The branches that the log has gone by, once it is loaded."""
        return self._tail.branches

    @property
    def changed(self) -> bool:
        """Whether something was put that is not written."""
        return self._changed

    @property
    def hold_s(self) -> float:
        return self._engine.limits.hold_s

    def now_ms(self) -> int:
        return self._engine.clock.now_ms()

    def put(self, entries: Iterable[Entry]) -> None:
        """Add entries, or replace what was there; not written yet."""
        with self._lock:
            for entry in entries:
                self._put[entry.node] = entry
                if entry.child is not None:
                    self._children[entry.node] = entry
                if entry.events:
                    self._note_events([entry])
            self._changed = True

    def _note_events(self, entries: Iterable[Entry]) -> None:
        self._had |= {name: None for entry in entries for name in entry.events}

    def save(self) -> bool:
        """Write what was put. False: the attempt is fenced, or its run was cancelled."""
        self._changed = False  # what is put from here on is for the next
        saved = log.save(self._engine, self._attempt, self._sealed(encode_tail))
        self._changed = self._changed or not saved
        return saved

    def look(self, entries: Sequence[Entry]) -> list[Entry]:
        """Those of the entries that are answered by now, with their order. Nothing is written."""
        with self._lock:
            children = [self._children[node] for node in sorted(self._children)]
        places = places_in_joins(children)
        return answers.look(self._engine, self._record, self._attempt.task, entries, places)

    def arm(self, entries: Sequence[Entry]) -> None:
        """Put the subscriptions of open operations, so that events find them. Once each: what the log has open was put before it was
        written."""
        new = [entry for entry in entries if entry.node not in self._armed]
        with self._lock:
            had = tuple(self._had)[-MOST_HAD:]
        subscriptions.arm(self._engine, self._record, self._attempt.task, new, had)
        self._armed |= {entry.node for entry in new}

    def disarm(self, entries: Sequence[Entry]) -> None:
        subscriptions.disarm(self._engine, self._record, self._attempt.task, entries)

    def before_suspension(self) -> int | None:
        """Put the subscriptions of all that is open; when the next of its sleeps is over, in milliseconds."""
        entries = self._whole().entries
        self.arm(entries)
        return next_due_ms(entries, after_ms=self.now_ms())

    def unwritten(self) -> str | None:
        """The log for the attempt's commit, which writes the row as a whole; None for an empty one."""
        self._suspended_with = self._sealed(encoded)
        return self._suspended_with

    def _whole(self) -> Tail:
        """The tail with all that was put."""
        with self._lock:
            if self._put:
                self._tail, self._put = log.with_answers(self._tail, self._put), {}
            return self._tail

    def _sealed(self, encode: Callable[[Tail, Texts], str | None]) -> str | None:
        """The text of the tail as it is now, its older part sealed. What is put meanwhile stays in the tail after it. `encode`: what an
        attempt leaves is remembered by its text, as the next one reads it; what it writes on its way is read by few."""
        before = self._whole()
        text = encode(before, self._texts)
        if len(text or "") <= SEAL_AT_BYTES:
            return text
        made = log.seal(self._engine, self._record, self._attempt, before, self._parts)
        if made is None:
            return text
        self._texts = {}  # most of them are in the part by now
        known = {entry.node: entry for entry in before.entries}
        with self._lock:
            since = {entry.node: entry for entry in self._tail.entries if known.get(entry.node) != entry}
            self._tail = log.with_answers(made.tail, since)
            self._parts = {**self._parts, made.part: made.entries}
        return encode(made.tail, self._texts)
