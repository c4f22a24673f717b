"""The README's commands on a deployed stack: the process that triggers does not know which worker runs what."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from deployed.conftest import Stack
from deployed.sam import REPOSITORY

pytestmark = [pytest.mark.deployed, pytest.mark.timeout(280)]


COMMANDS = [
    ("quickstart.py", "hello, world!"),
    ("stdlib_report.py --files 40", "failed after all attempts"),
    ("dag.py", "report: {'letters_a_word': 3.89}"),
    ("branching.py", "accepted at once"),
    ("fanout.py", "packages, "),
    ("nested.py", "sum of squares: 30"),
    ("on_failure.py", "cleaned up: {'freed': 'shelf-11'"),
    ("durable.py", "2,190 words; the parent took"),
]


@pytest.mark.parametrize(("command", "expected"), COMMANDS, ids=[command for command, _ in COMMANDS])
def test_the_readme_s_commands_on_a_deployed_stack(examples: Stack, command: str, expected: str) -> None:
    """As a process of its own that has nothing but the environment; the deployment has published the workflows."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    roots = os.pathsep.join(str(REPOSITORY / root) for root in ("sdk", "handlers", "infra"))
    environment = kept | {"HEADRACE_STACK": examples.name, "PYTHONPATH": roots}
    done = subprocess.run(
        [sys.executable, *command.split()],
        cwd=REPOSITORY / "examples",
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert expected in " ".join(done.stdout.split())
