"""`headrace runs replay`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headrace.core.run.graph import finished, run_status
from headrace.core.run.record import RunStatus
from headrace.errors import NotConfigured
from headrace_infra.cli.bulk import replay_all
from headrace_infra.cli.cancelling import chosen
from headrace_infra.cli.console import painted, say
from headrace_infra.cli.found import record_of_run
from headrace_infra.cli.listing import Filter

if TYPE_CHECKING:
    from headrace.app import Headrace


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


def replay_matching(app: Headrace, wanted: Filter, *, sure: bool, only_failed: bool, wait: bool) -> None:
    """Have the stack replay all that match and are over; asks first, on a terminal. What goes on already is left alone."""
    rows = chosen(app, wanted, among=OVER, verb="replay", sure=sure)
    if rows:
        replay_all(app, [row.metadata.id for row in rows], only_failed=only_failed, wait=wait)
