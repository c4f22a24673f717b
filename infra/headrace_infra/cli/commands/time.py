"""`headrace crons …` and `headrace schedules …`: the commands and their options."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace_infra.cli.commands.options import AppOption, Output, OutputOption, StackOption, group_of

crons = group_of("Look at crons, make and delete them.")
schedules = group_of("Look at runs that start once, at a time; make and delete them.")
Workflow = Annotated[str, typer.Argument(help="The workflow, by name")]
OfWorkflow = Annotated[str | None, typer.Option("--workflow", help="Of this workflow only")]
Limit = Annotated[int, typer.Option(min=1, help="At most so many")]
Input = Annotated[str, typer.Option("--input", help="The input: a JSON object, @file, or - for stdin")]
Metadata = Annotated[str, typer.Option("--metadata", help="Additional metadata, as a JSON object")]
Priority = Annotated[int | None, typer.Option(min=1, max=3, help="1 low, 2 medium, 3 high")]


@crons.command("list", epilog="Example: headrace crons list -o json")
def crons_list(
    workflow: OfWorkflow = None,
    limit: Limit = 50,
    app_path: AppOption = None,
    stack: StackOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the stack's crons, declared and created, with their next tick."""
    from headrace_infra.cli.apps import app_or_stack
    from headrace_infra.cli.stack import timetable

    app = app_or_stack(app_path, stack)
    timetable.list_crons(app, workflow, limit=limit, as_json=output is Output.JSON)


@crons.command(
    "create", epilog="Example: headrace crons create report nightly '0 3 * * *' --timezone Europe/Berlin"
)
def crons_create(
    workflow: Workflow,
    name: Annotated[str, typer.Argument(help="The cron's name")],
    expression: Annotated[str, typer.Argument(help="5 fields, or 6 with seconds first, or such as @daily")],
    input: Input = "{}",
    metadata: Metadata = "{}",
    priority: Priority = None,
    timezone: Annotated[str | None, typer.Option(help="Such as Europe/Berlin; default: UTC")] = None,
    app_path: AppOption = None,
    stack: StackOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Start a run of a workflow whenever the expression is due."""
    from headrace.clients.inputs import check_input
    from headrace_infra.cli.apps import app_or_stack, parsed_object
    from headrace_infra.cli.stack import timetable

    app, given = app_or_stack(app_path, stack), parsed_object(input, "--input")
    about = parsed_object(metadata, "--metadata")
    check_input(app, workflow, given)
    made = app.cron.create(
        workflow,
        name,
        expression,
        given,
        about,
        priority,
        timezone,
    )
    timetable.show_cron(made, as_json=output is Output.JSON)


@crons.command("delete")
def crons_delete(
    cron_id: Annotated[str, typer.Argument(help="The cron's id")],
    app_path: AppOption = None,
    stack: StackOption = None,
) -> None:
    """Delete a cron that was created. One that a workflow declares goes with its deployment."""
    from headrace_infra.cli.apps import app_or_stack
    from headrace_infra.cli.console import say

    app = app_or_stack(app_path, stack)
    app.cron.get(cron_id)
    app.cron.delete(cron_id)
    say(f"deleted cron {cron_id}")


@schedules.command("list", epilog="Example: headrace schedules list --status SCHEDULED -o json")
def schedules_list(
    workflow: OfWorkflow = None,
    status: Annotated[
        list[str] | None, typer.Option("--status", help="Of these statuses only; may be repeated")
    ] = None,
    limit: Limit = 50,
    app_path: AppOption = None,
    stack: StackOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List scheduled runs, the next one first, with what became of those that have started."""
    from headrace_infra.cli.apps import app_or_stack
    from headrace_infra.cli.stack import timetable

    app = app_or_stack(app_path, stack)
    timetable.list_schedules(app, workflow, status or [], limit=limit, as_json=output is Output.JSON)


@schedules.command(
    "create",
    epilog="Example: headrace schedules create remind 2026-12-24T18:00:00+01:00 --input '{\"id\": 7}'",
)
def schedules_create(
    workflow: Workflow,
    at: Annotated[str, typer.Argument(help="When, as 2026-12-24T18:00:00+01:00; without a zone: UTC")],
    input: Input = "{}",
    metadata: Metadata = "{}",
    priority: Priority = None,
    app_path: AppOption = None,
    stack: StackOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Start one run of a workflow at a time; at once where it has passed."""
    from headrace.clients.inputs import check_input
    from headrace_infra.cli.apps import app_or_stack, parsed_object
    from headrace_infra.cli.stack import timetable

    when = timetable.time_of(at)
    app, given = app_or_stack(app_path, stack), parsed_object(input, "--input")
    about = parsed_object(metadata, "--metadata")
    check_input(app, workflow, given)
    made = app.scheduled.create(
        workflow,
        when,
        given,
        about,
        priority,
    )
    timetable.show_schedule(made, as_json=output is Output.JSON)


@schedules.command("delete")
def schedules_delete(
    scheduled_id: Annotated[str, typer.Argument(help="The scheduled run's id")],
    app_path: AppOption = None,
    stack: StackOption = None,
) -> None:
    """Delete a run that has not started."""
    from headrace_infra.cli.apps import app_or_stack
    from headrace_infra.cli.console import say

    app_or_stack(app_path, stack).scheduled.delete(scheduled_id)
    say(f"deleted scheduled run {scheduled_id}")
