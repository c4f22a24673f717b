"""`headrace events`, `filters` and `webhooks` on a stack, by its name alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.conftest import Command

from headrace import Context, DefaultFilter, EmptyModel, Headrace
from headrace_infra.local.stack import LocalStack
from headrace_infra.testing import local

hatchet = Headrace()


@hatchet.task(name="welcome", on_events=["user:*"])
def welcome(input: EmptyModel, ctx: Context) -> None: ...


@hatchet.task(
    name="audit",
    on_events=["user:*"],
    default_filters=[DefaultFilter(expression="input.admin", scope="staff", payload={"level": 2})],
)
def audit(input: EmptyModel, ctx: Context) -> None: ...


hatchet.worker("main", workflows=[welcome, audit])


@pytest.fixture
def stack(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalStack]:
    with local(hatchet, stack="shop", background=False) as running:
        monkeypatch.setenv("HEADRACE_STACK", "shop")
        yield running


def test_an_event_is_pushed_and_listed_with_its_runs(stack: LocalStack, headrace: Command) -> None:
    done = headrace("events", "push", "user:created", "--payload", '{"admin": true}', "--scope", "staff")
    assert done.code == 0, done.err
    assert "pushed user:created: event " in done.out
    stack.drain()
    listed = headrace("events", "list", "-o", "json")
    [row] = json.loads(listed.out)
    assert (row["key"], row["scope"], row["payload"]) == ("user:created", "staff", {"admin": True})
    assert row["workflow_run_summary"]["succeeded"] == 2
    table = headrace("events", "list", "--key", "user:created")
    assert row["metadata"]["id"] in table.out
    assert "2 completed" in table.out
    assert "no events" in headrace("events", "list", "--key", "other").out


def test_filters(stack: LocalStack, headrace: Command) -> None:
    made = headrace("filters", "create", "welcome", "input.plan == 'pro'", "shop", "-o", "json")
    assert made.code == 0, made.err
    [created] = json.loads(made.out)
    listed = json.loads(headrace("filters", "list", "-o", "json").out)
    assert [(each["workflow_name"], each["is_declarative"]) for each in listed] == [
        ("audit", True),
        ("welcome", False),
    ]
    assert "declared" in headrace("filters", "list").out
    refused = headrace("filters", "delete", listed[0]["metadata"]["id"])
    assert (refused.code, "declared by its code" in refused.err) == (1, True)
    assert headrace("filters", "delete", created["metadata"]["id"]).code == 0
    assert len(json.loads(headrace("filters", "list", "-o", "json").out)) == 1


def test_webhooks(stack: LocalStack, headrace: Command) -> None:
    made = headrace("webhooks", "create", "repo", "github", "'github'", "--secret", "do not tell")
    assert made.code == 0, made.err
    assert "/api/v1/stable/tenants/shop/webhooks/repo" in made.out
    listed = headrace("webhooks", "list", "-o", "json")
    assert [each["name"] for each in json.loads(listed.out)] == ["repo"]
    assert "do not tell" not in made.out + listed.out
    assert headrace("webhooks", "delete", "repo").code == 0
    assert "no webhooks" in headrace("webhooks", "list").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["events", "push", "a:*"], "wildcards belong in on_events"),
        (["events", "push", "a", "--payload", "[1]"], "--payload must be a JSON object, not a list"),
        (["events", "push", "a", "--payload", "{"], "--payload is not JSON"),
        (["filters", "create", "nowhere", "true", "s"], "nowhere"),
        (["filters", "create", "welcome", "1 +", "s"], "workflow welcome: filter: expression"),
        (["webhooks", "create", "w", "gitlab", "'k'", "--secret", "s"], "source_name is 'gitlab'"),
        (["webhooks", "delete", "w"], "Webhook w not found"),
    ],
)
def test_what_is_refused_is_one_sentence(
    stack: LocalStack, headrace: Command, arguments: list[str], message: str
) -> None:
    done = headrace(*arguments)
    assert done.code != 0
    assert message in " ".join(done.err.split())
    assert stack.depth_of_all() == 0
