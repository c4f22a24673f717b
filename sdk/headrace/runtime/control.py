"""What a running attempt may ask of the engine, and what the engine tells it: deadline, cancellation, lines, stream."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

from headrace.core.run.attempts.history import FIRST, LAST
from headrace.core.run.attempts.notes import Note, NoteKind, with_notes
from headrace.core.run.record import RunRecord
from headrace.core.run.transitions.cancel import CANCELLED_BY_TASK
from headrace.core.run.transitions.fence import Attempt
from headrace.core.texts import storable
from headrace.engine.engine import Engine
from headrace.engine.owed.cancel import cancel
from headrace.engine.records.logs import MAX_LINES, LogLine, write_chunk, write_lines
from headrace.errors import HeadraceError

FLUSH_AT_LINES = 25


class Running:
    """Whether the code of an attempt runs: it may outlast the attempt, where it cannot be stopped. Thread-safe."""

    def __init__(self) -> None:
        self._lives = False
        self._over: threading.Event | None = None  # once it is waited for, which few attempts are
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []

    @property
    def lives(self) -> bool:
        return self._lives

    def begins(self) -> None:
        self._lives = True

    def ends(self) -> None:
        with self._lock:
            self._lives = False
            over, self._over = self._over, None
            callbacks, self._callbacks = self._callbacks, []
        if over is not None:
            over.set()
        for callback in callbacks:
            callback()

    def wait(self, seconds: float) -> bool:
        """Wait for its end; whether it has ended."""
        with self._lock:
            if not self._lives:
                return True
            over = self._over = self._over or threading.Event()
        return over.wait(seconds)

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call back once it has ended, from whichever thread it ended in; at once where it has."""
        with self._lock:
            if self.lives:
                self._callbacks.append(callback)
                return
        callback()


class LiveControl:
    """Thread-safe. Lines are buffered: stored by 25, at each beat and before the commit."""

    def __init__(
        self, engine: Engine, record: RunRecord, attempt: Attempt, *, limit_s: float, ceiling_s: float
    ) -> None:
        self._engine = engine
        self._record = record
        self._attempt = attempt
        self._lock = threading.Lock()
        self._started = monotonic()
        self._limit_s = limit_s
        self._notes: list[Note] = []
        self._ceiling_s = ceiling_s
        self.running = Running()
        self._cancelled = False
        self._callbacks: list[Callable[[], None]] = []
        self._last_callbacks: list[Callable[[], None]] = []
        self._lines: list[tuple[int, LogLine]] = []
        self._line_count = 0
        self._chunk_count = 0

    # ---- deadline

    @property
    def limit_s(self) -> float:
        """The attempt's time in all, with what it was extended by."""
        return self._limit_s

    def remaining_s(self) -> float:
        """Time left to the attempt; the invocation's own end counts too."""
        return min(self._limit_s, self._ceiling_s) - (monotonic() - self._started)

    def refresh_timeout(self, seconds: float) -> None:
        with self._lock:
            self._limit_s += seconds
            self._note(NoteKind.TIMEOUT_REFRESHED, seconds)

    # ---- what was asked, to be told later

    def _note(self, kind: NoteKind, seconds: float = 0.0) -> None:
        self._notes.append(Note(kind=kind, at_ms=self._engine.clock.now_ms(), seconds=seconds))
        if len(self._notes) > FIRST + LAST:
            del self._notes[FIRST]

    @property
    def notes(self) -> tuple[Note, ...]:
        """What the code has asked of this attempt."""
        with self._lock:
            return tuple(self._notes)

    def notes_text(self) -> str | None:
        """The notes as the row is to hold them, after those of earlier attempts; None where there is nothing new."""
        row, notes = self._record.tasks[self._attempt.task], self.notes
        return with_notes(row.notes, notes, number=row.retry_count) if notes else None

    # ---- cancellation

    def is_cancelled(self) -> bool:
        return self._cancelled

    def on_cancel(self, callback: Callable[[], None], *, last: bool = False) -> None:
        """Call it once the attempt is told; now, where it was. `last`: after the others, as it may wait for AWS and the code should not."""
        with self._lock:
            if not self._cancelled:
                (self._last_callbacks if last else self._callbacks).append(callback)
                return
        callback()

    def cancel(self) -> None:
        """Cancel this task: a run of one with it; of a workflow's run the other tasks go on."""
        if len(self._record.plan.tasks) == 1:
            cancel(self._engine, self._attempt.run_id, reason=CANCELLED_BY_TASK)
        else:
            from headrace.engine.owed.cancel_task import cancel_task

            cancel_task(self._engine, self._attempt.run_id, self._attempt.task, reason=CANCELLED_BY_TASK)
        self.tell_cancelled()

    def tell_cancelled(self) -> None:
        """The run or this task was cancelled, or another attempt took over."""
        with self._lock:
            if self._cancelled:
                return
            self._cancelled = True
            callbacks = [*self._callbacks, *self._last_callbacks]
            self._callbacks, self._last_callbacks = [], []
        for callback in callbacks:
            callback()

    # ---- the slot

    def release_slot(self) -> None:
        """Give the slot back that this attempt holds, unless another attempt has taken over. Twice is harmless, as at the attempt's end."""
        from headrace.core.run.effects import GiveBack
        from headrace.core.run.record import TaskStatus
        from headrace.core.table import run_key
        from headrace.engine.catalog.plans import record_in
        from headrace.engine.owed.pay import pay

        item = self._engine.store.get(run_key(self._attempt.run_id))
        record = record_in(self._engine, item) if item is not None else None
        row = record.tasks.get(self._attempt.task) if record is not None else None
        if record is None or row is None:
            return
        if row.status is TaskStatus.RUNNING and row.owner == self._attempt.owner:
            # As a task that is suspended does: the places of its keys are kept.
            pay(self._engine, record, [GiveBack(task=self._attempt.task, ticket=row.ticket, suspended=True)])
            with self._lock:
                if all(each.kind is not NoteKind.SLOT_RELEASED for each in self._notes):
                    self._note(NoteKind.SLOT_RELEASED)

    # ---- lines and stream

    def log(self, line: str, *, level: str = "INFO") -> None:
        row = self._record.tasks[self._attempt.task]
        with self._lock:
            if self._line_count >= MAX_LINES:
                return
            self._line_count += 1
            entry = LogLine(
                task=self._attempt.task,
                at_ms=self._engine.clock.now_ms(),
                level=level,
                line=storable(line),
                retry_count=row.retry_count,
            )
            self._lines.append((self._line_count, entry))
            full = len(self._lines) >= FLUSH_AT_LINES
        if full:
            self.flush()

    def flush(self) -> None:
        """Store the lines logged so far. Best effort: a line that cannot be stored costs no attempt."""
        with self._lock:
            lines, self._lines = self._lines, []
        if not lines:
            return
        try:
            write_lines(
                self._engine,
                self._attempt.run_id,
                lines,
                owner=self._attempt.owner,
                expires_at_s=self._record.expires_at_s,
            )
        except HeadraceError:
            with self._lock:  # the next flush tries again; storing a line twice is harmless
                self._lines = [*lines, *self._lines]

    def put_stream(self, chunk: str | bytes) -> None:
        with self._lock:
            self._chunk_count += 1
            number = self._chunk_count
        write_chunk(
            self._engine,
            self._attempt.run_id,
            storable(chunk) if isinstance(chunk, str) else chunk,
            number=number,
            owner=self._attempt.owner,
            expires_at_s=self._record.expires_at_s,
        )
