"""Keep a lasting attempt alive: its message hidden, its lease fresh; and learn of cancellation from the same write."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, repeat

from headrace.core.changes import Applied
from headrace.core.run.derived.progress import finished
from headrace.core.run.record import RunRecord, TaskStatus
from headrace.core.run.transitions.fence import Attempt
from headrace.core.run.transitions.lease import beat
from headrace.core.table import run_key
from headrace.engine.catalog.plans import record_in
from headrace.engine.engine import Engine, Limits
from headrace.engine.owed.cancel import PARENT_CANCELLED, cancel, parent_cancelled
from headrace.errors import QueueUnavailable, StoreUnavailable
from headrace.ports import Received
from headrace.runtime.control import LiveControl
from headrace.runtime.pulse import PULSE, Alarm


def beat_once(engine: Engine, received: Received, attempt: Attempt, control: LiveControl) -> bool:
    """One beat. False: the attempt is fenced or its run cancelled, and its control was told so."""
    lease_until_ms = engine.clock.now_ms() + int(engine.limits.lease_s * 1000)
    written = engine.store.write(beat(attempt, lease_until_ms=lease_until_ms, notes=control.notes_text()))
    if not isinstance(written, Applied):
        control.tell_cancelled()
        return False
    record = record_in(engine, written.item) if written.item is not None else None
    if record is not None and parent_cancelled(engine, record):
        cancel(engine, record.run_id, reason=PARENT_CANCELLED)
        control.tell_cancelled()
        return False
    engine.queues.hide(received, int(engine.limits.lease_s))
    control.flush()
    return True


def look_once(
    engine: Engine, record: RunRecord, control: LiveControl, *, first: bool, attempt: Attempt | None = None
) -> bool:
    """Whether the run, or the attempt's task, was cancelled, by eventually consistent reads: its control is told so.

    Beats learn of it too, but each is a write, so they are far apart. A read is half a unit. The first look of a child run reads
    its parent alone, as that is what people cancel: a task of under ten seconds pays for one read, whichever it is.
    """
    keys = [] if first and record.parent is not None else [record.key]
    if record.parent is not None:
        keys.append(run_key(record.parent.run_id))
    for key, item in zip(keys, engine.store.get_many(keys, consistent=False), strict=True):
        if item is None:
            continue
        if "x" not in item:
            if key == record.key and attempt is not None and _cancelled(record_in(engine, item), attempt):
                control.tell_cancelled()
                return True
            continue
        if key != record.key:
            if finished(replace(record_in(engine, item), cancelled_at_ms=None)):
                continue  # the parent was over before it was cancelled
            cancel(engine, record.run_id, reason=PARENT_CANCELLED)
        control.tell_cancelled()
        return True
    return False


def _cancelled(record: RunRecord, attempt: Attempt) -> bool:
    """Whether the attempt's task was cancelled by itself: its row says so only after its claim, so an old copy cannot mislead."""
    row = record.tasks.get(attempt.task)
    return row is not None and row.status is TaskStatus.CANCELLED and row.ticket == attempt.ticket


class Heartbeat:
    """Beats from `first_beat_s` on for as long as the block lasts, and looks between beats whether the run was cancelled.

    A shorter attempt costs next to nothing: one of less than `first_look_s` no call, one of less than `first_beat_s` a look.
    """

    def __init__(
        self, engine: Engine, received: Received, record: RunRecord, attempt: Attempt, control: LiveControl
    ) -> None:
        self._engine = engine
        self._record = record
        self._received = received
        self._attempt = attempt
        self._control = control
        self._calling = threading.Lock()
        self._over = False
        self._looked = False
        limits = engine.limits
        self._pauses = chain((limits.second_look_s - limits.first_look_s,), repeat(limits.look_every_s))
        self._alarms: dict[Callable[[], None], Alarm] = {}

    def __enter__(self) -> Heartbeat:
        self._call_after(self._engine.limits.first_beat_s, self._beat)
        self._call_after(self._engine.limits.first_look_s, self._look)
        return self

    def __exit__(self, *exc: object) -> None:
        self._over = True
        with self._calling:  # a beat under way writes before the commit does
            for alarm in self._alarms.values():
                PULSE.cancel(alarm)

    def _call_after(self, seconds: float, call: Callable[[], None]) -> None:
        self._alarms[call] = PULSE.after(seconds, call)

    def _beat(self) -> None:
        limits = self._engine.limits
        with self._calling:
            if self._over:
                return
            pause_s = limits.beat_every_s
            try:
                if not beat_once(self._engine, self._received, self._attempt, self._control):
                    return
            except (StoreUnavailable, QueueUnavailable):
                pause_s = 1.0  # soon again: the lease is running out
            self._call_after(pause_s, self._beat)

    def _look(self) -> None:
        """The first beat looks too, so that a task of under ten seconds pays for one look."""
        with self._calling:
            if self._over:
                return
            try:
                first, self._looked = not self._looked, True
                if look_once(self._engine, self._record, self._control, first=first, attempt=self._attempt):
                    return
            except StoreUnavailable:
                pass  # the next look or beat will see it
            self._call_after(next(self._pauses), self._look)


class Beats:
    """Calls `beat` from `first_beat_s` on for as long as the block lasts, until it says False."""

    def __init__(self, limits: Limits, beat: Callable[[], bool]) -> None:
        self._limits = limits
        self._do = beat
        self._calling = threading.Lock()
        self._over = False
        self._alarm: Alarm | None = None

    def __enter__(self) -> Beats:
        self._alarm = PULSE.after(self._limits.first_beat_s, self._beat)
        return self

    def __exit__(self, *exc: object) -> None:
        self._over = True
        with self._calling:
            if self._alarm is not None:
                PULSE.cancel(self._alarm)

    def _beat(self) -> None:
        with self._calling:
            if self._over:
                return
            pause_s = self._limits.beat_every_s
            try:
                if not self._do():
                    return
            except (StoreUnavailable, QueueUnavailable):
                pause_s = 1.0
            self._alarm = PULSE.after(pause_s, self._beat)
