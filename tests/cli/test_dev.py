"""`headrace dev`, as a person meets it: started, edited under, broken, crashed, ended."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cli.conftest import Command

ROOT = Path(__file__).parents[2]
PYTHONPATH = os.pathsep.join(str(ROOT / name) for name in ("sdk", "handlers", "infra", "dashboard"))
HEADRACE = [sys.executable, "-c", "from headrace_infra.cli import main; main()"]
pytestmark = pytest.mark.timeout(240)
PATIENCE_S = 60
"""Until what should take a second has happened: other tests may run beside it."""

APP = """
import logging
import os
import time
from pydantic import BaseModel, Field
from headrace import Context, EmptyModel, Headrace

hatchet = Headrace()

class Greeting(BaseModel):
    name: str = Field(min_length=3)
    times: int = Field(ge=1, le=3)

@hatchet.task(name="greet", input_validator=Greeting)
def greet(input: Greeting, ctx: Context) -> dict[str, str]:
    print("printed", end="")
    print(" by", input.name)
    logging.getLogger("shop").info("logged by %s", input.name)
    return {"text": f"Hello, {input.name}!"}

def first_time(name: str) -> bool:
    try:
        open(name, "x").close()
    except FileExistsError:
        return False
    return True

@hatchet.task(name="killed")
def killed(input: EmptyModel, ctx: Context) -> dict[str, int]:
    if first_time("killed"):
        os.kill(os.getpid(), 9)
    return {"attempt": ctx.attempt_number}

@hatchet.task(name="exits")
def exits(input: EmptyModel, ctx: Context) -> dict[str, int]:
    if first_time("exited"):
        os._exit(7)
    return {"attempt": ctx.attempt_number}

worker = hatchet.worker("main", workflows=[greet, killed, exits])
"""

MORE = """
@hatchet.task(name="added")
def added(input: EmptyModel, ctx: Context) -> dict[str, int]:
    return {"n": 1}

hatchet.worker("second", workflows=[added])
"""


def environment() -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HEADRACE_"))}
    return {**clean, "PYTHONPATH": PYTHONPATH}


class Dev:
    """One that runs; what it prints is read as it comes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.text = ""

    def read(self, seconds: float) -> None:
        assert self.process.stdout is not None
        if select.select([self.process.stdout], [], [], seconds)[0]:
            self.text += os.read(self.process.stdout.fileno(), 65_536).decode(errors="replace")

    def wait_for(self, pattern: str, seconds: float = PATIENCE_S) -> float:
        """Seconds until the pattern was printed; what was printed before it is forgotten."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            found = re.search(pattern, self.text, re.DOTALL)
            if found:
                self.text = self.text[found.start() :]
                return time.monotonic() - began
            self.read(0.1)
        raise AssertionError(f"{pattern!r} was not printed within {seconds} s:\n{self.text}")

    def end(self, number: signal.Signals = signal.SIGINT) -> str:
        """End it, and give the rest of what it prints."""
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=PATIENCE_S)
        return self.text + rest.decode(errors="replace")


@contextmanager
def dev(folder: Path, *options: str) -> Iterator[Dev]:
    process = subprocess.Popen(
        [*HEADRACE, "dev", "app:hatchet", "--emulator", "moto", *options],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield Dev(process)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def workers_of(folder: Path) -> list[int]:
    """Processes that serve the app of the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):
            command = (entry / "cmdline").read_bytes()
            if b"headrace_infra.local.served" in command and os.readlink(entry / "cwd") == str(folder):
                found.append(int(entry.name))
    return found


def on_this_machine(seconds: float) -> float:
    """What `seconds` on an idle machine are here, where other tests run beside it."""
    return seconds * max(1.0, 1.5 * os.getloadavg()[0] / (os.cpu_count() or 1))


def until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


@pytest.fixture
def app(project: Path) -> Path:
    (project / "app.py").write_text(APP)
    return project


def trigger(headrace: Command, workflow: str, value: object = None) -> object:
    done = headrace("trigger", workflow, "--input", json.dumps(value or {}), "--wait")
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_an_edit_a_mistake_and_a_new_worker(app: Path, headrace: Command) -> None:
    with dev(app) as running:
        running.wait_for("ready")
        running.wait_for(r"headrace trigger greet --input [^\n]+ --wait\n")
        command = re.search(r"headrace (trigger greet [^\n]+)", running.text)
        assert command is not None
        example = headrace(*shlex.split(command[1]))
        assert json.loads(example.out) == {"greet": {"text": "Hello, name!"}}  # as printed, with no export
        running.wait_for(r"\[greet [0-9a-f]{8} #1\] printed by name\n")
        running.wait_for(r"\[greet [0-9a-f]{8} #1\] INFO shop: logged by name\n")

        (app / "app.py").write_text(APP + "oops = (\n")
        assert running.wait_for(
            r"app\.py:\d+: SyntaxError: '\(' was never closed.*worker of before goes on"
        ) < on_this_machine(2)
        assert trigger(headrace, "greet", {"name": "old", "times": 1}) == {"greet": {"text": "Hello, old!"}}
        (app / "app.py").write_text(APP + "import nothere\n")
        running.wait_for(r"app\.py:\d+: ModuleNotFoundError: No module named 'nothere'")

        (app / "app.py").write_text(APP.replace("Hello", "Goodbye") + MORE)
        running.wait_for("ready: 4 workflows .* on main, second")
        assert trigger(headrace, "greet", {"name": "new", "times": 1}) == {"greet": {"text": "Goodbye, new!"}}
        assert trigger(headrace, "added") == {"added": {"n": 1}}

        (app / "app.py").write_text(APP + "\nhatchet.worker('w' * 70)\n")
        running.wait_for("its function would be named .*worker of before goes on")


def test_a_task_that_ends_its_process(app: Path, headrace: Command) -> None:
    with dev(app) as running:
        running.wait_for("ready")
        killed = headrace("trigger", "killed").out.strip()
        running.wait_for("the worker is down: it was ended by SIGKILL: out of memory")
        running.wait_for("ready")
        exited = headrace("trigger", "exits").out.strip()
        running.wait_for(
            "the worker is down: its code ended the process with exit code 7; another is started"
        )
        assert running.wait_for("ready") < on_this_machine(3)
        assert trigger(headrace, "greet", {"name": "ann", "times": 1}) == {"greet": {"text": "Hello, ann!"}}
        assert {killed, exited} <= {
            row["metadata"]["id"] for row in json.loads(headrace("runs", "list", "-o", "json").out)
        }
        for run_id in (killed, exited):  # each goes on, as a new attempt
            assert until(lambda: '"attempt": 2' in headrace("runs", "get", run_id).out, 90), running.text  # noqa: B023


def test_what_it_ran_is_there_at_the_next_start_and_nowhere_else(app: Path, headrace: Command) -> None:
    with dev(app) as running:
        running.wait_for("ready")
        trigger(headrace, "greet", {"name": "ann", "times": 1})
        [row] = json.loads(headrace("runs", "list", "-o", "json").out)
        second = subprocess.run([*HEADRACE, "dev", "app:hatchet"], cwd=app, env=environment(), capture_output=True, text=True, check=False)  # fmt: skip
        assert (second.returncode, "runs in" in second.stderr, second.stderr.count("\n")) == (1, True, 1)
        ended = running.end()
        assert ended.endswith("stopped\n")
        assert "Traceback" not in ended
    assert running.process.returncode == 0
    assert until(lambda: not workers_of(app), PATIENCE_S)
    gone = headrace("runs", "list")
    assert (gone.code, "region is not configured" in gone.err) == (1, True)  # nothing is found any more
    with dev(app) as again:
        again.wait_for("ready")
        again.wait_for("headrace trigger")
        [kept] = json.loads(headrace("runs", "list", "-o", "json").out)
        assert kept["metadata"]["id"] == row["metadata"]["id"]
        assert headrace("runs", "get", kept["metadata"]["id"]).code == 0
        again.end(signal.SIGHUP)
    with dev(app, "--fresh") as fresh:
        fresh.wait_for("ready")
        assert json.loads(headrace("runs", "list", "-o", "json").out) == []


def test_nothing_is_left_when_it_is_killed(app: Path, headrace: Command) -> None:
    with dev(app) as running:
        running.wait_for("ready")
        assert workers_of(app)
        running.process.kill()
        running.process.wait()
        assert until(lambda: not workers_of(app), PATIENCE_S)
    assert headrace("runs", "list").code == 1


@pytest.mark.parametrize("after_s", [0.0, 0.15, 0.4, 0.8, 1.5])
def test_it_ends_in_any_second_with_one_line(app: Path, after_s: float) -> None:
    with dev(app) as running:
        time.sleep(after_s)
        printed = running.end()
    assert "Traceback" not in printed.replace("KeyboardInterrupt", ""), printed
    assert until(lambda: not workers_of(app), PATIENCE_S)


def test_a_port_that_is_taken(app: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with dev(app, "--port", str(port)) as running:
            printed = running.process.communicate(timeout=PATIENCE_S)[0].decode()
    assert running.process.returncode == 1
    assert f"port {port} on 127.0.0.1 cannot be used: another program listens there" in printed
    assert printed.count("\n") == 1


def test_an_app_that_is_broken_from_the_start_is_waited_for(app: Path, headrace: Command) -> None:
    (app / "app.py").write_text("hatchet = 1 / 0\n")
    with dev(app) as running:
        running.wait_for(r"app\.py:1: ZeroDivisionError: division by zero.*no worker is up")
        (app / "app.py").write_text(APP)
        running.wait_for("ready")
        assert trigger(headrace, "greet", {"name": "ann", "times": 1}) == {"greet": {"text": "Hello, ann!"}}


def test_a_breakpoint_is_a_prompt_at_the_terminal(app: Path, headrace: Command) -> None:
    (app / "app.py").write_text(APP.replace('    print("printed"', '    breakpoint()\n    print("printed"'))
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(app)
        os.execve(
            sys.executable,
            [*HEADRACE, "dev", "app:hatchet", "--emulator", "moto"],
            environment() | {"TERM": "xterm"},
        )
    text = ""

    def shown(pattern: str) -> bool:
        nonlocal text
        if select.select([terminal], [], [], 0.1)[0]:
            text += os.read(terminal, 65_536).decode(errors="replace")
        return re.search(pattern, text) is not None

    try:
        assert until(lambda: shown("ready"), PATIENCE_S), text
        run_id = headrace("trigger", "greet", "--input", '{"name": "ann", "times": 2}').out.strip()
        assert until(lambda: shown(r"\[greet [0-9a-f]{8} #1\] \(Pdb\) "), PATIENCE_S), text
        os.write(terminal, b"p input.times * 21\n")
        assert until(lambda: shown(r"\b42\b"), PATIENCE_S), text
        os.write(terminal, b"c\n")
        assert until(lambda: shown("printed by ann"), PATIENCE_S), text
        assert until(lambda: "COMPLETED" in headrace("runs", "get", run_id).out, PATIENCE_S)
    finally:
        os.write(terminal, b"\x03")
        until(lambda: shown("stopped"), 10)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(terminal)
