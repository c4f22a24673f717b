"""`headrace runs replay`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headrace.core.run.graph import finished, run_status
from headrace.errors import NotConfigured
from headrace_infra.cli.console import painted, say
from headrace_infra.cli.found import record_of_run

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
