"""`headrace`: all of its commands."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace_infra.cli.commands.dead_letters import dead_letters
from headrace_infra.cli.commands.events import events, filters, webhooks
from headrace_infra.cli.commands.keys import keys
from headrace_infra.cli.commands.project import project
from headrace_infra.cli.commands.runs import runs
from headrace_infra.cli.commands.stack import group as stack
from headrace_infra.cli.commands.time import crons, schedules
from headrace_infra.cli.commands.workers import workers

HELP_NAMES = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    name="headrace",
    help="Hatchet's task model with no server to run: Python tasks on SQS, Lambda and DynamoDB.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=HELP_NAMES,
)
app.add_typer(project)
app.add_typer(stack)
app.add_typer(runs, name="runs")
app.add_typer(crons, name="crons")
app.add_typer(schedules, name="schedules")
app.add_typer(events, name="events")
app.add_typer(filters, name="filters")
app.add_typer(webhooks, name="webhooks")
app.add_typer(dead_letters, name="dead-letters")
app.add_typer(keys, name="keys")
app.add_typer(workers, name="workers")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"headrace {version('headrace')}")
        raise typer.Exit


@app.callback()
def headrace(
    version: Annotated[
        bool, typer.Option("--version", "-V", is_eager=True, callback=_version, help="Print the version")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the whole traceback of an error")] = False,
) -> None:
    """Hatchet's task model with no server to run: Python tasks on SQS, Lambda and DynamoDB."""
