"""`headrace init`, `compile`, `dev`, `cost` and `simulate`: the commands and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace_infra.cli.commands.options import AppPath, Output, OutputOption

project = typer.Typer()


@project.command(epilog="Example: headrace init my-app && cd my-app && python app.py")
def init(folder: Annotated[Path, typer.Argument(help="Where to write it")] = Path()) -> None:
    """Write a starter app that runs, tests and deploys. Overwrites nothing."""
    from headrace_infra.cli.project import starting

    starting.init(folder)


@project.command(
    "compile", epilog="Example: headrace compile app:hatchet && sam build && sam deploy --guided"
)
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
    from headrace_infra.cli.project import compiling

    compiling.compile_to(
        path,
        folder,
        output,
        runtime=runtime,
        check=check,
        dashboard=dashboard,
        ephemeral=ephemeral,
    )


@project.command(epilog="Example: headrace dev app:hatchet")
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
    from headrace_infra.cli.project.developing import develop

    develop(path, port=port, reload=reload, emulator=emulator, fresh=fresh)


@project.command(
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
    from headrace_infra.cli.apps import app_named
    from headrace_infra.cli.project import costing

    costing.cost(app_named(path), workflow, input, count, memory, as_json=output is Output.JSON)


@project.command(
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
    from headrace_infra.cli.apps import app_named
    from headrace_infra.cli.project import simulating

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
