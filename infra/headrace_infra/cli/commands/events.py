"""`headrace events …`, `headrace filters …` and `headrace webhooks …`: the commands and their options."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from headrace_infra.cli.commands.options import AppOption, Output, OutputOption, StackOption, group_of

events = group_of("Push events, and see which runs they started.")
filters = group_of("Look at the filters of events; make and delete them.")
webhooks = group_of("Look at webhooks; make and delete them.")

Limit = Annotated[int, typer.Option(min=1, help="At most so many")]
Scope = Annotated[str | None, typer.Option(help="What filters and waiting tasks are for, such as customer-1")]
Priority = Annotated[int | None, typer.Option(min=1, max=3, help="1 low, 2 medium, 3 high")]


class Auth(StrEnum):
    """How requests of a webhook are authenticated."""

    HMAC = "hmac"
    API_KEY = "api-key"
    BASIC = "basic"


@events.command("push", epilog="Example: headrace events push user:created --payload '{\"id\": 7}'")
def events_push(
    key: Annotated[str, typer.Argument(help="Such as user:created")],
    payload: Annotated[
        str, typer.Option("--payload", help="The payload: a JSON object, @file, or - for stdin")
    ] = "{}",
    metadata: Annotated[str, typer.Option("--metadata", help="Of the runs, as a JSON object")] = "{}",
    scope: Scope = None,
    priority: Priority = None,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Also where a workflow that it starts refuses the payload")
    ] = False,
    app_path: AppOption = None,
    stack: StackOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Push an event: it starts the workflows that name its key, and wakes tasks that wait for it."""
    from headrace.clients.inputs import check_payload
    from headrace_infra.cli.apps import app_or_stack, parsed_object
    from headrace_infra.cli.stack import eventing

    app, given = app_or_stack(app_path, stack), parsed_object(payload, "--payload")
    about = parsed_object(metadata, "--metadata")
    if not unchecked:
        check_payload(app, key, given, scope, about)
    made = app.event.push(
        key,
        given,
        additional_metadata=about,
        priority=priority,
        scope=scope,
    )
    eventing.show_pushed(made, as_json=output is Output.JSON)


@events.command("list", epilog="Example: headrace events list --key user:created -o json")
def events_list(
    key: Annotated[list[str] | None, typer.Option("--key", help="Of this key; may be given again")] = None,
    scope: Scope = None,
    since: Annotated[str | None, typer.Option(help="Such as 2026-12-24T18:00:00; default: a day ago")] = None,
    limit: Limit = 50,
    app_path: AppOption = None,
    stack: StackOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List events, newest first, with what became of their runs."""
    from headrace_infra.cli.apps import app_or_stack
    from headrace_infra.cli.stack import eventing
    from headrace_infra.cli.stack.timetable import time_of

    found = app_or_stack(app_path, stack).event.list(
        limit=limit,
        keys=key,
        scopes=[scope] if scope else None,
        since=time_of(since) if since else None,
    )
    eventing.show_events(found, as_json=output is Output.JSON)


@filters.command("list", epilog="Example: headrace filters list -o json")
def filters_list(
    workflow: Annotated[str | None, typer.Option("--workflow", help="Of this workflow only")] = None,
    scope: Scope = None,
    limit: Limit = 50,
    app_path: AppOption = None,
    stack: StackOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the filters of events, declared and created."""
    from headrace_infra.cli.apps import app_or_stack
    from headrace_infra.cli.stack import eventing

    found = app_or_stack(app_path, stack).filters.list(
        limit=limit, workflow_ids=[workflow] if workflow else None, scopes=[scope] if scope else None
    )
    eventing.show_filters(found.rows, as_json=output is Output.JSON)


@filters.command(
    "create", epilog="Example: headrace filters create welcome 'input.plan == \"pro\"' customer-1"
)
def filters_create(
    workflow: Annotated[str, typer.Argument(help="The workflow, by name")],
    expression: Annotated[
        str, typer.Argument(help="CEL over input, payload, additional_metadata, event_key")
    ],
    scope: Annotated[str, typer.Argument(help="The scope of the events that it is for")],
    payload: Annotated[str, typer.Option("--payload", help="What its runs get, as a JSON object")] = "{}",
    app_path: AppOption = None,
    stack: StackOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Let events of a scope for which an expression is true start a workflow."""
    from headrace_infra.cli.apps import app_or_stack, parsed_object
    from headrace_infra.cli.stack import eventing

    app = app_or_stack(app_path, stack)
    made = app.filters.create(workflow, expression, scope, parsed_object(payload, "--payload"))
    eventing.show_filters([made], as_json=output is Output.JSON)


@filters.command("delete")
def filters_delete(
    filter_id: Annotated[str, typer.Argument(help="As `headrace filters list` shows it")],
    app_path: AppOption = None,
    stack: StackOption = None,
) -> None:
    """Delete a filter that was created."""
    from headrace_infra.cli.apps import app_or_stack
    from headrace_infra.cli.console import say

    app_or_stack(app_path, stack).filters.delete(filter_id)
    say(f"deleted filter {filter_id}")


@webhooks.command("list", epilog="Example: headrace webhooks list -o json")
def webhooks_list(
    limit: Limit = 50,
    app_path: AppOption = None,
    stack: StackOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the stack's webhooks, and where their requests go."""
    from headrace_infra.cli.apps import app_or_stack
    from headrace_infra.cli.stack import eventing

    found = app_or_stack(app_path, stack).webhooks.list(limit=limit)
    eventing.show_webhooks(found.rows, as_json=output is Output.JSON)


@webhooks.command(
    "create",
    epilog='Example: headrace webhooks create repo github \'"github:" + headers["x-github-event"]\' --secret ssm:/github',
)
def webhooks_create(
    name: Annotated[str, typer.Argument(help="Part of its URL")],
    source: Annotated[str, typer.Argument(help="generic, github, stripe, slack, linear or svix")],
    key: Annotated[str, typer.Argument(help="The event's key: CEL over input and headers")],
    secret: Annotated[
        str,
        typer.Option(
            "--secret",
            envvar="HEADRACE_WEBHOOK_SECRET",
            prompt=True,
            hide_input=True,
            help="The secret, or where it is: ssm:/name, secretsmanager:name, or an ARN",
        ),
    ],
    auth: Annotated[Auth, typer.Option(help="How its requests are authenticated")] = Auth.HMAC,
    header: Annotated[str, typer.Option(help="Of the signature or the key, for a generic source")] = "",
    username: Annotated[str, typer.Option(help="For basic authentication")] = "",
    scope: Annotated[str | None, typer.Option(help="The event's scope: CEL over input and headers")] = None,
    app_path: AppOption = None,
    stack: StackOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Take signed requests of another service as events."""
    from headrace.clients.models.events import V1WebhookAPIKeyAuth, V1WebhookBasicAuth, V1WebhookHMACAuth
    from headrace_infra.cli.apps import app_or_stack
    from headrace_infra.cli.stack import eventing

    how: V1WebhookAPIKeyAuth | V1WebhookBasicAuth | V1WebhookHMACAuth
    match auth:
        case Auth.HMAC:
            how = V1WebhookHMACAuth(signature_header_name=header, signing_secret=secret)
        case Auth.API_KEY:
            how = V1WebhookAPIKeyAuth(header_name=header, api_key=secret)
        case Auth.BASIC:
            how = V1WebhookBasicAuth(username=username, password=secret)
    made = app_or_stack(app_path, stack).webhooks.create(source, name, key, how, scope_expression=scope)
    eventing.show_webhooks([made], as_json=output is Output.JSON)


@webhooks.command("delete")
def webhooks_delete(
    name: Annotated[str, typer.Argument(help="As `headrace webhooks list` shows it")],
    app_path: AppOption = None,
    stack: StackOption = None,
) -> None:
    """Delete a webhook, and the secret that was kept for it."""
    from headrace_infra.cli.apps import app_or_stack
    from headrace_infra.cli.console import say

    app_or_stack(app_path, stack).webhooks.delete(name)
    say(f"deleted webhook {name}")
