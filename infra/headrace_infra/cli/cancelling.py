"""`headrace runs cancel`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from headrace.core.run.graph import run_status
from headrace.core.run.record import RunStatus
from headrace.errors import NotConfigured
from headrace_infra.cli.console import counted, painted, say
from headrace_infra.cli.found import record_of_run
from headrace_infra.cli.listing import Filter, matching

if TYPE_CHECKING:
    from headrace.app import Headrace

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


def cancel_matching(app: Headrace, wanted: Filter, *, sure: bool) -> None:
    """Cancel all that match and have not ended; asks first, on a terminal."""
    from headrace.clients.models import BulkCancelReplayOpts

    open_ones = Filter(
        since=wanted.since,
        statuses=[status for status in wanted.statuses if status in OPEN],
        workflow=wanted.workflow,
        metadata=wanted.metadata,
    )
    if not open_ones.statuses:
        raise NotConfigured("only QUEUED and RUNNING runs can be cancelled")
    rows = matching(app, open_ones, limit=None)
    if not rows:
        say("no run that is QUEUED or RUNNING matches")
        return
    agreed(
        f"Cancel {counted(len(rows), 'run')}?", f"{counted(len(rows), 'run')} would be cancelled", sure=sure
    )
    app.runs.bulk_cancel(BulkCancelReplayOpts(ids=[row.metadata.id for row in rows]))
    say(f"{counted(len(rows), 'run')} cancelled")


def agreed(question: str, what: str, *, sure: bool) -> None:
    """Ask on a terminal, unless --yes was given; NotConfigured elsewhere."""
    if sure:
        return
    if not sys.stdin.isatty():
        raise NotConfigured(f"{what}: add --yes to do it")
    import typer

    typer.confirm(question, abort=True)
