"""`headrace metrics`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace_infra.cli.console import out, print_data, say

if TYPE_CHECKING:
    from headrace.app import Headrace


def show(app: Headrace, *, as_json: bool, as_prometheus: bool) -> None:
    """How many tasks are queued and running, by task and by worker."""
    if as_prometheus:
        out.file.write(app.metrics.scrape_tenant_prometheus_metrics())
        return
    stats = app.metrics.get_task_stats()
    if as_json:
        print_data(
            {
                **app.metrics.get_queue_metrics(),
                "tasks": {name: stat.model_dump(mode="json") for name, stat in stats.items()},
            }
        )
        return
    if not stats:
        say("no task of the last day's runs is open")
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("task")
    for name in ("queued", "since", "running", "since"):
        table.add_column(name, no_wrap=True)
    for name, stat in stats.items():
        cells = []
        for each in (stat.queued, stat.running):
            since = each.oldest.astimezone().strftime("%m-%d %H:%M:%S") if each.oldest else "-"
            cells += [f"{each.total:,}", since]
        table.add_row(name, *cells)
    out.print(table, markup=False)
