"""Events, filters and webhooks, printed."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from headrace.clients.models.events import Event, V1Event, V1EventList, V1Filter, V1Webhook
from headrace_infra.cli.console import out, print_data, say


def show_pushed(event: Event, *, as_json: bool) -> None:
    """The id of an event that was pushed."""
    if as_json:
        print_data(event.model_dump(mode="json"))
        return
    say(f"pushed {escape(event.key)}: event {event.event_id}")


def show_events(found: V1EventList, *, as_json: bool) -> None:
    """A table of events, or all that is known of them."""
    if as_json:
        print_data([row.model_dump(mode="json") for row in found.rows])
        return
    if not found.rows:
        say("no events since then")
        return
    table = _table("event", "key", "scope", "pushed", "runs")
    for row in found.rows:
        at = row.metadata.created_at.isoformat(sep=" ", timespec="seconds")
        table.add_row(row.metadata.id, escape(row.key), escape(row.scope or "-"), at, _runs(row))
    out.print(table)
    if found.pagination.next_page is not None:
        say("[dim]there are more: --limit[/]")


def _runs(event: V1Event) -> str:
    counts = event.workflow_run_summary
    found = [
        ("queued", counts.queued, "yellow"),
        ("running", counts.running, "cyan"),
        ("completed", counts.succeeded, "green"),
        ("failed", counts.failed, "red"),
        ("cancelled", counts.cancelled, "magenta"),
    ]
    return ", ".join(f"[{colour}]{count} {name}[/]" for name, count, colour in found if count) or "-"


def show_filters(rows: Sequence[V1Filter], *, as_json: bool) -> None:
    """A table of filters, or all that is known of them."""
    if as_json:
        print_data([row.model_dump(mode="json") for row in rows])
        return
    if not rows:
        say("no filters")
        return
    table = _table("filter", "workflow", "scope", "expression", "payload", "")
    for row in rows:
        payload = escape(json.dumps(row.payload)) if row.payload else "-"
        where = "declared" if row.is_declarative else "created"
        table.add_row(
            row.metadata.id,
            escape(row.workflow_name),
            escape(row.scope),
            escape(row.expression),
            payload,
            where,
        )
    out.print(table)


def show_webhooks(rows: Sequence[V1Webhook], *, as_json: bool) -> None:
    """A table of webhooks, or all that is known of them; never their secrets."""
    if as_json:
        print_data([row.model_dump(mode="json") for row in rows])
        return
    if not rows:
        say("no webhooks")
        return
    table = _table("webhook", "source", "auth", "key", "path under the URL in the stack's output WebhooksUrl")
    for row in rows:
        table.add_row(
            row.name, row.source_name.value, row.auth_type, escape(row.event_key_expression), row.path
        )
    out.print(table)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, column in enumerate(columns):
        table.add_column(column, style="dim" if place == 0 else "", no_wrap=place == 0)
    return table
