"""Read runs back: records, outputs, waiting."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.core.changes import Applied
from headrace.core.run.commit import overdue, schedule_timed_out, settle_unrun
from headrace.core.run.graph import finished, states
from headrace.core.run.owed import owed_after
from headrace.core.run.record import RunRecord, TaskRow, TaskStatus
from headrace.core.table import run_key
from headrace.core.waits.points import AtPause
from headrace.engine.catalog.plans import record_in
from headrace.engine.engine import Engine
from headrace.engine.runs.pay import pay
from headrace.engine.runs.payloads import load_input, load_output
from headrace.errors import RequestRefused

UNKNOWN_TRIES = 10
"""How often an id is looked for before it counts as unknown (Hatchet does 10)."""

UNKNOWN_PAUSE_S = 0.1
"""At least so long between two looks at an id that is not there yet."""


def read(engine: Engine, run_id: str) -> RunRecord | None:
    """The run as it stands (strongly consistent). A task overdue in its queue is cancelled on the way."""
    return read_many(engine, [run_id])[0]


def read_many(engine: Engine, run_ids: Sequence[str]) -> list[RunRecord | None]:
    """As `read`, for many: one batched read."""
    if len(run_ids) == 1:
        items = [engine.store.get(run_key(run_ids[0]))]
    else:
        items = engine.store.get_many([run_key(run_id) for run_id in run_ids])
    return [None if item is None else _expire(engine, record_in(engine, item)) for item in items]


def _expire(engine: Engine, record: RunRecord) -> RunRecord:
    """Cancel what waited past its schedule timeout: nobody else may look at it."""
    now_ms = engine.clock.now_ms()
    for name, state in states(record).items():
        if state.status not in (TaskStatus.QUEUED, TaskStatus.PARKED) or waits_without_limit(state.row):
            continue
        since = (
            state.row.queued_at_ms if state.row is not None and state.row.queued_at_ms else state.due_since_ms
        )
        if not overdue(record, name, queued_at_ms=since, now_ms=now_ms):
            continue
        ticket = state.row.ticket if state.row is not None else record.first_ticket(name)
        error = schedule_timed_out(record, name)
        expiry = settle_unrun(record, name, TaskStatus.CANCELLED, error, ticket=ticket, now_ms=now_ms)
        try:
            written = engine.store.write(expiry)
        except RequestRefused:
            return record  # a record that can hold no more can be read all the same
        if written.item is not None:
            record = record_in(engine, written.item)
        if isinstance(written, Applied):
            pay(engine, record, owed_after(record, name))
    return record


def input_text(engine: Engine, record: RunRecord) -> str | None:
    """The run's input, from wherever it is."""
    return load_input(engine, record)


SKIPPED_OUTPUT = '{"skipped":true}'


def output_text(engine: Engine, record: RunRecord, task: str) -> str | None:
    """The JSON text of a settled task's output, from wherever it is; a skipped task's is {"skipped":true}."""
    state = states(record).get(task)
    if state is not None and state.status is TaskStatus.SKIPPED:
        return SKIPPED_OUTPUT
    return load_output(engine, record, task) if task in record.tasks else None


def waits_without_limit(row: TaskRow | None) -> bool:
    """Whether the schedule timeout does not run: the task has started and waits for its children, or its workflow is paused, and
    then the clock ends it after the pause's own limit."""
    if row is None:
        return False
    paused = row.status is TaskStatus.PARKED and isinstance(row.waits_at, AtPause)
    return paused or row.status is TaskStatus.SUSPENDED


class _Waiting:
    """The runs somebody waits for: which are still open, and when to look again."""

    def __init__(self, run_ids: Sequence[str], poll_s: float, longest_poll_s: float) -> None:
        self.run_ids = run_ids
        self.found: dict[str, RunRecord] = {}
        self.open = list(dict.fromkeys(run_ids))
        self.pause_s = poll_s
        self.longest_poll_s = longest_poll_s
        self.misses: dict[str, int] = {}

    def look(self, engine: Engine) -> bool:
        """Read all that is open; whether all is done."""
        missing = False
        for run_id, record in zip(self.open, read_many(engine, self.open), strict=True):
            if record is None:
                self.misses[run_id] = self.misses.get(run_id, 0) + 1
                missing = True
            elif finished(record):
                self.found[run_id] = record
        self.open = [r for r in self.open if r not in self.found and self.misses.get(r, 0) < UNKNOWN_TRIES]
        if missing:
            self.pause_s = max(self.pause_s, UNKNOWN_PAUSE_S)
        return not self.open

    def next_pause_s(self) -> float:
        pause_s = self.pause_s
        self.pause_s = min(self.pause_s * 1.3, self.longest_poll_s)
        return pause_s

    def results(self) -> list[RunRecord | None]:
        return [self.found.get(run_id) for run_id in self.run_ids]


def wait(
    engine: Engine, run_ids: Sequence[str], *, poll_s: float = 0.02, longest_poll_s: float = 1.0
) -> list[RunRecord | None]:
    """Block until every run is finished (polls all in batches, backing off). None: still unknown after 10 tries."""
    waiting = _Waiting(run_ids, poll_s, longest_poll_s)
    while not waiting.look(engine):
        engine.clock.sleep(waiting.next_pause_s())
    return waiting.results()


async def aio_wait(
    engine: Engine, run_ids: Sequence[str], *, poll_s: float = 0.02, longest_poll_s: float = 1.0
) -> list[RunRecord | None]:
    """`wait` without a thread a waiter: sleeps on the event loop, reads in a thread; cancellable."""
    import asyncio

    waiting = _Waiting(run_ids, poll_s, longest_poll_s)
    while not await asyncio.to_thread(waiting.look, engine):
        await asyncio.sleep(waiting.next_pause_s())
    return waiting.results()
