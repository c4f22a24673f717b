"""Writes the tables of docs/benchmarks.md anew, each from a run of the program that stands above it: `make bench-docs`.

    python benchmarks/docs.py [--only gates,chain] [--check]

A table stands between `<!-- bench: NAME -->` and `<!-- /bench -->`, where NAME is a program of this folder, with its arguments. What it
prints goes in as it is: a row that loses, an aim that is missed and what could not be measured among them. --check: run nothing, and fail
where a table has no program or a program no table.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
BLOCK = re.compile(r"<!-- bench: (?P<name>[^>]+?) -->\n(?P<body>.*?)<!-- /bench -->", re.DOTALL)
TABLES = frozenset(
    {
        "flows",
        "growth",
        "gates",
        "import_time",
        "worker_overhead",
        "process_worker",
        "bulk",
        "memory",
        "chain",
        "durable",
        "latency",
        "waiting",
        "peers/run",
    }
)


def ran(name: str) -> str:
    """What a program prints, with when and where it ran. One that misses an aim ends with 1, and says so in what it prints."""
    program, *arguments = name.split()
    done = subprocess.run(
        [sys.executable, str(HERE / f"{program}.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
    )
    if done.returncode not in (0, 1) or not done.stdout.strip() or "Traceback" in done.stderr:
        raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
    machine = f"{platform.system()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return f"`python benchmarks/{program}.py` on {datetime.now(UTC):%Y-%m-%d}; {machine}.\n\n{done.stdout.strip()}\n"


def write(name: str, table: str) -> None:
    """Into the page as it is by now: another program may have written meanwhile."""
    anew = f"<!-- bench: {name} -->\n{table}<!-- /bench -->"
    PAGE.write_text(BLOCK.sub(lambda found: anew if found["name"] == name else found[0], PAGE.read_text()))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="", help="programs, separated by commas")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    page = PAGE.read_text()
    names = {found["name"].split()[0] for found in BLOCK.finditer(page)}
    if names != TABLES:
        print(f"docs/benchmarks.md and benchmarks/docs.py differ in: {', '.join(sorted(names ^ TABLES))}")
        return 1
    if options.check:
        return 0
    only = set(options.only.split(",")) if options.only else names
    if unknown := only - names:
        parser.error(f"no table of {', '.join(sorted(unknown))}; there are {', '.join(sorted(names))}")

    for found in BLOCK.finditer(page):
        name = found["name"]
        if name.split()[0] in only:
            print(f"running {name} ...", file=sys.stderr)
            write(name, ran(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
