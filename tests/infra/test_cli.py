"""The command line, as a user types it: in processes of its own."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.pace import pace_of_starts

from headrace import Context, EmptyModel, Headrace
from headrace.errors import NotConfigured
from headrace_infra.cost.workload import measure

ROOT = Path(__file__).parents[2]
PYTHONPATH = os.pathsep.join(str(ROOT / name) for name in ("sdk", "handlers", "infra"))
COMMAND = [sys.executable, "-c", "from headrace_infra.cli import main; main()"]
pytestmark = pytest.mark.timeout(120)


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HEADRACE_"))}
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env={
            **clean,
            "PYTHONPATH": PYTHONPATH,
            "COLUMNS": "160",
            "AWS_EC2_METADATA_DISABLED": "true",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture(scope="module")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("starter") / "my-app"
    done = run("init", str(folder), cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_starter_runs_and_tests_itself(starter: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": PYTHONPATH}
    done = subprocess.run(
        [sys.executable, "app.py"], cwd=starter, env=environment, capture_output=True, text=True, check=True
    )
    assert "Hello, world!" in done.stdout
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:headrace"],
        cwd=starter,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "2 passed" in tested.stdout, tested.stdout


def test_init_overwrites_nothing(starter: Path) -> None:
    done = run("init", str(starter), cwd=starter)
    assert (done.returncode, "exists already: choose an empty folder" in done.stderr) == (1, True)


def test_compile_and_check(starter: Path) -> None:
    assert run("compile", "app:hatchet", "--check", cwd=starter).returncode == 0
    (starter / "template.yaml").write_text("stale")
    done = run("compile", "app:hatchet", "--check", cwd=starter)
    assert (done.returncode, "template.yaml is stale" in done.stderr) == (1, True)
    assert run("compile", "app:hatchet", cwd=starter).returncode == 0
    assert "AWS::Serverless::Function" in (starter / "template.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("compile", "nope:hatchet"), "there is no module nope"),
        (("compile", "app"), "give module:attribute"),
        (("trigger", "greet", "--input", "{"), "--input is not JSON"),
        (("trigger", "greet", "--input", "[1]"), "--input must be a JSON object, not a list"),
        (("trigger", "greet"), "The AWS region is not configured: set AWS_REGION"),
        (("runs", "list", "--status", "LOST", "--app", "app:hatchet"), "statuses are QUEUED, RUNNING"),
        (
            ("cost", "app:hatchet", "--workflow", "nope"),
            "the app has no workflow 'nope': it has greet, morning",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(starter: Path, arguments: tuple[str, ...], message: str) -> None:
    done = run(*arguments, cwd=starter)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_help_teaches(starter: Path) -> None:
    done = run("trigger", "--help", cwd=starter)
    assert "Example: headrace trigger simple --input" in done.stdout
    done = run("gates", "--help", cwd=starter)
    assert "Listed are the limits that a task waits at" in done.stdout


def test_cost_says_where_the_money_goes(starter: Path) -> None:
    done = run("cost", "app:hatchet", "--workflow", "morning", "--runs", "3", cwd=starter)
    assert done.returncode == 0, done.stderr
    assert re.search(r"write request unit \(1 KB\) +│ +4 ", done.stdout)
    assert "Step Functions Standard" in done.stdout


def test_cost_prices_no_input_that_is_refused(starter: Path) -> None:
    done = run("cost", "app:hatchet", "--workflow", "greet", "--runs", "2", cwd=starter)
    assert done.returncode == 1
    assert "workflow greet does not take this input: name: Field required" in done.stderr
    assert "$" not in done.stdout


def test_cost_prices_no_run_that_fails() -> None:
    hatchet = Headrace()

    @hatchet.task(name="broken")
    def broken(input: EmptyModel, ctx: Context) -> None:
        raise RuntimeError("out of order")

    with pytest.raises(
        NotConfigured, match=r"a run of broken did not complete, so its price .* out of order"
    ):
        measure(hatchet, "broken", {}, runs=1)


def test_help_is_quick_and_says_the_version(starter: Path) -> None:
    """At most 0.3 s of CPU on a machine of the pace that the limit is for; the best of three."""

    def help_s() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run("-h", cwd=starter).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(help_s() for _ in range(3)) <= 0.3 * pace_of_starts()
    assert re.fullmatch(r"headrace \d+\.\d+\.\d+\n", run("--version", cwd=starter).stdout)


def test_dev_runs_an_app_and_another_terminal_triggers_it(starter: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HEADRACE_"))}
    dev = subprocess.Popen(
        [*COMMAND, "dev", "app:hatchet", "--emulator", "moto", "--no-reload"],
        cwd=starter,
        env={**clean, "PYTHONPATH": PYTHONPATH, "COLUMNS": "160"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert dev.stdout is not None
        while "headrace trigger" not in (line := dev.stdout.readline()):
            assert line, "headrace dev ended"
        done = run("trigger", "greet", "--input", '{"name": "dev"}', "--wait", cwd=starter)
        assert json.loads(done.stdout) == {"greet": {"text": "Hello, dev!"}}
        run_id = run("trigger", "morning", cwd=starter).stdout.strip()
        shown = run("runs", "get", run_id, cwd=starter)
        for _ in range(50):
            shown = run("runs", "get", run_id, cwd=starter)
            if "COMPLETED" in shown.stdout:
                break
        assert re.search(r"● wake\n +└─ ● coffee", shown.stdout), shown.stdout
        listed = run("runs", "list", cwd=starter)
        assert run_id in listed.stdout
        logged = run("runs", "logs", listed.stdout.split("\n")[2].split()[0], cwd=starter)
        assert "greeting dev" in logged.stdout
        assert "no task waits" in run("gates", "--app", "app:hatchet", cwd=starter).stdout
        assert json.loads(run("gates", "--json", cwd=starter).stdout) == []
        missing = run("runs", "get", "nope", cwd=starter)
        assert "there is no run nope in stack 'headrace'" in missing.stderr
    finally:
        dev.send_signal(signal.SIGINT)
        dev.wait(20)
        if dev.stdout is not None:
            dev.stdout.close()
