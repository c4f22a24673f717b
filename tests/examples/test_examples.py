"""Each example does what its text says, run as a user would run it: a process of its own and nothing configured."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(*command: str) -> str:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HEADRACE_"))
    }
    finished = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", *command],
        cwd=EXAMPLES.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-4000:]
    return finished.stdout


@pytest.mark.parametrize(
    ("example", "lines"),
    [
        ("quickstart", ["hello, world!"]),
        (
            "retries",
            [
                "flaky succeeded on attempt 3",
                "patient succeeded on attempt 2",
                "flaky gave up: attempt 4 of 4: the service is not there",
                "charge was tried once: card 0002 was declined: trying again will not help",
            ],
        ),
        (
            "timeouts",
            [
                r"too-slow: Task exceeded timeout of 2s \(ended after [23]\.\d s\)",
                r"too-slow-async: Task exceeded timeout of 1s \(ended after [12]\.\d s\)",
                "asks-for-more: done after 2 s, with a limit of 1 s and 10 s more asked for",
            ],
        ),
        ("cancellation", ["endless: CANCELLED", "polite: CANCELLED"]),
        ("dependencies", [r"ada's orders: 54\.49 EUR", r"in a unit test: 3\.00 USD"]),
        (
            "fastapi_trigger",
            [
                "POST /messages: 202",
                r"GET /messages/\{run_id\}: \{'status': 'COMPLETED', 'transformed_message': 'from the web'\}",
            ],
        ),
        (
            "dag",
            [
                r"load: \{'text': 'the quick brown fox jumps over the lazy dog'\}",
                r"words: \{'count': 9\}",
                r"letters: \{'count': 35\}",
                r"report: \{'letters_a_word': 3\.89\}",
            ],
        ),
        ("branching", [r"19\.99: accepted at once", r"750\.00: a person looks at it \(risk 75\)"]),
        ("nested", ["sum of squares: 30", "child runs, though the parent ran twice: 4"]),
        ("durable", [r"2,190 words; the parent took [23] invocations and held none while it waited"]),
        (
            "on_failure",
            [
                r"failed: no space left for holiday\.mov",
                r"cleaned up: \{'freed': 'shelf-11', 'because': 'no space left for holiday\.mov'\}",
            ],
        ),
    ],
)
def test_example_prints(example: str, lines: list[str]) -> None:
    printed = run(f"examples/{example}.py").splitlines()
    for line in lines:
        assert any(re.fullmatch(line, each) for each in printed), f"{line!r} is not in {printed}"


def test_fan_out_counts_what_is_on_disk() -> None:
    *packages, total = run("examples/fanout.py").splitlines()
    assert len(packages) == 10
    (count, lines) = re.fullmatch(r"(\d+) packages, ([\d,]+) lines", total).groups()  # type: ignore[union-attr]  # fails
    import json as a_package

    on_disk = [
        path
        for path in Path(a_package.__file__).parents[1].glob("*/__init__.py")
        if path.parent.name != "test"
    ]
    assert int(count) == len(on_disk)
    assert int(lines.replace(",", "")) > 50_000


def test_the_demo_measures_retries_and_reports_failures() -> None:
    report = run("examples/stdlib_report.py", "--files", "60")
    assert "source files" in report
    assert "Largest modules" in report
    runs, at_once, on_retry, failed = re.search(  # type: ignore[union-attr]  # no match is a failure of the test
        r"(\d+) runs: (\d+) succeeded at once, (\d+) on a retry, (\d+) failed after all attempts", report
    ).groups()
    assert int(runs) == int(at_once) + int(on_retry) + int(failed)
    assert int(runs) >= 60
    assert int(at_once) > int(on_retry) > 0
    assert int(failed) > 0
    assert "SyntaxError" in report
