"""Types are part of the API: what mypy --strict and pyright infer, and what they refuse."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def mypy(file: str) -> str:
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--config-file",
        str(ROOT / "pyproject.toml"),
        "--no-error-summary",
        str(HERE / file),
    ]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout


def pyright(file: str) -> list[int]:
    """The lines, from 1, in which pyright finds an error."""
    command = [
        sys.executable,
        "-m",
        "pyright",
        "--outputjson",
        "--pythonpath",
        sys.executable,
        str(HERE / file),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)["generalDiagnostics"]
    return sorted({each["range"]["start"]["line"] + 1 for each in found if each["severity"] == "error"})


needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="pyright runs on Node.js")


def refused() -> list[int]:
    lines = (HERE / "refused.py").read_text().splitlines()
    return [number for number, line in enumerate(lines, 1) if line.endswith("# refused")]


@pytest.mark.timeout(180)
def test_what_is_inferred() -> None:
    assert mypy("inferred.py") == ""


@needs_node
@pytest.mark.timeout(180)
def test_what_pyright_infers() -> None:
    assert pyright("inferred.py") == []


@pytest.mark.timeout(180)
def test_what_is_refused() -> None:
    found = {int(match) for match in re.findall(r"refused\.py:(\d+): error", mypy("refused.py"))}
    assert sorted(found) == refused()


@needs_node
@pytest.mark.timeout(180)
def test_what_pyright_refuses() -> None:
    assert pyright("refused.py") == refused()
