"""`headrace workers`, on a stack in memory."""

from __future__ import annotations

import json

import pytest

from headrace import Context, EmptyModel, Headrace, Settings
from headrace.memory.wiring import connect
from headrace_infra.cli import console
from headrace_infra.cli.commands import workers as worker_commands


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Headrace:
    """What `--stack` gives: an app without definitions, on a stack that has published one."""
    ports, app = connect(), Headrace(config=Settings())

    @app.task()
    def report(input: EmptyModel, ctx: Context) -> None: ...

    app.worker("w", workflows=[report])
    app.worker("gpu", process=True)
    app.use(ports)
    app._publish()
    client = Headrace(config=Settings(stack="shop"))
    client.use(ports)
    monkeypatch.setattr(console.out, "width", 200)
    monkeypatch.setattr("headrace_infra.cli.apps.app_or_stack", lambda app_path, stack: client)
    return client


def test_a_worker_is_paused_and_goes_on(stack: Headrace, capsys: pytest.CaptureFixture[str]) -> None:
    worker_commands.workers_pause("w")
    assert capsys.readouterr().out == "paused worker w: within 10 seconds it begins no task\n"
    worker_commands.workers_list()
    head, gpu, paused = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert (head, gpu, paused) == (
        ["worker", "status", "workflows"],
        ["gpu", "INACTIVE"],
        ["w", "PAUSED", "report"],
    )
    worker_commands.workers_unpause("w")
    worker_commands.workers_list(output=worker_commands.Output.JSON)
    said, _, listed = capsys.readouterr().out.partition("\n")
    assert said == "worker w goes on"
    assert [(row["name"], row["status"]) for row in json.loads(listed)] == [
        ("gpu", "INACTIVE"),
        ("w", "ACTIVE"),
    ]
    with pytest.raises(ValueError, match="no worker of stack 'shop' is called 'v'"):
        worker_commands.workers_pause("v")
