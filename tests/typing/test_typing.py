"""Types are part of the API: what mypy --strict and pyright infer, and what they refuse."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


FILES = (str(HERE / "inferred.py"), str(HERE / "refused.py"))


@pytest.fixture(scope="module")
def mypy() -> Callable[[str], list[int]]:
    """The lines, from 1, in which mypy finds an error in one of the files: it looks at both at once."""
    command = [
        *(sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "--no-error-summary"),
        *FILES,
    ]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = re.findall(r"(\w+\.py):(\d+): error", told.stdout)
    assert found, f"mypy finds nothing to refuse: {told.stdout}{told.stderr}"
    return lambda file: sorted({int(line) for name, line in found if name == file})


@pytest.fixture(scope="module")
def pyright() -> Callable[[str], list[int]]:
    """The lines, from 1, in which pyright finds an error in one of the files: it looks at both at once."""
    if shutil.which("node") is None:
        pytest.skip("pyright runs on Node.js")
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, *FILES]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = json.loads(told.stdout)["generalDiagnostics"]
    lines = [
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1)
        for each in found
        if each["severity"] == "error"
    ]
    return lambda file: sorted({line for name, line in lines if name == file})


def refused() -> list[int]:
    lines = (HERE / "refused.py").read_text().splitlines()
    return [number for number, line in enumerate(lines, 1) if line.endswith("# refused")]


@pytest.mark.timeout(180)
def test_what_mypy_infers_and_refuses(mypy: Callable[[str], list[int]]) -> None:
    assert mypy("inferred.py") == []
    assert mypy("refused.py") == refused()


@pytest.mark.timeout(180)
def test_what_pyright_infers_and_refuses(pyright: Callable[[str], list[int]]) -> None:
    assert pyright("inferred.py") == []
    assert pyright("refused.py") == refused()
