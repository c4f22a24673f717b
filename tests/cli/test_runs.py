"""`headrace trigger`, `runs`, `workflows`, `doctor` on a stack, by its name alone."""

from __future__ import annotations

import io
import json
import os
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import boto3
import pytest
from cli.conftest import Command
from pydantic import BaseModel

from headrace import Context, EmptyModel, Headrace
from headrace.core.changes import Delete
from headrace.core.table import CURSOR
from headrace.engine.catalog.deployed import fit_together, publish_version
from headrace.engine.clock.tick import tick
from headrace.settings.settings import Settings
from headrace.settings.version import VERSION
from headrace_infra.cli.stack.checking import _next_queues
from headrace_infra.local.stack import LocalStack
from headrace_infra.testing import local

hatchet = Headrace()


class Greeting(BaseModel):
    name: str


@hatchet.task(name="greet", input_validator=Greeting)
def greet(input: Greeting, ctx: Context) -> dict[str, str]:
    ctx.log(f"greeting {input.name}")
    return {"text": f"Hello, {input.name}!"}


@hatchet.task(name="refuse", retries=1)
def refuse(input: EmptyModel, ctx: Context) -> dict[str, str]:
    ctx.log(f"attempt {ctx.retry_count + 1}")
    raise RuntimeError(f"no [red]{ctx.retry_count}[/]")


@hatchet.task(name="parent")
def parent(input: EmptyModel, ctx: Context) -> dict[str, str]:
    return greet.run(Greeting(name="child"))


hatchet.worker("main", workflows=[greet, refuse, parent])


@pytest.fixture
def stack(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalStack]:
    with local(hatchet, stack="shop") as running:
        monkeypatch.setitem(os.environ, "HEADRACE_STACK", "shop")
        yield running


def trigger(headrace: Command, *arguments: str) -> str:
    done = headrace("trigger", *arguments)
    assert done.code == 0, done.err
    return done.out.strip()


def test_a_stack_is_listed_by_its_name_alone(stack: LocalStack, headrace: Command) -> None:
    ids = [trigger(headrace, "greet", "--input", json.dumps({"name": str(n)})) for n in range(3)]
    ids.append(trigger(headrace, "parent"))
    stack.drain()
    rows = json.loads(headrace("runs", "list", "-o", "json").out)
    assert set(ids) < {row["metadata"]["id"] for row in rows}
    assert len(rows) == 5
    listed = headrace("runs", "list").out
    assert all(run_id in listed for run_id in ids)
    only = json.loads(
        headrace("runs", "list", "--workflow", "parent", "--status", "completed", "-o", "json").out
    )
    assert [row["metadata"]["id"] for row in only] == [ids[3]]


def test_a_result_is_json_on_stdout_and_nothing_else(
    stack: LocalStack, headrace: Command, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "in.json").write_text('{"name": "file"}')
    monkeypatch.setattr("sys.stdin", io.StringIO('{"name": "stdin"}'))
    for given, name in (("@in.json", "file"), ("-", "stdin")):
        done = headrace("trigger", "greet", "--input", given, "--wait")
        assert json.loads(done.out) == {"greet": {"text": f"Hello, {name}!"}}


def test_a_failed_run_shows_all_that_is_known(stack: LocalStack, headrace: Command) -> None:
    waited = headrace("trigger", "refuse", "--wait")
    assert waited.code == 1
    assert "RuntimeError: no [red]1[/]" in waited.err
    [row] = json.loads(headrace("runs", "list", "-o", "json").out)
    run_id = row["metadata"]["id"]
    shown = headrace("runs", "get", run_id).out
    assert "input {}" in shown
    assert "refuse: RuntimeError: no [red]1[/]" in shown
    assert (
        'raise RuntimeError(f"no [red]{ctx.retry_count}[/]")' in shown
    )  # the user's line, from the traceback
    assert "attempt 1 FAILED" in shown
    assert "refuse #2 attempt 2" in shown
    data = json.loads(headrace("runs", "get", run_id, "-o", "json").out)
    assert data["run"]["status"] == "FAILED"
    assert [line["line"] for line in data["logs"]] == ["attempt 1", "attempt 2"]
    lines = headrace("runs", "logs", run_id, "-f", "-o", "json").out.splitlines()
    assert [json.loads(line)["attempt"] for line in lines] == [1, 2]


def test_parents_and_children_name_each_other(stack: LocalStack, headrace: Command) -> None:
    run_id = trigger(headrace, "parent")
    stack.drain()
    shown = headrace("runs", "get", run_id)
    [child] = json.loads(headrace("runs", "get", run_id, "-o", "json").out)["children"]
    assert child["metadata"]["id"] in shown.out
    assert f"child of {run_id}, task parent" in headrace("runs", "get", child["metadata"]["id"]).out


def test_the_beginning_of_an_id_is_enough(stack: LocalStack, headrace: Command) -> None:
    run_id = trigger(headrace, "greet", "--input", '{"name": "x"}')
    stack.drain()
    assert run_id in headrace("runs", "get", run_id[:8]).out
    missing = headrace("runs", "get", "0000aaaa")
    assert (missing.code, "there is no run 0000aaaa in stack 'shop'" in missing.err) == (1, True)


def test_cancel_by_id_and_by_filter(
    project: Path, monkeypatch: pytest.MonkeyPatch, headrace: Command
) -> None:
    monkeypatch.setenv("HEADRACE_STACK", "shop")
    with local(hatchet, stack="shop", background=False):
        ids = [
            trigger(headrace, "greet", "-i", '{"name": "x"}', "--metadata", '{"who": "ann"}')
            for _ in range(3)
        ]
        other = trigger(headrace, "refuse")
        one = headrace("runs", "cancel", ids[0][:10])
        assert (one.code, one.out) == (0, f"{ids[0]}: CANCELLED\n")
        again = headrace("runs", "cancel", ids[0])
        assert (again.code, f"{ids[0]} is CANCELLED already" in again.err) == (1, True)
        asked = headrace("runs", "cancel", "--metadata", "who=ann")
        assert (asked.code, "2 runs would be cancelled: add --yes" in asked.err) == (1, True)
        assert headrace("runs", "cancel", "--metadata", "who=ann", "--yes").out == "2 runs cancelled\n"
        left = json.loads(headrace("runs", "list", "--status", "queued", "-o", "json").out)
        assert [row["metadata"]["id"] for row in left] == [other]


def test_a_cancelled_runs_time_stands_still(
    project: Path, monkeypatch: pytest.MonkeyPatch, headrace: Command
) -> None:
    monkeypatch.setenv("HEADRACE_STACK", "shop")
    with local(hatchet, stack="shop", background=False) as stack:
        run_id = trigger(headrace, "greet", "-i", '{"name": "x"}')
        headrace("runs", "cancel", run_id)
        before = headrace("runs", "get", run_id).out
        stack.advance(timedelta(minutes=3))
        assert headrace("runs", "get", run_id).out == before


def test_what_the_stack_has(stack: LocalStack, headrace: Command) -> None:
    assert headrace("workflows").out.splitlines() == ["greet", "parent", "refuse"]
    names = [row["name"] for row in json.loads(headrace("workflows", "-o", "json").out)]
    assert names == ["greet", "parent", "refuse"]


def test_doctor_finds_nothing_then_what_is_wrong(stack: LocalStack, headrace: Command) -> None:
    stack.engine.store.write(Delete(key=CURSOR))
    before = headrace("doctor")
    assert (before.code, "clock: it has never run" in before.out) == (1, True)
    tick(stack.engine)
    well = headrace("doctor", "-o", "json")
    findings = {each["what"]: each for each in json.loads(well.out)}
    assert well.code == 0, well.out
    assert findings["stack"]["found"] == "shop has 3 workflows: greet, parent, refuse"
    assert findings["dead letters"]["found"] == "0 messages"
    assert findings["version"]["found"] == f"the stack runs headrace {VERSION}, this is {VERSION}"
    publish_version(stack.engine, "9.0.1")
    apart = headrace("doctor")
    assert (apart.code, "Deploy the stack with headrace" in apart.out) == (1, True)
    other = headrace("doctor", "--stack", "other")
    assert (other.code, "is the stack 'other' deployed" in other.out) == (1, True)


def test_doctor_knows_the_second_queue_of_a_worker_with_limits(headrace: Command) -> None:
    app = Headrace(config=Settings(stack="shop"))
    lane = app.task(name="lane", concurrency=1)(_nothing)
    app.worker("lanes", workflows=[lane])
    app.worker("plain", workflows=[app.task(name="free")(_nothing)])
    with local(app, stack="shop"):
        [found] = _next_queues(app)
        assert (found.what, found.ok) == ("queue lanes-next", True)
        sqs = boto3.client("sqs")
        sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName="shop-lanes-next")["QueueUrl"])
        [found] = _next_queues(app)
        assert (found.ok, "deploy the stack again" in found.fix) == (False, True)


def _nothing(input: EmptyModel, ctx: Context) -> None: ...


MISSES = {
    (
        "trigger",
        "gret",
    ): "no workflow 'gret' is registered in stack 'shop': did you mean 'greet'? It has greet, parent, refuse",
    (
        "runs",
        "list",
        "--workflow",
        "nope",
    ): "no workflow 'nope' is registered in stack 'shop': it has greet, parent, refuse",
    ("runs", "list", "--status", "FAILD"): "'FAILD' is not a status: did you mean FAILED?",
    ("runs", "list", "--metadata", "x"): "give key=value",
    ("runs", "list", "--stack", "other"): "is the stack 'other' deployed in this account and region?",
    ("runs", "get", "nope"): "there is no run nope in stack 'shop'",
    ("runs", "logs", "nope"): "there is no run nope in stack 'shop'",
    ("runs", "cancel", "nope"): "there is no run nope in stack 'shop'",
    ("trigger", "greet", "--input", "@missing.json"): "No such file or directory: 'missing.json'",
    ("trigger", "greet", "--input", "{"): "--input is not JSON",
    ("trigger", "greet", "--input", "[1]"): "--input must be a JSON object, not a list",
    ("trigger", "greet", "--metadata", "1"): "--metadata must be a JSON object, not a int",
    ("trigger", "greet", "--input", '{"name": "x"}', "--priority", "9"): "priority",
}


@pytest.mark.parametrize("arguments", MISSES, ids=" ".join)
def test_a_miss_is_one_sentence_and_not_a_success(
    stack: LocalStack, headrace: Command, arguments: tuple[str, ...]
) -> None:
    done = headrace(*arguments)
    assert done.code == 1
    assert MISSES[arguments] in done.err
    assert done.err.count("\n") == 1, done.err
    assert done.out == ""


class Typed(io.StringIO):
    """What a person types at a terminal."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_fields_are_asked_for(
    stack: LocalStack, headrace: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Typed("bob\n"))
    monkeypatch.setattr("headrace_infra.cli.runs.asking._at_a_terminal", lambda: True)
    done = headrace("trigger", "greet", "--wait")
    assert (done.code, json.loads(done.out)) == (0, {"greet": {"text": "Hello, bob!"}})
    assert "name [name]:" in done.err


def test_elsewhere_nothing_is_asked(stack: LocalStack, headrace: Command) -> None:
    done = headrace("trigger", "greet", "--wait")
    assert done.code == 1
    assert "name [" not in done.err
    assert "Field required" in done.err


def test_a_run_is_replayed(headrace: Command, stack: LocalStack) -> None:
    run_id = trigger(headrace, "greet", "--input", '{"name": "Ada"}')
    stack.drain()
    done = headrace("runs", "replay", run_id, "--input", '{"name": "Grace"}')
    assert done.code == 0
    assert done.out.strip() in (f"{run_id}: {status}" for status in ("QUEUED", "RUNNING", "COMPLETED"))
    stack.drain()
    assert json.loads(headrace("runs", "get", run_id, "-o", "json").out)["run"]["output"] == {
        "text": "Hello, Grace!"
    }
    done = headrace("runs", "replay", run_id, "--only-failed")
    assert done.out.strip() == f"{run_id}: COMPLETED  nothing had failed"


def test_a_run_that_goes_on_is_not_replayed(headrace: Command, stack: LocalStack) -> None:
    hatchet.workflows.pause("greet", timedelta(hours=1))
    run_id = trigger(headrace, "greet", "--input", '{"name": "Ada"}')
    done = headrace("runs", "replay", run_id)
    assert done.code == 1
    assert f"nothing was replayed: {run_id} is QUEUED. Only a run that is over can be replayed" in done.err


def test_the_version_is_said_once() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION


@pytest.mark.parametrize(
    ("client", "stack", "fit"),
    [("0.1.0", "0.1.7", True), ("0.1.0", "0.2.0", False), ("1.1.0", "0.1.0", False)],
)
def test_which_versions_fit_together(client: str, stack: str, fit: bool) -> None:
    assert fit_together(client, stack) is fit


def test_open_tasks_are_counted(headrace: Command, stack: LocalStack) -> None:
    hatchet.workflows.pause("greet", timedelta(hours=1))
    trigger(headrace, "greet", "--input", '{"name": "Ada"}')
    found = json.loads(headrace("metrics", "-o", "json").out)
    assert (found["total"]["queued"], found["tasks"]["greet"]["queued"]["total"]) == (1, 1)
    assert 'headrace_tasks{task="greet",status="queued"} 1\n' in headrace("metrics", "--prometheus").out
    assert "greet" in headrace("metrics").out


def test_replay_by_filter(stack: LocalStack, headrace: Command) -> None:
    ids = [trigger(headrace, "refuse") for _ in range(3)]
    good = trigger(headrace, "greet", "--input", '{"name": "ann"}')
    stack.drain()
    unsure = headrace("runs", "replay", "--workflow", "refuse")
    assert (unsure.code, "3 runs would be replayed: add --yes to do it" in unsure.err) == (1, True)
    done = headrace("runs", "replay", "--workflow", "refuse", "--yes")
    assert (done.code, "3 runs replayed" in done.out) == (0, True), done.err
    stack.drain()
    found = {each["metadata"]["id"]: each for each in json.loads(headrace("runs", "list", "-o", "json").out)}
    assert {found[run_id]["retry_count"] for run_id in ids} == {3}
    assert found[good]["retry_count"] == 0
    assert "no run to replay matches" in headrace("runs", "replay", "--workflow", "parent", "--yes").out
    listed = json.loads(headrace("runs", "bulk", "-o", "json").out)
    assert [(each["kind"], each["status"], each["done"], each["total"]) for each in listed] == [
        ("replay", "DONE", 3, 3)
    ]
    shown = headrace("runs", "bulk", listed[0]["id"])
    assert ("replay" in shown.out, "DONE" in shown.out) == (True, True), shown.err
    asked = headrace("runs", "replay", "--workflow", "refuse", "--yes", "--no-wait")
    assert "3 runs to replay inside the stack: look with: headrace runs bulk " in asked.out
    assert "there is no bulk operation nope" in headrace("runs", "bulk", "nope").err
    assert headrace("runs", "replay").code == 2
    assert headrace("runs", "replay", "--status", "RUNNING", "--yes").code == 1
