"""`headrace dead-letters`: what was given up, and having it processed again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from headrace_infra.cli.commands.options import AppOption, Output, OutputOption, StackOption, group_of

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.engine.owed.dead_letters import DeadLetter

dead_letters = group_of(
    "Look at tasks whose workers kept crashing, and at messages nothing could be made of; have them processed again."
)
Ids = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]...", help="Ids as `list` shows them, or run ids")
]
All = Annotated[bool, typer.Option("--all", help="All of them")]


@dead_letters.command("list", epilog="Example: headrace dead-letters list -o json")
def list_command(
    limit: Annotated[int, typer.Option(min=1, help="At most so many")] = 100,
    app_path: AppOption = None,
    stack: StackOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List what was given up, the oldest first, with the reason."""
    from headrace_infra.cli.apps import app_or_stack

    _list(app_or_stack(app_path, stack), limit, as_json=output is Output.JSON)


@dead_letters.command("redrive", epilog="Example: headrace dead-letters redrive --all")
def redrive_command(
    ids: Ids = None,
    every: All = False,
    worker: Annotated[
        str | None, typer.Option(help="The worker to send messages to whose queue is not known")
    ] = None,
    app_path: AppOption = None,
    stack: StackOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Have dead letters processed again: what failed of a run is replayed, a message sent again."""
    from headrace_infra.cli.apps import app_or_stack
    from headrace_infra.cli.console import print_data, say

    app = app_or_stack(app_path, stack)
    done = [
        {"id": each.id, "redriven_as": app.dead_letters.redrive(each, worker=worker)}
        for each in _chosen(app, ids or [], every=every)
    ]
    if output is Output.JSON:
        print_data(done)
    for row in done if output is Output.TABLE else []:
        say(f"{_safe(row['id'])} -> {_safe(row['redriven_as'])}")


@dead_letters.command("forget", epilog="Example: headrace dead-letters forget RUN_ID")
def forget_command(
    ids: Ids = None, every: All = False, app_path: AppOption = None, stack: StackOption = None
) -> None:
    """Take dead letters off the list. Their runs stay FAILED."""
    from headrace_infra.cli.apps import app_or_stack
    from headrace_infra.cli.console import counted, say

    app = app_or_stack(app_path, stack)
    chosen = _chosen(app, ids or [], every=every)
    for each in chosen:
        app.dead_letters.forget(each)
    say(f"forgot {counted(len(chosen), 'dead letter')}")


def _chosen(app: Headrace, ids: Sequence[str], *, every: bool) -> list[DeadLetter]:
    """Those named by id, or by their run. BadParameter where none is named, or one is not there."""
    if every == bool(ids):
        raise typer.BadParameter("give ids, or --all")
    found = app.dead_letters.list()
    if every:
        return found
    chosen: dict[str, DeadLetter] = {}
    for wanted in ids:
        mine = [each for each in found if wanted in (each.id, getattr(each, "run_id", None))]
        if not mine:
            raise typer.BadParameter(f"there is no dead letter {wanted!r}: see `headrace dead-letters list`")
        chosen |= {each.id: each for each in mine}
    return list(chosen.values())


def _list(app: Headrace, limit: int, *, as_json: bool) -> None:
    from rich.table import Table

    from headrace.engine.owed.dead_letters import DeadTask
    from headrace_infra.cli.console import out, print_data, say

    found = app.dead_letters.list(limit)
    if as_json:
        print_data([asdict(each) for each in found])
        return
    if not found:
        say(f"no dead letters in stack {_safe(app.settings.stack)}")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("run or message", "task", "when", "reason"):
        table.add_column(column, no_wrap=column != "reason")
    for each in found:
        when = datetime.fromtimestamp(each.at_ms / 1000, UTC).astimezone().strftime("%m-%d %H:%M:%S")
        name = each.run_id if isinstance(each, DeadTask) else each.id
        task = f"{each.workflow}: {each.task}" if isinstance(each, DeadTask) else each.queue or "-"
        table.add_row(_safe(name), _safe(task), when, _safe(each.reason))
    out.print(table)


def _safe(text: str) -> str:
    from rich.markup import escape

    return escape(text)
