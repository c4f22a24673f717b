"""A debounced call: it starts no run, but puts off the one that starts once things went quiet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.run.message import FiringKind
from headrace.core.table import debounce_id
from headrace.engine.clock.fire import start_scheduled
from headrace.engine.clock.scheduled import ScheduledRun, forget_debounced, get_scheduled, put_off
from headrace.engine.runs.read import read_many
from headrace.errors import StoreUnavailable
from headrace.options.priority import check_priority
from headrace.triggers.definition import found_here

if TYPE_CHECKING:
    from headrace.core.run.request import StartRun
    from headrace.engine.attempts.starts import Start
    from headrace.triggers.definition import Door
    from headrace.triggers.results.outcomes import Connected

MAX_TRIES = 5


def put_off_run(app: Door, wanted: StartRun, start: Start) -> str:
    """The id of the run that will start for this call and those before it, with this call's input, metadata and priority. `start`: the door.

    ValueError where there is no such workflow; PayloadTooLargeError for an input of more than 256 KB.
    """
    engine, quiet = app.engine, wanted.options.debounce
    assert quiet is not None
    found = found_here(app, wanted.workflow, "a debounced run")
    if wanted.options.priority is not None:
        check_priority(wanted.options.priority, f"workflow {wanted.workflow}: priority")
    now_ms = engine.clock.now_ms()
    pending = ScheduledRun(
        id=debounce_id(wanted.workflow, quiet.key),
        workflow=wanted.workflow,
        due_ms=now_ms + min(quiet.period_ms, quiet.max_wait_ms),
        latest_ms=now_ms + quiet.max_wait_ms,
        run_id=engine.ids.run_id(),
        input=wanted.input,
        metadata=wanted.options.metadata,
        priority=wanted.options.priority,
        worker=found.published.plan.tasks[0].worker,
    )
    for _ in range(MAX_TRIES):
        taken = put_off(engine, pending)
        if taken is not None:
            return taken.run_id
        _let_it_start(app, pending.id, start)
    raise StoreUnavailable(
        f"workflow {wanted.workflow}: the debounced run of key {quiet.key!r} kept changing; call again"
    )


def _let_it_start(app: Door, given: str, start: Start) -> None:
    """The pending run was marked as started, by a process that may have died before it started it. Starting it twice is harmless."""
    run = get_scheduled(app.engine, given, FiringKind.DEBOUNCE)
    if run is None or not run.started:
        return
    if run.problem is None:
        start_scheduled(app.engine, start, run)
    forget_debounced(app.engine, run)


def await_start(app: Connected, run_id: str, debounce_id: str) -> None:
    """Block until a debounced run has started, or will not."""
    pause_s = app.settings.poll_s
    while read_many(app.engine, [run_id])[0] is None:
        pending = get_scheduled(app.engine, debounce_id, FiringKind.DEBOUNCE)
        if pending is None or pending.run_id != run_id or pending.problem is not None:
            return
        app.engine.clock.sleep(pause_s)
        pause_s = min(pause_s * 1.3, app.settings.longest_poll_s)
