"""`headrace runs replay`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headrace.clients.inputs import check_input
from headrace.core.run.derived.progress import finished, run_status
from headrace.core.run.ids import task_run_id
from headrace.core.run.record import RunStatus
from headrace.errors import NotConfigured
from headrace_infra.cli.console import painted, say
from headrace_infra.cli.runs.bulk import replay_all
from headrace_infra.cli.runs.cancelling import chosen
from headrace_infra.cli.runs.found import record_of_run
from headrace_infra.cli.runs.listing import Filter

if TYPE_CHECKING:
    from headrace.app import Headrace


def replay_ids(
    app: Headrace, given: Sequence[str], *, input: dict[str, Any] | None, only_failed: bool
) -> None:
    """Replay each run. NotConfigured, before any is replayed, where one does not exist or goes on; ValueError where `input` will not do."""
    records = [record_of_run(app, each) for each in given]
    going = [record for record in records if not finished(record)]
    if going:
        named = ", ".join(f"{record.run_id} is {run_status(record).value}" for record in going)
        raise NotConfigured(
            f"nothing was replayed: {named}. Only a run that is over can be replayed: cancel it first, or wait for its end"
        )
    for record in records if input is not None else ():
        check_input(app, record.plan.workflow, input or {})
    for record in records:
        app.runs.replay(record.run_id, input=input, only_failed=only_failed)
        after = record_of_run(app, record.run_id)
        same = after.generation == record.generation
        say(f"{record.run_id}: {painted(run_status(after))}{'  [dim]nothing had failed[/]' if same else ''}")


def reset(app: Headrace, given: str, *, node: int, branch: int | None, task: str | None) -> None:
    """Reset a durable task. NotConfigured where it cannot be."""
    record = record_of_run(app, given)
    durable = [name for name, row in {**record.again, **record.tasks}.items() if row.log is not None]
    if task is None and len(durable) != 1:
        named = ", ".join(durable)
        raise NotConfigured(
            f"run {record.run_id} has several durable tasks: give --task, one of {named}"
            if durable
            else f"run {record.run_id} has no durable task that has made an operation: headrace runs replay runs it again"
        )
    name = task if task is not None else durable[0]
    if name not in record.plan.by_name:
        raise NotConfigured(
            f"run {record.run_id} has no task {name}: give --task, one of {', '.join(durable)}"
        )
    try:
        made = app.runs.reset_durable_task(task_run_id(record.plan, record.run_id, name), node, branch)
    except ValueError as error:
        raise NotConfigured(str(error)) from error
    say(f"{record.run_id}: task {name} goes on from node {node}, on branch {made.branch_id}")


OVER = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)


def replay_matching(app: Headrace, wanted: Filter, *, sure: bool, only_failed: bool, wait: bool) -> None:
    """Have the stack replay all that match and are over; asks first, on a terminal. What goes on already is left alone."""
    rows = chosen(app, wanted, among=OVER, verb="replay", sure=sure)
    if rows:
        replay_all(app, [row.metadata.id for row in rows], only_failed=only_failed, wait=wait)
