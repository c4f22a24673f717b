"""`headrace crons` and `headrace schedules`, on a stack in memory."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
import typer

from headrace import Context, EmptyModel, Headrace
from headrace.errors import HeadraceError
from headrace.memory.wiring import connect
from headrace.settings.settings import Settings
from headrace_infra.cli import console
from headrace_infra.cli.commands import time as time_commands
from headrace_infra.cli.commands.root import app as commands
from headrace_infra.cli.stack import timetable


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console.out, "width", 200)


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Headrace:
    """What `--stack` gives: an app without definitions, on a stack that has published one."""
    ports = connect()
    app = Headrace(config=Settings())

    @app.task(name="report", on_crons=["CRON_TZ=Europe/Berlin 0 3 * * *"])
    def report(input: EmptyModel, ctx: Context) -> None: ...

    app.worker("w", workflows=[report])
    app.use(ports)
    app._publish()
    client = Headrace(config=Settings(stack="shop"))
    client.use(ports)
    monkeypatch.setattr("headrace_infra.cli.apps.app_or_stack", lambda app_path, stack: client)
    return client


def run(*arguments: str) -> None:
    commands(list(arguments), standalone_mode=False)


def test_crons_are_made_listed_and_deleted(stack: Headrace, capsys: pytest.CaptureFixture[str]) -> None:
    run(
        "crons",
        "create",
        "report",
        "often",
        "*/5 * * * *",
        "--input",
        '{"a": 1}',
        "--priority",
        "3",
        "-o",
        "json",
    )
    made = json.loads(capsys.readouterr().out)
    assert (made["cron"], made["name"], made["input"], made["priority"], made["method"]) == (
        "*/5 * * * *",
        "often",
        {"a": 1},
        3,
        "API",
    )
    run("crons", "list")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1:3] for line in lines[1:]] == [["report", "declared"], ["report", "often"]]
    assert "Europe/Berlin" in lines[1]
    run("crons", "delete", made["metadata"]["id"])
    run("crons", "list", "-o", "json")
    out = capsys.readouterr().out
    assert [row["method"] for row in json.loads(out[out.index("[") :])] == ["DEFAULT"]
    with pytest.raises(ValueError, match="no cron"):
        run("crons", "delete", made["metadata"]["id"])


def test_schedules_are_made_listed_and_deleted(stack: Headrace, capsys: pytest.CaptureFixture[str]) -> None:
    run(
        "schedules", "create", "report", "2031-12-24T18:00:00+01:00", "--metadata", '{"k": "v"}', "-o", "json"
    )
    made = json.loads(capsys.readouterr().out)
    assert (made["trigger_at"], made["additional_metadata"], made["workflow_run_status"]) == (
        "2031-12-24T17:00:00Z",
        {"k": "v"},
        "SCHEDULED",
    )
    run("schedules", "list", "--status", "scheduled")
    [_, line] = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{made['metadata']['id']}  report")
    assert "SCHEDULED" in line
    run("schedules", "list", "--status", "failed")
    assert capsys.readouterr().out == "no scheduled runs in stack shop\n"
    run("schedules", "delete", made["metadata"]["id"])
    assert stack.scheduled.list().rows == []


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (
            ("crons", "create", "report", "c", "@daily", "--input", "[1]"),
            "--input must be a JSON object, not a list",
        ),
        (("crons", "create", "report", "c", "@daily", "--metadata", "{"), "--metadata is not JSON"),
        (("crons", "create", "report", "c", "61 * * * *"), "the minute is '61'"),
        (("crons", "create", "nothing", "c", "@daily"), "no workflow 'nothing'"),
        (("schedules", "create", "report", "soon"), "'soon' is not a time"),
        (("schedules", "list", "--status", "GONE"), "'GONE' is not a status: give one of SCHEDULED"),
    ],
)
def test_what_cannot_be_is_said(stack: Headrace, arguments: tuple[str, ...], what: str) -> None:
    with pytest.raises((ValueError, HeadraceError, typer.BadParameter), match=what):
        run(*arguments)


def test_a_time_without_a_zone_is_utc() -> None:
    assert timetable.time_of("2031-01-01T00:00:00") == datetime(2031, 1, 1, tzinfo=UTC)
    assert time_commands.crons.info.help
