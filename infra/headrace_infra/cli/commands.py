"""The commands and their options. Each imports what it does only when it is called: `headrace --help` is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace_infra.cli.dead_letters import dead_letters
from headrace_infra.cli.event_commands import events, filters, webhooks
from headrace_infra.cli.keys import keys
from headrace_infra.cli.options import AppOption, AppPath, Output, OutputOption, StackOption
from headrace_infra.cli.run_commands import runs
from headrace_infra.cli.time_commands import crons, schedules
from headrace_infra.cli.worker_commands import workers

HELP_NAMES = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    name="headrace",
    help="Hatchet's task model with no server to run: Python tasks on SQS, Lambda and DynamoDB.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=HELP_NAMES,
)
app.add_typer(runs, name="runs")
app.add_typer(workers, name="workers")
app.add_typer(crons, name="crons")
app.add_typer(schedules, name="schedules")
app.add_typer(events, name="events")
app.add_typer(filters, name="filters")
app.add_typer(webhooks, name="webhooks")
app.add_typer(dead_letters, name="dead-letters")
app.add_typer(keys, name="keys")


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


@app.command(epilog="Example: headrace init my-app && cd my-app && python app.py")
def init(folder: Annotated[Path, typer.Argument(help="Where to write it")] = Path()) -> None:
    """Write a starter app that runs, tests and deploys. Overwrites nothing."""
    from headrace_infra.cli import starting

    starting.init(folder)


@app.command("compile", epilog="Example: headrace compile app:hatchet && sam build && sam deploy --guided")
def compile_command(
    path: AppPath,
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write")] = Path("template.yaml"),
    folder: Annotated[Path, typer.Option(help="The folder of the app, which `sam build` packs")] = Path(),
    runtime: Annotated[
        str | None, typer.Option(help="Such as python3.13; default: that of this Python")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail where the file is stale")
    ] = False,
    dashboard: Annotated[
        bool,
        typer.Option(
            "--dashboard", help="With the dashboard as functions at URLs that IAM guards: one looks, one acts"
        ),
    ] = False,
    ephemeral: Annotated[
        bool,
        typer.Option(
            "--ephemeral", help="For stacks that come and go: table and bucket go with them, unprotected"
        ),
    ] = False,
) -> None:
    """Compile an app to a SAM template."""
    from headrace_infra.cli import compiling

    compiling.compile_to(
        path,
        folder,
        output,
        runtime=runtime,
        check=check,
        dashboard=dashboard,
        ephemeral=ephemeral,
    )


@app.command(epilog="Example: headrace dev app:hatchet")
def dev(
    path: AppPath,
    port: Annotated[int, typer.Option(help="Port of the emulated AWS on 127.0.0.1; 0: a free one")] = 0,
    reload: Annotated[bool, typer.Option(help="Watch the folder and reload on changes")] = True,
    emulator: Annotated[
        str, typer.Option(help="ministack, moto, or auto: MiniStack where it is installed")
    ] = "auto",
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the runs of the last start")] = False,
) -> None:
    """Run an app on an emulated AWS, reload it on changes, and show its runs and its output live."""
    from headrace_infra.cli.developing import develop

    develop(path, port=port, reload=reload, emulator=emulator, fresh=fresh)


@app.command(epilog="Example: headrace ui --stack prod")
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
    from headrace_infra.cli.showing import show_pages

    show_pages(app_or_stack(app_path, stack), port=port, may_act=not look)


@app.command(epilog='Example: headrace trigger simple --input \'{"message": "Hello"}\' --wait')
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
    from headrace_infra.cli import triggering
    from headrace_infra.cli.apps import app_or_stack

    triggering.trigger(app_or_stack(app_path, stack), workflow, input, metadata, priority=priority, wait=wait)


@app.command(epilog="Example: headrace workflows -o json")
def workflows(
    app_path: AppOption = None, stack: StackOption = None, output: OutputOption = Output.TABLE
) -> None:
    """List the workflows that the stack has published."""
    from headrace_infra.cli import listing
    from headrace_infra.cli.apps import app_or_stack

    listing.list_workflows(app_or_stack(app_path, stack), as_json=output is Output.JSON)


GATES = (
    "Show concurrency limits, slots, rate limits, paused workflows and labels: which runs hold permits, which wait, and for how long.\n\n"
    "Listed are the limits that a task waits at, or has waited at within the last minutes, whatever their key; and, where no task waits, those "
    "with holders or with units taken that have one key: limits whose expression is a plain text or a number, slots of workers "
    "(with --app) and static rate limits. A key that comes from an expression, and that no task waits for, is in no list: give it "
    "with --key."
)


@app.command(help=GATES, epilog="Example: headrace gates order:charge/0 --key alice")
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
    from headrace_infra.cli import gating
    from headrace_infra.cli.apps import app_or_stack

    is_json = as_json or output is Output.JSON
    gating.show_gates(app_or_stack(app_path, stack), name, key, all_known=all_known, as_json=is_json)


@app.command(epilog="Example: headrace waits --event order:paid -o json")
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
    from headrace_infra.cli import awaiting
    from headrace_infra.cli.apps import app_or_stack

    awaiting.show_waits(
        app_or_stack(app_path, stack),
        event=event,
        workflow=workflow,
        run_id=run,
        hours=hours,
        limit=limit,
        as_json=output is Output.JSON,
    )


@app.command(
    epilog='Example: headrace cost app:hatchet --workflow simple --input \'{"message": "Hi"}\' --runs 20'
)
def cost(
    path: AppPath,
    workflow: Annotated[str, typer.Option(help="The workflow or task to run")],
    input: Annotated[
        str, typer.Option("--input", "-i", help="The input: a JSON object, @file, or - for stdin")
    ] = "{}",
    count: Annotated[int, typer.Option("--runs", min=1, help="How many runs to count over")] = 20,
    memory: Annotated[int | None, typer.Option(help="MB of the Lambda; default: the worker's")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Run a workload on the local runtime, count every AWS request, and price it."""
    from headrace_infra.cli import costing
    from headrace_infra.cli.apps import app_named

    costing.cost(app_named(path), workflow, input, count, memory, as_json=output is Output.JSON)


@app.command(
    epilog='Example: headrace simulate app:hatchet --workflow checkout --input \'{"id": "1"}\' --once payments:book --seeds 0:500'
)
def simulate(
    path: AppPath,
    workflow: Annotated[str, typer.Option(help="The workflow or task to run")],
    input: Annotated[
        str, typer.Option("--input", "-i", help="The input: a JSON object, @file, or - for stdin")
    ] = "{}",
    draw: Annotated[
        bool,
        typer.Option(
            "--draw", help="Draw each seed's input from the workflow's input type (needs hypothesis)"
        ),
    ] = False,
    seeds: Annotated[str, typer.Option(help="Which: FIRST:END (END is left out), or how many")] = "0:200",
    seed: Annotated[
        int | None, typer.Option(min=0, help="Replay this one seed, and tell its whole story")
    ] = None,
    faults: Annotated[
        str | None,
        typer.Option(help="With --seed: only these faults happen, by their numbers, such as 0,3"),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, max=1000, help="How many runs are started at once")] = 1,
    once: Annotated[
        list[str] | None,
        typer.Option(
            help="A function that is to be done as often as without faults, such as payments:book. May be given again"
        ),
    ] = None,
    event: Annotated[
        list[str] | None,
        typer.Option(
            help="An event to push when all runs wait, as KEY or KEY=JSON. May be given again: one after the other"
        ),
    ] = None,
    setup: Annotated[
        str | None, typer.Option(help="A function, module:name, called with each world before its runs")
    ] = None,
    check: Annotated[
        str | None,
        typer.Option(
            help="A function, module:name, called with each world at its end: what it raises fails the seed"
        ),
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Do not stop at the first seed that fails")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Run a workflow under simulated crashes, duplicates, delays and lost responses, seed after seed, and tell what goes wrong.

    The app's own tasks run in this process: workers in virtual time on a table and queues in memory, which may die at any call to AWS and
    between any two lines that await. Every seed is held against a run without faults. A seed fails where a run ends otherwise or is
    stuck, where a durable task is not deterministic, where a limit is exceeded, where --check raises, or where a function named by --once
    was done more often, or less often though the run completed. A failing seed is replayed with as few faults as it takes, and told line
    by line; --seed N gives the same story again. Exit code 1 where a seed fails.

    Tasks must not call real services: give them fakes. What they do with time.sleep, asyncio.sleep, random and uuid4 is the world's.
    """
    from headrace_infra.cli import simulating
    from headrace_infra.cli.apps import app_named

    wanted = simulating.Wanted(
        workflow=workflow,
        input=input,
        draw=draw,
        seeds=seeds,
        seed=seed,
        faults=faults,
        runs=runs,
        once=tuple(once or ()),
        events=tuple(event or ()),
        setup=setup,
        check=check,
        keep_going=keep_going,
    )
    simulating.simulate(app_named(path), wanted, as_json=output is Output.JSON)


@app.command(epilog="Example: headrace metrics --prometheus")
def metrics(
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="As gauges in Prometheus' text format")
    ] = False,
    app_path: AppOption = None,
    stack: StackOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Count the queued and the running tasks of the last day's runs, by task and by worker: for autoscalers and dashboards."""
    from headrace_infra.cli import measuring
    from headrace_infra.cli.apps import app_or_stack

    as_json = output is Output.JSON
    measuring.show(app_or_stack(app_path, stack), as_json=as_json, as_prometheus=prometheus)


@app.command(epilog="Example: headrace doctor --stack prod")
def doctor(
    app_path: AppOption = None, stack: StackOption = None, output: OutputOption = Output.TABLE
) -> None:
    """Check credentials, region, stack, clock and dead letters, and say what to do."""
    from headrace_infra.cli import checking
    from headrace_infra.cli.apps import app_or_stack

    checking.doctor(app_or_stack(app_path, stack), as_json=output is Output.JSON)
