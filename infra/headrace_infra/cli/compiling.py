"""`headrace compile`."""

from __future__ import annotations

from pathlib import Path

from headrace.errors import CompileError
from headrace_infra.cli.console import out
from headrace_infra.compile import compile_app, load_app, relative, render


def compile_to(path: str, folder: Path, output: Path, *, runtime: str | None, check: bool) -> None:
    """Write the template, or hold the file that is there against it."""
    app = load_app(path, folder)
    text = render(
        compile_app(app, app_path=path, code_uri=relative(folder, output), runtime=runtime), app_path=path
    )
    if check:
        if not output.exists() or output.read_text() != text:
            raise CompileError(f"{output} is stale: run headrace compile {path} -o {output}")
        out.print(f"{output} is up to date")
        return
    output.write_text(text)
    workers = ", ".join(worker.name for worker in app.fleet())
    out.print(f"[green]{output}[/]: {len(app.workflows_by_name)} workflows on {workers}")
    out.print("next: sam build && sam deploy --guided")
