"""`headrace runs replay`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from headrace.core.run.graph import finished, run_status
from headrace.core.run.record import RunStatus
from headrace.errors import NotConfigured, RunNotOver
from headrace_infra.cli.cancelling import chosen
from headrace_infra.cli.console import counted, errors, painted, say
from headrace_infra.cli.found import record_of_run
from headrace_infra.cli.listing import Filter

if TYPE_CHECKING:
    from headrace.app import Headrace

PARALLEL = 8
"""How many runs are replayed at once."""


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar on a terminal; the function moves it on by one."""
    from rich.progress import Progress

    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


def replay_ids(
    app: Headrace, given: Sequence[str], *, input: dict[str, Any] | None, only_failed: bool
) -> None:
    """Replay each run. NotConfigured, before any is replayed, where one does not exist or goes on."""
    records = [record_of_run(app, each) for each in given]
    going = [record for record in records if not finished(record)]
    if going:
        named = ", ".join(f"{record.run_id} is {run_status(record).value}" for record in going)
        raise NotConfigured(
            f"nothing was replayed: {named}. Only a run that is over can be replayed: cancel it first, or wait for its end"
        )
    for record in records:
        app.runs.replay(record.run_id, input=input, only_failed=only_failed)
        after = record_of_run(app, record.run_id)
        same = after.generation == record.generation
        say(f"{record.run_id}: {painted(run_status(after))}{'  [dim]nothing had failed[/]' if same else ''}")


OVER = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)


def replay_matching(app: Headrace, wanted: Filter, *, sure: bool, only_failed: bool) -> None:
    """Replay all that match and are over; asks first, on a terminal. Stopped in between, it can be called again: what goes on already is
    left alone."""
    rows = chosen(app, wanted, among=OVER, verb="replay", sure=sure)
    if not rows:
        return
    done = 0
    with progress("replaying", len(rows)) as step, ThreadPoolExecutor(PARALLEL) as pool:
        for replayed in pool.map(lambda row: _replayed(app, row.metadata.id, only_failed), rows):
            done += replayed
            step()
    say(f"{counted(done, 'run')} replayed")


def _replayed(app: Headrace, run_id: str, only_failed: bool) -> bool:
    """False where it goes on already."""
    try:
        app.runs.replay(run_id, only_failed=only_failed)
    except RunNotOver:
        return False
    return True
