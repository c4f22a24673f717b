"""`headrace cost`."""

from __future__ import annotations

from rich.table import Table

from headrace.app import Headrace
from headrace.aws.prices import PRICES, durable_functions_dollars, step_functions_dollars
from headrace.clients.inputs import check_input
from headrace_infra.cli.apps import parsed_object
from headrace_infra.cli.console import counted, errors, out, print_data
from headrace_infra.cost.workload import measure

MILLION = 1_000_000


def cost(
    app: Headrace, workflow: str, text: str, count: int, memory: int | None, *, as_json: bool = False
) -> None:
    """Print what the workload cost, per run and per million, and what others would charge for the same shape."""
    given = parsed_object(text, "--input")
    if app.settings.apply_namespace(workflow) in app._workflows_by_name:
        check_input(app, workflow, given)
    with errors.status(f"running {workflow} {count} times on the local runtime"):
        found = measure(app, workflow, given, runs=count, memory_mb=memory)
    if as_json:
        print_data(
            {"runs": found.runs, "units_a_run": found.units_a_run(), "dollars_a_run": found.dollars_a_run()}
        )
        return
    table = Table(
        title=f"{workflow}: {counted(found.runs, 'run')}, {counted(found.tasks, 'task')} each",
        title_justify="left",
    )
    for name in ("what", "a run", "$ a million runs", "of the total"):
        table.add_column(name, justify="left" if name == "what" else "right")
    dollars = found.dollars_a_run()
    total = sum(dollars.values())
    for kind, units in sorted(found.units_a_run().items(), key=lambda pair: -dollars[pair[0]]):
        if units:
            share = f"{dollars[kind] / total:.0%}" if total else "-"
            table.add_row(PRICES[kind].unit, f"{units:,.3g}", f"{dollars[kind] * MILLION:,.2f}", share)
    table.add_section()
    table.add_row("Headrace", "", f"{total * MILLION:,.2f}", "100%")
    compute = dollars.get("gb_second", 0.0) + dollars.get("invocation", 0.0)
    steps = step_functions_dollars(found.tasks) + compute
    durable = durable_functions_dollars(found.tasks) + compute
    table.add_row("Step Functions Standard, same tasks", "", f"{steps * MILLION:,.2f}", "")
    table.add_row("Lambda durable functions, same steps", "", f"{durable * MILLION:,.2f}", "")
    out.print(table)
    out.print(
        "List prices of us-east-1, on demand (headrace.aws.prices has sources and dates). Lambda's seconds were "
        "measured here, where AWS's latency is missing; the others are charged the same Lambda. Counted are the runs' own requests, on whatever "
        "queue of the stack: not in it are what costs the same when nothing runs (polling idle queues, the clock, alarms: docs/cost.md), logs, "
        "storage, data transfer, and a program's waiting for results.",
        style="dim",
    )
