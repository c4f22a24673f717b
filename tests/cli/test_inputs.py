"""An input that the workflow's model refuses is told before anything is written or sent, by every command that takes one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import Command
from pydantic import BaseModel, Field, model_validator

from headrace import Context, EmptyModel, Headrace
from headrace_infra.local.stack import LocalStack
from headrace_infra.testing import local

hatchet = Headrace()


class Greeting(BaseModel):
    name: str = Field(min_length=2)
    times: int = 1


class Trimmed(BaseModel):
    name: str

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        return {"name": "nobody", **data}


@hatchet.task(name="greet", input_validator=Greeting, on_events=["user:*"])
def greet(input: Greeting, ctx: Context) -> dict[str, str]:
    return {"text": f"Hello, {input.name}!" * input.times}


@hatchet.task(name="lenient", input_validator=Trimmed)
def lenient(input: Trimmed, ctx: Context) -> dict[str, str]:
    return {"name": input.name}


@hatchet.task(name="audit", on_events=["user:*"])
def audit(input: EmptyModel, ctx: Context) -> None: ...


hatchet.worker("main", workflows=[greet, lenient, audit])

MISSING = "workflow greet does not take this input: name: Field required"
FIX = """--input '{"name": "name"}'"""
WRONG = 'name: String should have at least 2 characters (it is "x"); times: Input should be a valid integer'
BAD = '{"name": "x", "times": "many"}'

COMMANDS: dict[str, tuple[tuple[str, ...], str]] = {
    "trigger, no input": (("trigger", "greet", "--wait"), MISSING),
    "trigger": (("trigger", "greet", "--input", BAD), WRONG),
    "schedule": (("schedules", "create", "greet", "2031-01-01T00:00:00Z"), MISSING),
    "cron, wrong": (("crons", "create", "greet", "hourly", "@hourly", "--input", BAD), WRONG),
}  # fmt: skip


@pytest.fixture
def stack(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalStack]:
    with local(hatchet, stack="shop", background=False) as running:
        monkeypatch.setenv("HEADRACE_STACK", "shop")
        yield running


def test_an_input_is_checked_before_anything_is_written(stack: LocalStack, headrace: Command) -> None:
    """By the schema that the stack has, and by the app's own model where it is named."""
    with_app = (*COMMANDS["trigger"][0], "--app", f"{__name__}:hatchet")
    for name, (line, sentence) in {**COMMANDS, "by the app": (with_app, WRONG)}.items():
        done = headrace(*line)
        assert (done.code, done.out) == (1, ""), (name, done)
        assert sentence in done.err, (name, done.err)
        assert FIX in done.err, (name, done.err)
    assert stack.runs() == []
    assert hatchet.cron.list().rows == []
    assert hatchet.scheduled.list().rows == []


def test_what_the_model_takes_is_taken_and_a_replay_is_checked_as_well(
    stack: LocalStack, headrace: Command
) -> None:
    """Numbers in texts, as pydantic reads them, and what only the model's own code can judge. All inputs of a replay before any."""
    for line in (
        ("trigger", "greet", "--input", '{"name": "ann", "times": "2", "more": [1]}'),
        ("trigger", "lenient"),
        ("trigger", "audit"),
        ("schedules", "create", "greet", "2031-01-01T00:00:00Z", "--input", '{"name": "ann"}'),
    ):
        done = headrace(*line)
        assert done.code == 0, (line, done.err)
    stack.deliver_all()
    statuses = {run.plan.workflow: run.tasks[run.plan.workflow].status.value for run in stack.runs()}
    assert statuses == dict.fromkeys(("greet", "lenient", "audit"), "COMPLETED")
    ids = {run.plan.workflow: run.run_id for run in stack.runs()}
    before = [run.generation for run in stack.runs()]
    done = headrace("runs", "replay", ids["audit"], ids["greet"], "--input", BAD)
    assert (done.code, done.out) == (1, "")
    assert WRONG in done.err
    assert [run.generation for run in stack.runs()] == before
    assert headrace("runs", "replay", ids["greet"], "--input", '{"name": "cid"}').code == 0


def test_an_event_whose_payload_a_workflow_refuses_is_not_pushed(
    stack: LocalStack, headrace: Command
) -> None:
    done = headrace("events", "push", "user:created", "--payload", '{"id": 7}')
    assert (done.code, done.out) == (1, "")
    assert (
        "workflow greet, which event user:created starts, does not take this payload: name: Field required"
        in done.err
    )
    assert "--unchecked" in done.err
    stack.drain()
    assert stack.runs() == []
    for line in (
        ("user:created", "--payload", '{"name": "ann"}'),
        ("user:created", "--payload", '{"id": 7}', "--unchecked"),
        ("shop:opened", "--payload", '{"id": 7}'),
    ):
        pushed = headrace("events", "push", *line, "-o", "json")
        assert pushed.code == 0, pushed.err
        assert json.loads(pushed.out)["key"] == line[0]
    stack.drain()
    assert len(stack.runs()) == 4
