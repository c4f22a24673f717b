"""The page of benchmarks has a table of each program that writes one, and no other."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_table_of_the_page_has_a_program_that_writes_it_anew() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "docs.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_every_table_was_written_by_its_program() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    blocks = re.findall(r"<!-- bench: (.+?) -->\n(.*?)<!-- /bench -->", page, re.DOTALL)
    assert blocks
    for name, body in blocks:
        program = name.split()[0]
        assert (ROOT / "benchmarks" / f"{program}.py").exists()
        assert body.startswith(f"`python benchmarks/{program}.py` on "), (
            f"{name} is empty: make bench-docs ONLY={program}"
        )
        assert "|---" in body
