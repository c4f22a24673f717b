"""`headrace trigger`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from rich.markup import escape

from headrace.clients.inputs import check_input
from headrace.core.run.derived.progress import run_status
from headrace.engine.runs.read import read
from headrace.errors import FailedTaskRunExceptionGroup, NotConfigured
from headrace_infra.cli.apps import parsed_object
from headrace_infra.cli.console import errors, painted, print_data
from headrace_infra.cli.runs.asking import asked_for

if TYPE_CHECKING:
    from headrace.app import Headrace


def trigger(
    app: Headrace, workflow: str, text: str | None, metadata: str, *, priority: int | None, wait: bool
) -> None:
    """Start a run; print its id or, with `wait`, its result as JSON. Exit code 1 where the run does not complete.

    `text` None: asked for field by field on a terminal, where the workflow has published a schema.
    """
    given = asked_for(app, workflow) if text is None else parsed_object(text, "--input")
    about = parsed_object(metadata, "--metadata")
    check_input(app, workflow, given)
    stub = app.stubs.workflow(name=workflow, input_validator=dict)
    ref = stub.run(
        given,
        wait_for_result=False,
        additional_metadata=about,
        priority=priority,
    )
    run_id = ref.workflow_run_id
    if not wait:
        sys.stdout.write(f"{run_id}\n")
        return
    errors.print(f"run {run_id}", style="dim", highlight=False)
    try:
        with errors.status("waiting for the result"):
            result = ref.result()
    except FailedTaskRunExceptionGroup as error:
        errors.print(f"[red]FAILED[/]\n{escape(str(error))}", highlight=False, soft_wrap=True)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        errors.print(f"not waiting any longer; the run goes on: headrace runs get {run_id}", highlight=False)
        raise
    except ValueError as error:
        record = read(app.engine, run_id)
        if record is None:
            raise NotConfigured(str(error)) from error
        errors.print(f"{painted(run_status(record))} {escape(str(error))}", highlight=False, soft_wrap=True)
        raise SystemExit(1) from None
    print_data(json.loads(json.dumps(result, default=str)))
