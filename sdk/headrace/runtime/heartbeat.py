"""Keep a lasting attempt alive: its message hidden, its lease fresh; and learn of cancellation from the same write."""

from __future__ import annotations

import threading

from headrace.core.changes import Applied
from headrace.core.run.commit import Attempt, beat
from headrace.core.run.record import record_of
from headrace.engine.engine import Engine
from headrace.engine.runs.cancel import PARENT_CANCELLED, cancel, parent_cancelled
from headrace.errors import QueueUnavailable, StoreUnavailable
from headrace.ports import Received
from headrace.runtime.control import LiveControl
from headrace.runtime.pulse import PULSE, Alarm


def beat_once(engine: Engine, received: Received, attempt: Attempt, control: LiveControl) -> bool:
    """One beat. False: the attempt is fenced or its run cancelled, and its control was told so."""
    lease_until_ms = engine.clock.now_ms() + int(engine.limits.lease_s * 1000)
    written = engine.store.write(beat(attempt, lease_until_ms=lease_until_ms))
    if not isinstance(written, Applied):
        control.tell_cancelled()
        return False
    record = record_of(written.item) if written.item is not None else None
    if record is not None and parent_cancelled(engine, record):
        cancel(engine, record.run_id, reason=PARENT_CANCELLED)
        control.tell_cancelled()
        return False
    engine.queues.hide(received, int(engine.limits.lease_s))
    control.flush()
    return True


class Heartbeat:
    """Beats from `first_beat_s` on for as long as the block lasts; a shorter attempt costs next to nothing."""

    def __init__(self, engine: Engine, received: Received, attempt: Attempt, control: LiveControl) -> None:
        self._engine = engine
        self._received = received
        self._attempt = attempt
        self._control = control
        self._beating = threading.Lock()
        self._over = False
        self._alarm: Alarm | None = None

    def __enter__(self) -> Heartbeat:
        self._alarm = PULSE.after(self._engine.limits.first_beat_s, self._beat)
        return self

    def __exit__(self, *exc: object) -> None:
        self._over = True
        with self._beating:  # a beat under way writes before the commit does
            if self._alarm is not None:
                PULSE.cancel(self._alarm)

    def _beat(self) -> None:
        limits = self._engine.limits
        with self._beating:
            if self._over:
                return
            pause_s = limits.beat_every_s
            try:
                if not beat_once(self._engine, self._received, self._attempt, self._control):
                    return
            except (StoreUnavailable, QueueUnavailable):
                pause_s = 1.0  # soon again: the lease is running out
            self._alarm = PULSE.after(pause_s, self._beat)
