"""The commands and their options; each does its work in a file of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace_infra.cli import compiling, costing, gating, running, starting
from headrace_infra.cli.apps import app_named, app_or_stack

app = typer.Typer(
    name="headrace",
    help="Hatchet's task model with no server to run: Python tasks on SQS, Lambda and DynamoDB.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
runs = typer.Typer(help="Look at runs, and cancel them.", no_args_is_help=True, rich_markup_mode="rich")
app.add_typer(runs, name="runs")

AppPath = Annotated[str, typer.Argument(help="The app as module:attribute, such as app:hatchet")]
AppOption = Annotated[
    str | None,
    typer.Option("--app", help="The app as module:attribute; default: HEADRACE_APP, or the stack alone"),
]
StackOption = Annotated[str | None, typer.Option("--stack", help="The stack's name; default: HEADRACE_STACK")]


@app.command(epilog="Example: headrace init my-app && cd my-app && sam build && sam deploy --guided")
def init(folder: Annotated[Path, typer.Argument(help="Where to write it")] = Path()) -> None:
    """Write a starter app that runs, tests and deploys."""
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
) -> None:
    """Compile an app to a SAM template."""
    compiling.compile_to(path, folder, output, runtime=runtime, check=check)


@app.command(epilog="Example: headrace dev app:hatchet --port 4566")
def dev(
    path: AppPath,
    port: Annotated[int, typer.Option(help="Port of the emulated AWS on 127.0.0.1; 0: a free one")] = 0,
    reload: Annotated[bool, typer.Option(help="Watch the folder and reload on changes")] = True,
    emulator: Annotated[
        str, typer.Option(help="ministack, moto, or auto: MiniStack where it is installed")
    ] = "auto",
) -> None:
    """Run an app on an emulated AWS, reload it on changes, and show its runs live."""
    from headrace_infra.cli.developing import develop

    develop(path, port=port, reload=reload, emulator=emulator)


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
    from headrace_infra.cli.showing import show_pages

    show_pages(app_or_stack(app_path, stack), port=port, may_act=not look)


@app.command(epilog='Example: headrace trigger simple --input \'{"message": "Hello"}\' --wait')
def trigger(
    workflow: Annotated[str, typer.Argument(help="The workflow's or task's name")],
    input: Annotated[str, typer.Option("--input", "-i", help="The input, as a JSON object")] = "{}",
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait for the result and print it")] = False,
    metadata: Annotated[str, typer.Option(help="Additional metadata, as a JSON object")] = "{}",
    priority: Annotated[int | None, typer.Option(help="1 (low) to 3 (high)")] = None,
    app_path: AppOption = None,
    stack: StackOption = None,
) -> None:
    """Start a run by name."""
    running.trigger(app_or_stack(app_path, stack), workflow, input, metadata, priority=priority, wait=wait)


@runs.command("list", epilog="Example: headrace runs list --status FAILED --hours 24")
def runs_list(
    workflow: Annotated[str | None, typer.Option(help="Of this workflow only")] = None,
    status: Annotated[list[str] | None, typer.Option(help="Of these statuses only; may be repeated")] = None,
    hours: Annotated[float, typer.Option(help="Of the last hours")] = 24.0,
    limit: Annotated[int, typer.Option(help="At most so many")] = 50,
    app_path: AppOption = None,
    stack: StackOption = None,
) -> None:
    """List runs, newest first."""
    running.list_runs(app_or_stack(app_path, stack), workflow, status or [], hours=hours, limit=limit)


@runs.command("get")
def runs_get(run_id: str, app_path: AppOption = None, stack: StackOption = None) -> None:
    """Show a run: its graph with statuses, a waterfall of times, results and errors."""
    running.show(app_or_stack(app_path, stack), run_id)


@runs.command("cancel")
def runs_cancel(run_id: str, app_path: AppOption = None, stack: StackOption = None) -> None:
    """Cancel a run: what is not done is CANCELLED."""
    running.cancel_run(app_or_stack(app_path, stack), run_id)


@runs.command("logs")
def runs_logs(run_id: str, app_path: AppOption = None, stack: StackOption = None) -> None:
    """Print a run's log lines."""
    running.logs(app_or_stack(app_path, stack), run_id)


GATES = (
    "Show who is in a gate, who waits and for how long: concurrency keys, slots, rate limits, paused workflows, labels.\n\n"
    "Listed is what somebody waits at, or has waited at within the last minutes, whatever its key; and, where nobody waits, those "
    "with holders or with units taken that have one key: gates whose expression is a plain text or a number, slots of workers "
    "(with --app) and static rate limits. A key that comes from an expression, and that nobody waits for, is in no list: give it "
    "with --key."
)


@app.command(help=GATES, epilog="Example: headrace gates order:charge/0 --key alice")
def gates(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME_OR_KEY",
            help="A gate's name or key, its workflow, task or worker, a rate limit's key, or a whole name as --json gives it",
        ),
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="The value of the gate's key, where it comes from an expression")
    ] = None,
    all_known: Annotated[bool, typer.Option("--all", help="Idle ones too")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON; times in milliseconds")] = False,
    app_path: AppOption = None,
    stack: StackOption = None,
) -> None:
    gating.show_gates(app_or_stack(app_path, stack), name, key, all_known=all_known, as_json=as_json)


@app.command(
    epilog='Example: headrace cost app:hatchet --workflow simple --input \'{"message": "Hi"}\' --runs 20'
)
def cost(
    path: AppPath,
    workflow: Annotated[str, typer.Option(help="The workflow or task to run")],
    input: Annotated[str, typer.Option("--input", "-i", help="The input, as a JSON object")] = "{}",
    count: Annotated[int, typer.Option("--runs", help="How many runs to count over")] = 20,
    memory: Annotated[int | None, typer.Option(help="MB of the Lambda; default: the worker's")] = None,
) -> None:
    """Run a workload on the local runtime, count every AWS request, and price it."""
    costing.cost(app_named(path), workflow, input, count, memory)
