"""`headrace workers …`: which there are, and one that begins nothing for a while."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace_infra.cli.commands.options import AppOption, Output, OutputOption, StackOption, group_of

workers = group_of("Look at workers, pause one and let it go on.")
Name = Annotated[str, typer.Argument(help="The worker's name")]
COLOURS = {"ACTIVE": "green", "PAUSED": "yellow", "INACTIVE": "red"}


@workers.command("list", epilog="Example: headrace workers list -o json")
def workers_list(
    app_path: AppOption = None, stack: StackOption = None, output: OutputOption = Output.TABLE
) -> None:
    """List the stack's workers: ACTIVE, PAUSED, or INACTIVE where no process of one is alive."""
    from rich.markup import escape
    from rich.table import Table

    from headrace_infra.cli.apps import app_or_stack
    from headrace_infra.cli.console import errors, out, print_data, say

    app = app_or_stack(app_path, stack)
    with errors.status("reading workers"):
        rows = app.workers.list().rows
    if output is Output.JSON:
        print_data([row.model_dump(mode="json") for row in rows])
        return
    if not rows:
        say(f"stack {escape(app.settings.stack)} has published no worker: deploy it, or run `headrace dev`")
        return
    table = Table("worker", "status", "workflows", box=None, pad_edge=False, header_style="dim")
    for row in rows:
        status = f"[{COLOURS[row.status]}]{row.status}[/]"
        table.add_row(escape(row.name), status, escape(", ".join(row.workflows)))
    out.print(table)


@workers.command("pause", epilog="Example: headrace workers pause gpu")
def workers_pause(name: Name, app_path: AppOption = None, stack: StackOption = None) -> None:
    """Let a worker begin no task: what it has begun goes on. Tasks wait for as long as their schedule_timeout says."""
    from rich.markup import escape

    from headrace_infra.cli.apps import app_or_stack
    from headrace_infra.cli.console import say

    app_or_stack(app_path, stack).workers.pause(name)
    say(f"paused worker {escape(name)}: within 10 seconds it begins no task")


@workers.command("unpause", epilog="Example: headrace workers unpause gpu")
def workers_unpause(name: Name, app_path: AppOption = None, stack: StackOption = None) -> None:
    """Let a paused worker begin tasks again, those that wait, too."""
    from rich.markup import escape

    from headrace_infra.cli.apps import app_or_stack
    from headrace_infra.cli.console import say

    app_or_stack(app_path, stack).workers.unpause(name)
    say(f"worker {escape(name)} goes on")
