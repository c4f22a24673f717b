"""The commands that look at a stack as a whole, and that start a run in it: the commands and their options."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace_infra.cli.commands.options import AppOption, Output, OutputOption, StackOption

group = typer.Typer()


@group.command(epilog="Example: headrace ui --stack prod")
def ui(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0: a free one")] = 8123,
    look: Annotated[
        bool, typer.Option("--look", help="Only show: no buttons, nothing can be changed")
    ] = False,
    app_path: AppOption = None,
    stack: StackOption = None,
) -> None:
    """Show a stack in the browser, with your own AWS credentials: runs, failures, limits, workflows."""
    from headrace_infra.cli.apps import app_or_stack
    from headrace_infra.cli.stack.showing import show_pages

    show_pages(app_or_stack(app_path, stack), port=port, may_act=not look)


@group.command(epilog='Example: headrace trigger simple --input \'{"message": "Hello"}\' --wait')
def trigger(
    workflow: Annotated[str, typer.Argument(help="The workflow's or task's name")],
    input: Annotated[
        str | None,
        typer.Option(
            "--input",
            "-i",
            help="The input: a JSON object, @file, or - for stdin. Without it you are asked for each field on a terminal, and {} is sent elsewhere",
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait for the result and print it")] = False,
    metadata: Annotated[str, typer.Option(help="Additional metadata, as a JSON object")] = "{}",
    priority: Annotated[int | None, typer.Option(help="1 (low) to 3 (high)")] = None,
    app_path: AppOption = None,
    stack: StackOption = None,
) -> None:
    """Start a run by name."""
    from headrace_infra.cli.apps import app_or_stack
    from headrace_infra.cli.runs import triggering

    triggering.trigger(app_or_stack(app_path, stack), workflow, input, metadata, priority=priority, wait=wait)


@group.command(epilog="Example: headrace workflows -o json")
def workflows(
    app_path: AppOption = None, stack: StackOption = None, output: OutputOption = Output.TABLE
) -> None:
    """List the workflows that the stack has published."""
    from headrace_infra.cli.apps import app_or_stack
    from headrace_infra.cli.runs import listing

    listing.list_workflows(app_or_stack(app_path, stack), as_json=output is Output.JSON)


GATES = (
    "Show concurrency limits, slots, rate limits, paused workflows and labels: which runs hold permits, which wait, and for how long.\n\n"
    "Listed are the limits that a task waits at, or has waited at within the last minutes, whatever their key; and, where no task waits, those "
    "with holders or with units taken that have one key: limits whose expression is a plain text or a number, slots of workers "
    "(with --app) and static rate limits. A key that comes from an expression, and that no task waits for, is in no list: give it "
    "with --key."
)


@group.command(help=GATES, epilog="Example: headrace gates order:charge/0 --key alice")
def gates(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME_OR_KEY",
            help="A limit's name or key, its workflow, task or worker, a rate limit's key, or a whole name as -o json gives it",
        ),
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="The value of the limit's key, where it comes from an expression")
    ] = None,
    all_known: Annotated[bool, typer.Option("--all", help="Idle ones too")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The same as -o json")] = False,
    app_path: AppOption = None,
    stack: StackOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    from headrace_infra.cli.apps import app_or_stack
    from headrace_infra.cli.stack import gating

    is_json = as_json or output is Output.JSON
    gating.show_gates(app_or_stack(app_path, stack), name, key, all_known=all_known, as_json=is_json)


@group.command(epilog="Example: headrace waits --event order:paid -o json")
def waits(
    event: Annotated[
        str | None, typer.Option("--event", help="Those that an event of this key may end")
    ] = None,
    workflow: Annotated[str | None, typer.Option(help="Of this workflow only")] = None,
    run: Annotated[str | None, typer.Option(help="Of this run: its id, or its first characters")] = None,
    hours: Annotated[
        float | None, typer.Option(min=0, help="Of runs of the last hours; default: all that are kept")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many")] = 50,
    app_path: AppOption = None,
    stack: StackOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show which events, times and child runs tasks wait for, since when, and when time ends it. The newest runs come first."""
    from headrace_infra.cli.apps import app_or_stack
    from headrace_infra.cli.runs import awaiting

    awaiting.show_waits(
        app_or_stack(app_path, stack),
        event=event,
        workflow=workflow,
        run_id=run,
        hours=hours,
        limit=limit,
        as_json=output is Output.JSON,
    )


@group.command(epilog="Example: headrace metrics --prometheus")
def metrics(
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="As gauges in Prometheus' text format")
    ] = False,
    app_path: AppOption = None,
    stack: StackOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Count the queued and the running tasks of the last day's runs, by task and by worker: for autoscalers and dashboards."""
    from headrace_infra.cli.apps import app_or_stack
    from headrace_infra.cli.stack import measuring

    as_json = output is Output.JSON
    measuring.show(app_or_stack(app_path, stack), as_json=as_json, as_prometheus=prometheus)


@group.command(epilog="Example: headrace doctor --stack prod")
def doctor(
    app_path: AppOption = None, stack: StackOption = None, output: OutputOption = Output.TABLE
) -> None:
    """Check credentials, region, stack, clock and dead letters, and say what to do."""
    from headrace_infra.cli.apps import app_or_stack
    from headrace_infra.cli.stack import checking

    checking.doctor(app_or_stack(app_path, stack), as_json=output is Output.JSON)
