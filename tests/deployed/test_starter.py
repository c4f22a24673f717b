"""What `headrace init` writes builds and deploys untouched, and runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deployed.sam import deploy, sam
from headrace_infra.ministack import Ministack

pytestmark = [pytest.mark.deployed, pytest.mark.timeout(500)]
COMMAND = [sys.executable, "-c", "from headrace_infra.cli import main; main()"]
STACK = "starter-test"


def headrace(folder: Path, source: Path, *arguments: str, wait_s: float = 0) -> str:
    """What the command prints; it is tried for `wait_s` seconds, until the clock has published the workflows."""
    path = os.pathsep.join(str(source / name) for name in ("sdk", "handlers", "infra"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    deadline = time.monotonic() + wait_s
    while True:
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=folder,
            env={**kept, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        if "has none yet" not in done.stderr or time.monotonic() > deadline:
            break
        time.sleep(1)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_init_build_deploy_trigger(repository: Path, aws: Ministack, tmp_path: Path) -> None:
    headrace(tmp_path, repository, "init", "shop")
    folder = tmp_path / "shop"
    tool = {"PYTHON": sys.executable, "PYTHONPATH": str(repository / "infra")}
    sam(folder, "build", extra=tool)
    deploy(folder, STACK, extra=aws.environment())
    given = ("--input", '{"name": "world"}', "--wait", "--stack", STACK)
    assert json.loads(headrace(folder, repository, "trigger", "greet", *given, wait_s=90)) == {
        "greet": {"text": "Hello, world!"}
    }
