"""Keep a lasting attempt alive: its message hidden, its lease fresh; and learn of cancellation from the same write."""

from __future__ import annotations

import threading

from headrace.core.changes import Applied
from headrace.core.record import record_of
from headrace.core.transitions import Attempt, beat
from headrace.engine.cancel import PARENT_CANCELLED, cancel, parent_cancelled
from headrace.engine.control import LiveControl
from headrace.engine.engine import Engine
from headrace.errors import QueueUnavailable, StoreUnavailable
from headrace.ports import Received


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
    """Beats in a thread of its own from `first_beat_s` on; a shorter attempt costs nothing but a timer."""

    def __init__(self, engine: Engine, received: Received, attempt: Attempt, control: LiveControl) -> None:
        self._engine = engine
        self._received = received
        self._attempt = attempt
        self._control = control
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="headrace-heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        limits = self._engine.limits
        pause_s = limits.first_beat_s
        while not self._stop.wait(pause_s):
            try:
                if not beat_once(self._engine, self._received, self._attempt, self._control):
                    return
                pause_s = limits.beat_every_s
            except (StoreUnavailable, QueueUnavailable):
                pause_s = 1.0  # soon again: the lease is running out
