"""What people get wrong, word by word, and the one sentence that they are told. No traceback, nothing on stdout, never success."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli.conftest import Command

HEAD = """
from datetime import timedelta
from pydantic import BaseModel
from headrace import *

hatchet = Headrace()

class In(BaseModel):
    name: str

@hatchet.task(name="greet", input_validator=In)
def greet(input: In, ctx: Context) -> dict[str, str]:
    return {"text": input.name}

"""
BODY = "def f(input: EmptyModel, ctx: Context) -> None: ...\n"


def task(options: str, body: str = BODY) -> str:
    return f"@hatchet.task({options})\n{body}"


# What stands in app.py below HEAD -> what `headrace compile app:hatchet` says.
APPS: dict[str, tuple[str, str]] = {
    "an option that is almost one": (task("retry=3"), "task has no option 'retry': did you mean 'retries'?"),
    "an option that there is not": (task("name='x', queue='fast'"), "task x has no option 'queue': it has schedule_timeout"),
    "an option of workflow.task": ("w = hatchet.workflow(name='w')\n@w.task(retrys=1)\n" + BODY, "task of workflow w has no option 'retrys': did you mean 'retries'?"),
    "two tasks of one name": (task("name='greet'"), "two workflows are named 'greet'"),
    "negative retries": (task("retries=-1"), "task f of workflow f: retries is -1: give a number of retries, 0 or more"),
    "a bad duration": (task("execution_timeout='5 fortnights'"), "execution_timeout is '5 fortnights': give a timedelta, or a string such as '90s'"),
    "over fifteen minutes": (task("execution_timeout='1h'") + "hatchet.worker('w', workflows=[greet, f])\n", "has an execution_timeout of 3,600 s; worker w is a Lambda function, which ends after 900"),
    "a priority out of range": (task("default_priority=9"), "default_priority is 9: give Priority.LOW, Priority.MEDIUM or Priority.HIGH"),
    "a worker's memory": ("hatchet.worker('w', workflows=[greet], memory=64)\n", "worker w: memory is 64 MB: Lambda takes 128 to 10,240"),
    "a worker's name": ("hatchet.worker('clock', workflows=[greet])\n", "worker 'clock': a worker's name is part of a queue's: give 1 to 72 characters"),
    "a worker twice": ("hatchet.worker('w', workflows=[greet])\nhatchet.worker('w')\n", "two workers are named 'w'"),
    "a function in place of a workflow": (BODY + "hatchet.worker('w', workflows=[f])\n", "worker w: <function f at "),
    "a parent of another workflow": ("w = hatchet.workflow(name='w')\n@w.task(parents=[greet])\n" + BODY, "its parent 'greet' is not a task of workflow w: parents are tasks of the same workflow"),
    "a bad expression": (task("concurrency=ConcurrencyExpression(expression='input.', max_runs=1, limit_strategy=ConcurrencyLimitStrategy.GROUP_ROUND_ROBIN)"), "the concurrency expression: Failed to parse expression 'input.'"),
    "no places": (task("concurrency=0"), "concurrency is 0: give a number of runs, at least 1"),
    "a rate limit that no one sets": (task("rate_limits=[RateLimit(static_key='api', units=1)]"), "takes units of rate limit 'api', whose limit is not set: call hatchet.rate_limits.put('api', limit, duration)"),
    "an input that is no model": (task("input_validator=3"), "input_validator 3 is not a type that pydantic can validate"),
    "a missing package": ("import requestsx\n", "ModuleNotFoundError: No module named 'requestsx'"),
    "a missing name": ("print(nowhere)\n", "NameError: name 'nowhere' is not defined"),
    "a syntax error": ("def f(:\n", "SyntaxError: invalid syntax"),
    "bad indentation": ("def f():\nreturn 1\n", "IndentationError: expected an indented block"),
    "exit at import": ("import sys\nsys.exit(2)\n", "SystemExit(2) ended the import"),
    "a run at import": ("greet.run(In(name='x'))\n", "region is not configured"),
    "an import of what is not there": ("from headrace import Nothing\n", "cannot import name 'Nothing' from 'headrace'"),
    "a file that is not there": ("open('settings.json')\n", "No such file or directory: 'settings.json'"),
    "a cron whose input is refused": (task("name='n', input_validator=In, on_crons=['@daily'], cron_input={'nam': 'x'}", "def f(input: In, ctx: Context) -> None: ...\n"), "workflow n: its crons start it with an input that it does not take: name: Field required. Give another one with cron_input="),
    "a bad cron": (task("on_crons=['every day']"), "cron expression 'every day' has 2 fields: give 5 (minute, hour, day of month, month, day of week)"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", APPS)
def test_an_app_that_cannot_work(project: Path, headrace: Command, mistake: str) -> None:
    text, sentence = APPS[mistake]
    (project / "app.py").write_text(HEAD + text)
    done = headrace("compile", "app:hatchet")
    assert done.code == 1, done.out + done.err
    assert sentence in done.err
    assert done.err.startswith("error: ")
    assert "Traceback" not in done.err
    assert "headrace_infra" not in done.err
    assert len(done.err.splitlines()) <= 4, done.err
    assert not (project / "template.yaml").exists()


# A command line in a folder with a good app -> exit code, and what is said.
LINES: dict[tuple[str, ...], tuple[int, str]] = {
    ("triger", "greet"): (2, "No such command 'triger'"),
    ("trigger",): (2, "Usage: headrace trigger [OPTIONS] {workflow} Try 'headrace trigger -h' for help. Error: Missing argument 'workflow'"),
    ("trigger", "greet", "--inputs", "{}"): (2, "No such option: --inputs"),
    ("trigger", "greet", "--input"): (2, "requires an argument"),
    ("trigger", "greet", "--priority", "high"): (2, "Invalid value for '--priority': Input should be a valid integer"),
    ("trigger", "greet", "--input", "{'name': 1}"): (1, "--input is not JSON"),
    ("trigger", "greet", "--input", "[]"): (1, "--input must be a JSON object, not a list"),
    ("trigger", "greet", "--input", "@nothing.json"): (1, "--input @nothing.json: [Errno 2] No such file or directory"),
    ("trigger", "greet"): (1, "The AWS region is not configured: set AWS_REGION or AWS_DEFAULT_REGION, or work locally with `headrace dev`"),
    ("trigger", "greet", "--app", "ap:hatchet"): (1, "there is no module ap"),
    ("runs",): (2, "Usage"),
    ("runs", "lst"): (2, "No such command 'lst'"),
    ("runs", "list"): (1, "The AWS region is not configured"),
    ("runs", "list", "--hours", "-1"): (2, "Invalid value for '--hours': Input should be greater than or equal to 0"),
    ("runs", "list", "--limit", "0"): (2, "Invalid value for '--limit': Input should be greater than or equal to 1"),
    ("runs", "list", "-o", "yaml"): (2, "'yaml' is not one of 'table', 'json'"),
    ("runs", "get"): (2, "Missing argument 'run_id'"),
    ("runs", "get", "x"): (1, "The AWS region is not configured"),
    ("runs", "cancel"): (2, "give run ids, or a filter"),
    ("compile",): (2, "Missing argument 'path'"),
    ("compile", "app"): (1, "give module:attribute, such as app:hatchet"),
    ("compile", "app.py"): (1, "give module:attribute, such as app:hatchet"),
    ("compile", "app:greet"): (1, "app:greet is a Standalone, not an app: did you mean app:hatchet?"),
    ("compile", "app:nothing"): (1, "module app has no nothing: did you mean app:hatchet?"),
    ("compile", "apps:hatchet"): (1, "there is no module apps"),
    ("compile", "app:hatchet", "-o", "no/such/folder/t.yaml"): (1, "cannot be written: No such file or directory"),
    ("compile", "app:hatchet", "--check"): (1, "template.yaml is stale: run headrace compile app:hatchet"),
    ("compile", "app:hatchet", "--runtime", "python2.7"): (1, "python2.7"),
    ("cost", "app:hatchet"): (2, "Missing option '--workflow'"),
    ("cost", "app:hatchet", "--workflow", "gret"): (1, "the app has no workflow 'gret': did you mean 'greet'?"),
    ("cost", "app:hatchet", "--workflow", "greet"): (1, "workflow greet does not take this input: name: Field required. Nothing was started. Give one such as --input"),
    ("cost", "app:hatchet", "--workflow", "greet", "--runs", "0"): (2, "Invalid value for '--runs': Input should be greater than or equal to 1"),
    ("dev",): (2, "Missing argument 'path'"),
    ("dev", "app"): (1, "give module:attribute, such as app:hatchet"),
    ("dev", "app:hatchet", "--emulator", "localstack"): (1, "the emulator is 'localstack': give auto, ministack, moto"),
    ("dev", "app:hatchet", "--emulator", "moto", "--port", "99999"): (1, "port 99999 on 127.0.0.1 cannot be used"),
    ("init", "app.py"): (1, "app.py: nothing can be written there"),
    ("init",): (1, "app.py exists already: choose an empty folder"),
    ("doctor",): (1, "The AWS region is not configured"),
    ("workflows",): (1, "The AWS region is not configured"),
    ("gates",): (1, "The AWS region is not configured"),
    ("--nonsense",): (2, "No such option: --nonsense"),
}  # fmt: skip


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_a_command_that_cannot_work(project: Path, headrace: Command, line: tuple[str, ...]) -> None:
    (project / "app.py").write_text(HEAD)
    code, sentence = LINES[line]
    done = headrace(*line)
    assert (done.code, "Traceback" in done.err) == (code, False), done.err
    assert sentence in " ".join(f"{done.out} {done.err}".split())


def test_no_credentials(project: Path, headrace: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    done = headrace("runs", "list")
    assert (done.code, done.out) == (1, "")
    assert "AWS credentials are not configured" in done.err
    assert "or work locally with `headrace dev`" in done.err
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "nobody" in headrace("runs", "list").err
