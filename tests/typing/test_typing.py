"""Types are part of the API: what mypy --strict infers, and what it refuses."""

from __future__ import annotations

import re
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


@pytest.mark.timeout(180)
def test_what_is_inferred() -> None:
    assert mypy("inferred.py") == ""


@pytest.mark.timeout(180)
def test_what_is_refused() -> None:
    expected = [
        number
        for number, line in enumerate((HERE / "refused.py").read_text().splitlines(), 1)
        if line.endswith("# refused")
    ]
    found = {int(match) for match in re.findall(r"refused\.py:(\d+): error", mypy("refused.py"))}
    assert sorted(found) == expected
