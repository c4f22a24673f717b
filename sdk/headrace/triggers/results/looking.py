"""When to look at a run that is waited for, and how: what threads and event loops that wait have in common.

First it is polled, 40 ms apart at most, by eventually consistent reads. What lasts longer than a third of a second asks to be told at the
reply queue of this process, once that is made; then it is looked at when it is told, and now and then in case it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from typing import TYPE_CHECKING

from headrace.core.run.derived.progress import finished
from headrace.core.run.replies import MOST_WAITERS
from headrace.core.values import dataclass
from headrace.engine.runs.read import UNKNOWN_PAUSE_S, UNKNOWN_TRIES, expires_at_ms, read_many

if TYPE_CHECKING:
    from headrace.core.run.record import RunRecord
    from headrace.engine.engine import Engine
    from headrace.settings.settings import Settings
    from headrace.triggers.results.mailbox import Mailbox

GROWTH = 1.3
"""What a pause is multiplied by after each poll that found the run still open."""

QUICK_S = 0.04
"""The longest pause between polls of a run whose end may soon be told: what it is noticed late by, at most."""

QUICK_FOR_S = 2.5
"""How long a wait polls at that pace at most: by then its process has made its reply queue, the first time that it needs one."""

POLLED_S = 1 / 3
"""How long a run is polled before its end is asked for. A process whose `longest_poll_s` is no longer polls on: it asks for that pace."""

FIRST_DOUBT_S = 15.0
LONGEST_DOUBT_S = 300.0
"""When a run is looked at though nothing was heard of it: after 15 s, then every five minutes. Each costs half a read unit."""

UNHEARD_MS = 10_000
"""A run that has been over for so long without a word: this process is not told of ends, so it had better poll."""


@dataclass(slots=True, eq=False)
class Watch:
    """One run that is waited for. Times are seconds of the waiter's own clock."""

    run_id: str
    began: float
    look_at: float
    pause_s: float
    misses: int = 0
    doubtful: bool = False  # the next look is strongly consistent
    heard: bool = False  # that it is over, or that the mailbox has changed
    told_at: str | None = None  # the reply queue that the run names
    fresh: bool = (
        False  # this process has just started it: its first end cannot be mistaken for an earlier one
    )
    doubt_s: float = FIRST_DOUBT_S
    found: RunRecord | None = None
    over: bool = False  # `found` is the answer, None: there is no such run

    def is_due(self, now: float) -> bool:
        """A little early where others are due: they share a request."""
        return self.look_at <= now + min(self.pause_s / 4, 0.25)

    def hear(self, now: float) -> None:
        self.look_at, self.heard = now, True


@dataclass(slots=True)
class Looker:
    """Looks at runs for one waiter."""

    engine: Engine
    settings: Settings
    mailbox: Mailbox
    watches: dict[str, Watch] = field(default_factory=dict)

    def watch(self, run_id: str, now: float, wake: Callable[[], None]) -> Watch:
        """Begin to wait for a run. One that was started with the name of the reply queue need not be polled."""
        watch = Watch(run_id, now, now, self.settings.poll_s)
        over = self.mailbox.watch(run_id, wake)
        record = self.mailbox.started(run_id)
        if record is not None:
            watch.found, watch.told_at, watch.fresh = record, record.routing.reply_to, True
            watch.look_at = now + self._pause_s(watch, now)
        if over:
            watch.hear(now)
        return watch

    def look(self, watches: Sequence[Watch], now: float) -> None:
        """Read the runs that are due, or ask to be told of them, and plan when to look again."""
        address = self.mailbox.address
        asking = [each for each in watches if self._asks(each, address, now)]
        sure = [
            each
            for each in watches
            if each not in asking and (each.doubtful or (each.heard and not each.fresh))
        ]
        rest = [each for each in watches if each not in asking and each not in sure]
        if asking and address is not None:
            self._ask(asking, address, now)
        if rest:
            sure = [*sure, *self._poll(rest, now)]
        if sure:
            ids = [each.run_id for each in sure]
            for watch, record in zip(sure, read_many(self.engine, ids), strict=True):
                self._judge(watch, record, now)

    def _asks(self, watch: Watch, address: str | None, now: float) -> bool:
        if now - watch.began < POLLED_S or self.settings.longest_poll_s <= POLLED_S:
            return False
        if watch.found is None or len(watch.found.reply_queues) >= MOST_WAITERS:
            return False
        if address is None and self.mailbox.may_open:
            self.mailbox.open()
        return address is not None and watch.told_at != address

    def _ask(self, watches: Sequence[Watch], address: str, now: float) -> None:
        from headrace.engine.owed.replies import ask

        records = ask(self.engine, [each.run_id for each in watches], address)
        for watch, record in zip(watches, records, strict=True):
            watch.told_at = address
            self._judge(watch, record, now)

    def _poll(self, watches: Sequence[Watch], now: float) -> list[Watch]:
        """Read what may be a moment old. Those of which that says nothing for sure: over (it may be replayed), or not there."""
        unsure = []
        ids = [each.run_id for each in watches]
        for watch, record in zip(watches, read_many(self.engine, ids, consistent=False), strict=True):
            if record is not None and watch.told_at is not None and not watch.heard and self._unheard(record):
                self.mailbox.distrust()
            if record is not None and watch.fresh and finished(record):
                self._judge(watch, record, now)
            elif record is None or watch.heard or finished(record):
                unsure.append(watch)
            else:
                self._judge(watch, record, now)
        return unsure

    def _unheard(self, record: RunRecord) -> bool:
        """Whether the run has been over for so long that its end should have been told."""
        ends = [row.finished_at_ms for row in record.tasks.values() if row.finished_at_ms is not None]
        return bool(ends) and max(ends) < self.engine.clock.now_ms() - UNHEARD_MS

    def _judge(self, watch: Watch, record: RunRecord | None, now: float) -> None:
        watch.found, watch.heard = record, False
        watch.doubtful = record is None
        if record is None:
            watch.misses += 1
            watch.pause_s = max(watch.pause_s, UNKNOWN_PAUSE_S)
        watch.over = watch.misses >= UNKNOWN_TRIES if record is None else finished(record)
        watch.look_at = now + self._pause_s(watch, now)

    def _longest_s(self, watch: Watch, now: float) -> float:
        longest_s = self.settings.longest_poll_s
        quick = self.mailbox.may_open and longest_s > POLLED_S and now - watch.began < QUICK_FOR_S
        return min(QUICK_S, longest_s) if quick else longest_s

    def _pause_s(self, watch: Watch, now: float) -> float:
        if watch.told_at is None or watch.told_at != self.mailbox.address or watch.found is None:
            pause_s = watch.pause_s
            watch.pause_s = min(pause_s * GROWTH, max(self._longest_s(watch, now), self.settings.poll_s))
            return pause_s
        pause_s = watch.doubt_s
        watch.doubt_s = LONGEST_DOUBT_S
        by_ms = expires_at_ms(
            watch.found
        )  # nothing tells of a task that did not start in time: a look ends it
        if by_ms is None:
            return pause_s
        return min(
            pause_s, max(UNKNOWN_PAUSE_S, (by_ms - self.engine.clock.now_ms()) / 1000 + UNKNOWN_PAUSE_S)
        )
