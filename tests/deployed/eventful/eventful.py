"""An app that events start: pushed ones, those of webhooks, and those of AWS."""

from typing import Any

from headrace import Context, DefaultFilter, EmptyModel, Headrace

hatchet = Headrace()


@hatchet.task(name="welcome", on_events=["user:*"])
def welcome(input: EmptyModel, ctx: Context) -> dict[str, Any]:
    return {"key": ctx.triggering_event_key, "event": ctx.triggering_event_id}


@hatchet.task(
    name="audit",
    on_events=["user:*"],
    default_filters=[DefaultFilter(expression="input.admin == true", scope="staff", payload={"level": 2})],
)
def audit(input: EmptyModel, ctx: Context) -> dict[str, Any]:
    """Pushes an event itself, from inside a task."""
    pushed = hatchet.event.push("audit:done", {"level": ctx.filter_payload["level"]})
    return {"pushed": pushed.event_id}


@hatchet.task(name="archive", on_events=["audit:done", "github:*", "acme.billing:Invoice Closed"])
def archive(input: EmptyModel, ctx: Context) -> dict[str, Any]:
    return {"key": ctx.triggering_event_key}


hatchet.worker(
    "main",
    workflows=[welcome, audit, archive],
    webhooks=True,
    event_patterns=[{"source": ["acme.billing"], "detail-type": ["Invoice Closed"]}],
)
