"""`headrace runs cancel`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from headrace.core.run.derived.progress import run_status
from headrace.core.run.record import RunStatus
from headrace.errors import NotConfigured
from headrace_infra.cli.console import counted, painted, say
from headrace_infra.cli.runs.bulk import DONE, cancel_all
from headrace_infra.cli.runs.found import record_of_run
from headrace_infra.cli.runs.listing import Filter, matching

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.clients.models.runs import V1TaskSummary

OPEN = (RunStatus.QUEUED, RunStatus.RUNNING)


def cancel_ids(app: Headrace, given: Sequence[str]) -> None:
    """Cancel each run. NotConfigured, before anything is cancelled, where one does not exist or has ended already."""
    records = [record_of_run(app, each) for each in given]
    ended = [record for record in records if run_status(record) not in OPEN]
    if ended:
        named = ", ".join(f"{record.run_id} is {run_status(record).value}" for record in ended)
        raise NotConfigured(f"nothing to cancel, and nothing was cancelled: {named} already")
    for record in records:
        app.runs.cancel(record.run_id)
        after = record_of_run(app, record.run_id)
        running = any(row.status.value == "RUNNING" for row in record.tasks.values())
        asked = "  [dim]its running code was asked to stop[/]" if running else ""
        say(f"{record.run_id}: {painted(run_status(after))}{asked}")


def cancel_matching(app: Headrace, wanted: Filter, *, sure: bool, wait: bool) -> None:
    """Have the stack cancel all that match and have not ended; asks first, on a terminal."""
    rows = chosen(app, wanted, among=OPEN, verb="cancel", sure=sure)
    if rows:
        cancel_all(app, [row.metadata.id for row in rows], wait=wait)


def chosen(
    app: Headrace, wanted: Filter, *, among: Sequence[RunStatus], verb: str, sure: bool
) -> list[V1TaskSummary]:
    """The runs that match and have one of the statuses that the command is for, once --yes or the person at the terminal has agreed.

    Empty, which is said, where none matches. NotConfigured where no status of the filter will do, or where no one can be asked.
    """
    statuses = [status for status in wanted.statuses if status in among]
    names = f"{', '.join(among[:-1])} and {among[-1]}"
    if not statuses:
        raise NotConfigured(f"only {names} runs can be {DONE[verb]}")
    rows = matching(app, replace(wanted, statuses=statuses), limit=None)
    if not rows:
        say(f"no run to {verb} matches: only {names} runs can be {DONE[verb]}")
        return []
    if sure:
        return rows
    if not sys.stdin.isatty():
        raise NotConfigured(f"{counted(len(rows), 'run')} would be {DONE[verb]}: add --yes to do it")
    import typer

    typer.confirm(f"{verb.capitalize()} {counted(len(rows), 'run')}?", abort=True)
    return rows
