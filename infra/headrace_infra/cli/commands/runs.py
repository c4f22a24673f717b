"""`headrace runs …`: the commands and their options."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace_infra.cli.commands.options import AppOption, Output, OutputOption, RunId, StackOption, group_of

runs = group_of("Look at runs, replay them, and cancel them.")
Workflow = Annotated[str | None, typer.Option(help="Of this workflow only")]
Statuses = Annotated[
    list[str] | None, typer.Option("--status", help="Of these statuses only; may be repeated")
]
Metadata = Annotated[
    list[str] | None,
    typer.Option("--metadata", help="With this pair key=value; may be repeated, one is enough"),
]


@runs.command("list", epilog="Example: headrace runs list --status FAILED --hours 24 -o json")
def runs_list(
    workflow: Workflow = None,
    status: Statuses = None,
    hours: Annotated[float, typer.Option(min=0, help="Of the last hours")] = 24.0,
    limit: Annotated[int, typer.Option(min=1, help="At most so many")] = 50,
    metadata: Metadata = None,
    app_path: AppOption = None,
    stack: StackOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List runs of the whole stack, newest first."""
    from headrace_infra.cli.apps import app_or_stack
    from headrace_infra.cli.runs import listing

    app = app_or_stack(app_path, stack)
    wanted = listing.wanted(app, workflow, status or [], metadata or [], hours=hours)
    listing.list_runs(app, wanted, limit=limit, as_json=output is Output.JSON)


@runs.command("get")
def runs_get(
    run_id: RunId, app_path: AppOption = None, stack: StackOption = None, output: OutputOption = Output.TABLE
) -> None:
    """Show a run: why it failed, its input and output, graph, times, attempts, parent, children and log."""
    from headrace_infra.cli.apps import app_or_stack
    from headrace_infra.cli.runs import looking

    looking.show(app_or_stack(app_path, stack), run_id, as_json=output is Output.JSON)


@runs.command("logs", epilog="Example: headrace runs logs 8825d795 -f")
def runs_logs(
    run_id: RunId,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until the run ends")] = False,
    app_path: AppOption = None,
    stack: StackOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Print a run's log lines, oldest first."""
    from headrace_infra.cli.apps import app_or_stack
    from headrace_infra.cli.runs import looking

    looking.logs(app_or_stack(app_path, stack), run_id, follow=follow, as_json=output is Output.JSON)


@runs.command("cancel", epilog="Example: headrace runs cancel --workflow ingest --status QUEUED --hours 2")
def runs_cancel(
    run_ids: Annotated[list[str] | None, typer.Argument(help="Runs, by id or its first characters")] = None,
    workflow: Workflow = None,
    status: Statuses = None,
    hours: Annotated[float, typer.Option(min=0, help="With a filter: of the last hours")] = 24.0,
    metadata: Metadata = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before cancelling by filter")] = False,
    wait: Annotated[
        bool,
        typer.Option(help="With a filter: follow it until all is done; without, it is done just the same"),
    ] = True,
    app_path: AppOption = None,
    stack: StackOption = None,
) -> None:
    """Cancel runs, by id or by a filter: what is not done is CANCELLED, code that runs is asked to stop."""
    from headrace_infra.cli.apps import app_or_stack
    from headrace_infra.cli.runs import cancelling, listing

    app = app_or_stack(app_path, stack)
    if run_ids:
        cancelling.cancel_ids(app, run_ids)
        return
    if not (workflow or status or metadata):
        raise typer.BadParameter("give run ids, or a filter: --workflow, --status or --metadata")
    wanted = listing.wanted(app, workflow, status or ["QUEUED", "RUNNING"], metadata or [], hours=hours)
    cancelling.cancel_matching(app, wanted, sure=yes, wait=wait)


@runs.command("replay", epilog="Example: headrace runs replay --workflow ingest --status FAILED --hours 2")
def runs_replay(
    run_ids: Annotated[list[str] | None, typer.Argument(help="Runs, by id or its first characters")] = None,
    workflow: Workflow = None,
    status: Statuses = None,
    hours: Annotated[float, typer.Option(min=0, help="With a filter: of the last hours")] = 24.0,
    metadata: Metadata = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before replaying by filter")] = False,
    wait: Annotated[
        bool,
        typer.Option(help="With a filter: follow it until all is done; without, it is done just the same"),
    ] = True,
    only_failed: Annotated[
        bool, typer.Option("--only-failed", help="Leave the tasks as they are that completed")
    ] = False,
    input: Annotated[
        str | None,
        typer.Option("--input", "-i", help="Another input, with ids: a JSON object, @file, or - for stdin"),
    ] = None,
    app_path: AppOption = None,
    stack: StackOption = None,
) -> None:
    """Run runs that are over again, under their ids: by id, or by a filter (of it, those that FAILED, unless --status says more)."""
    from headrace_infra.cli.apps import app_or_stack, parsed_object
    from headrace_infra.cli.runs import listing, replaying

    app = app_or_stack(app_path, stack)
    if run_ids:
        given = None if input is None else parsed_object(input, "--input")
        replaying.replay_ids(app, run_ids, input=given, only_failed=only_failed)
        return
    if not (workflow or status or metadata):
        raise typer.BadParameter("give run ids, or a filter: --workflow, --status or --metadata")
    if input is not None:
        raise typer.BadParameter("--input goes with run ids: runs that a filter finds keep theirs")
    wanted = listing.wanted(app, workflow, status or ["FAILED"], metadata or [], hours=hours)
    replaying.replay_matching(app, wanted, sure=yes, only_failed=only_failed, wait=wait)


@runs.command("bulk", epilog="Example: headrace runs bulk -o json")
def runs_bulk(
    bulk_id: Annotated[str | None, typer.Argument(help="One operation; none: all of the last 7 days")] = None,
    app_path: AppOption = None,
    stack: StackOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """How far the cancels and replays of many runs are, which the stack works off."""
    from headrace_infra.cli.apps import app_or_stack
    from headrace_infra.cli.runs import bulk

    bulk.show(app_or_stack(app_path, stack), bulk_id, as_json=output is Output.JSON)


@runs.command("reset", epilog="Example: headrace runs reset 0192f3a1 --node 4")
def runs_reset(
    run_id: Annotated[str, typer.Argument(help="The run, by id or its first characters")],
    node: Annotated[
        int, typer.Option("--node", min=0, help="The operation to begin with, as runs get shows it")
    ],
    branch: Annotated[
        int | None,
        typer.Option("--branch", min=0, help="Whose operations before it to keep; default: the last"),
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", help="The durable task, where the run has several")
    ] = None,
    app_path: AppOption = None,
    stack: StackOption = None,
) -> None:
    """Run a durable task of a run that is over again, from one of its operations on: those before it keep their answers."""
    from headrace_infra.cli.apps import app_or_stack
    from headrace_infra.cli.runs import replaying

    replaying.reset(app_or_stack(app_path, stack), run_id, node=node, branch=branch, task=task)
