"""`headrace compile`."""

from __future__ import annotations

import os
import re
from pathlib import Path

from rich.markup import escape

from headrace.app import Headrace
from headrace.errors import CompileError
from headrace.options.zones import called
from headrace_infra.cli.console import counted, errors, say
from headrace_infra.compile import compile_app, load_app, relative, render
from headrace_infra.compile_checks import left_out, uncapped
from headrace_infra.unseen import unseen_workers


def compile_to(
    path: str,
    folder: Path,
    output: Path,
    *,
    runtime: str | None,
    check: bool,
    dashboard: bool = False,
    ephemeral: bool = False,
) -> None:
    """Write the template, or hold the file that is there against it."""
    app = load_app(path, folder)
    template = compile_app(
        app,
        app_path=path,
        code_uri=relative(folder, output),
        runtime=runtime,
        dashboard=dashboard,
        ephemeral=ephemeral,
    )
    options = "".join(
        f" {name}" for name, on in (("--dashboard", dashboard), ("--ephemeral", ephemeral)) if on
    )
    text = render(template, app_path=f"{path}{options}")
    unlimited = uncapped(app)
    for sentence in [*left_out(app), *([unlimited] if unlimited else [])]:
        errors.print(f"[yellow]warning:[/] {escape(sentence)}", highlight=False, soft_wrap=True)
    _warn_of_unseen(app, folder)
    if dashboard and not _requires_ui(folder):
        errors.print(
            "[yellow]warning:[/] the dashboard needs [bold]headrace\\[ui][/] in requirements.txt",
            highlight=False,
        )
    if check:
        if not output.exists() or output.read_text() != text:
            raise CompileError(f"{output} is stale: run headrace compile {path} -o {output}")
        say(f"{output} is up to date")
        return
    _write(output, text)
    workers = ", ".join(
        f"{worker.name} ({called(worker.zone)})" if worker.zone else worker.name for worker in app._fleet()
    )
    say(f"[green]{output}[/]: {counted(len(app._served()), 'workflow')} on {workers}")
    if not app._workers_declared:
        say(
            "No worker is declared at import: one named [bold]default[/], with the usual settings, has them all."
        )
    say("next: sam build && sam deploy --guided")


def _requires_ui(folder: Path) -> bool:
    """Whether the folder's requirements have the pages' packages; a folder without requirements is built by other means."""
    found = folder / "requirements.txt"
    return (
        not found.exists()
        or "mangum" in found.read_text()
        or bool(re.search(r"headrace\[[^]]*\bui\b", found.read_text()))
    )


def _warn_of_unseen(app: Headrace, folder: Path) -> None:
    fleet = ", ".join(worker.name for worker in app._fleet())
    for each in unseen_workers(folder, {worker.name for worker in app._fleet()}):
        shown = each.path.relative_to(Path.cwd()) if each.path.is_relative_to(Path.cwd()) else each.path
        sentence = each.sentence(fleet).replace(str(each.path), str(shown), 1)
        errors.print(f"[yellow]warning:[/] {escape(sentence)}", highlight=False, soft_wrap=True)


def _write(output: Path, text: str) -> None:
    """All or nothing: a full disk leaves the old file."""
    new = output.with_name(f".{output.name}.new")
    try:
        new.write_text(text)
        os.replace(new, output)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise CompileError(f"{output} cannot be written: {error.strerror}") from error
