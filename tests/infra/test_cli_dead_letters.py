"""`headrace dead-letters`, on a stack in memory whose worker crashed."""

from __future__ import annotations

import json

import pytest
import typer

from headrace import Context, EmptyModel, Headrace
from headrace.core.run.record import RunStatus
from headrace.engine.owed.dead_letters import keep_message
from headrace.engine.runs.dead_letter import fail_dead_letter
from headrace.memory.wiring import connect
from headrace.ports import Ports, Received
from headrace.settings.settings import Settings
from headrace_infra.cli import console
from headrace_infra.cli.commands.root import app as commands


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console.out, "width", 200)


@pytest.fixture
def ports() -> Ports:
    return connect()


@pytest.fixture
def stack(ports: Ports, monkeypatch: pytest.MonkeyPatch) -> Headrace:
    """What `--stack` gives: one run was given up, and a message named none."""
    app = Headrace(config=Settings())

    @app.task(name="charge")
    def charge(input: EmptyModel, ctx: Context) -> None: ...

    app.worker("w", workflows=[charge])
    app.use(ports)
    app._publish()
    client = Headrace(config=Settings(stack="shop"))
    client.use(ports)
    client.runs.create("charge", {"order": 7}, {"customer": "42"}, priority=3)
    [received] = ports.queues.receive("w", limit=1, wait_s=0)
    fail_dead_letter(client.engine, received, reason="its [red]worker[/] kept dying")
    ports.queues.delete(received)
    keep_message(
        client.engine,
        Received(
            queue="dead-letters",
            body="{}",
            receipt="x",
            receive_count=1,
            sent_at_ms=5,
            message_id="m",
            source="w",
        ),
        "no run",
    )
    monkeypatch.setattr("headrace_infra.cli.apps.app_or_stack", lambda app_path, stack: client)
    return client


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    commands(["dead-letters", *arguments], standalone_mode=False)
    return capsys.readouterr().out


def test_they_are_listed(stack: Headrace, capsys: pytest.CaptureFixture[str]) -> None:
    [message, task] = json.loads(run(capsys, "list", "-o", "json"))
    assert (message["queue"], message["body"], message["reason"]) == ("w", "{}", "no run")
    assert (task["workflow"], task["task"], task["worker"]) == ("charge", "charge", "w")
    printed = run(capsys, "list")
    assert "its [red]worker[/] kept dying" in printed
    assert task["run_id"] in printed


def test_a_run_is_replayed(stack: Headrace, ports: Ports, capsys: pytest.CaptureFixture[str]) -> None:
    [_, task] = stack.dead_letters.list()
    run_id = task.run_id  # type: ignore[union-attr]  # a task
    assert json.loads(run(capsys, "redrive", run_id, "-o", "json")) == [
        {"id": task.id, "redriven_as": run_id}
    ]
    assert stack.runs.get_status(run_id) is RunStatus.QUEUED
    assert len(ports.queues.receive("w", limit=10, wait_s=0)) == 1
    stack.dead_letters.redrive(task)
    assert ports.queues.receive("w", limit=10, wait_s=0) == [], "asked again, it is not replayed again"
    assert [letter.reason for letter in stack.dead_letters.list()] == ["no run"]


def test_all_are_redriven_or_forgotten(
    stack: Headrace, ports: Ports, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "redrive", "--all")
    assert len(ports.queues.receive("w", limit=10, wait_s=0)) == 2
    assert "no dead letters in stack shop" in run(capsys, "list")


def test_forgetting_leaves_the_run_failed(stack: Headrace, capsys: pytest.CaptureFixture[str]) -> None:
    [_, task] = stack.dead_letters.list()
    assert "forgot 2 dead letters" in run(capsys, "forget", "--all")
    assert stack.dead_letters.list() == []
    assert stack.runs.get_status(task.run_id) is RunStatus.FAILED  # type: ignore[union-attr]  # a task


@pytest.mark.parametrize(
    "arguments", [("redrive",), ("redrive", "x", "--all"), ("redrive", "nope"), ("forget", "nope")]
)
def test_what_is_not_there_is_said(
    stack: Headrace, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.BadParameter, match=r"give ids, or --all|there is no dead letter"):
        run(capsys, *arguments)
    assert len(stack.dead_letters.list()) == 2
