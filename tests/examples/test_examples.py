"""Each example does what its text says, run as a user would run it: a process of its own and nothing configured."""

import os
import re
import subprocess
import sys
from collections import Counter
from itertools import accumulate, pairwise
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
            "onboarding",
            [
                "user:created of Ada: Welcome, Ada!",
                "user:created of Edsger: Grace looks after Edsger, Welcome, Edsger!",
                "user:upgraded of Barbara: Alan looks after Barbara",
                "user:upgraded of Ken: nothing",
            ],
        ),
        (
            "github_webhook",
            [
                "forged: 403",
                "signed: 200, event github:issues:opened",
                "Thank you for #7, 'It works on my machine'",
            ],
        ),
        (
            "batching",
            [
                "INSERT INTO customers: 4 rows",
                "INSERT INTO orders: 3 rows",
                "INSERT INTO orders: 5 rows",
                "12 rows stored by 3 statements",
            ],
        ),
        (
            "tracing",
            [
                "POST /orders ",
                "  hatchet.run_workflow close-order",
                "    hatchet.start_step_run close-order",
                "      hatchet.run_workflow send-mail",
                "        hatchet.start_step_run send-mail",
            ],
        ),
        ("s3_upload", ["s3://uploads/orders.csv, 1024 bytes"]),
        ("nightly", [r"cron 0 3 \* \* \* in Europe/Berlin ran: \{'night': '03:00 in CES?T'\}"]),
        ("search_index", ["a: edit 5", "b: edit 5"]),
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
        (
            "reminder",
            [
                r"ada: day 0: welcome, day 1: your first project, day 4: invite your team, day 14: can we help\?",
                "eve: day 0: welcome",
            ],
        ),
        (
            "approval",
            [
                r"E1 \(120 EUR\): approved by ada",
                r"E2 \(9,500 EUR\): refused by grace",
                r"E3 \(60 EUR\): refused by no one in 4 days",
            ],
        ),
        (
            "saga",
            [
                "Rome: booked flight, hotel, car",
                "Venice: took back hotel, flight: .*there are no cars in Venice",
            ],
        ),
        ("polling", ["ready after 9 looks and 183 minutes"]),
        ("agent_loop", ["price lamp = 40", "sum = 330", "budget = 350", "330 EUR fits"]),
        ("durable", [r"2,190 words; the parent took [1-3] invocations and held none while it waited"]),
        (
            "on_failure",
            [
                r"failed: no space left for holiday\.mov",
                r"cleaned up: \{'freed': 'shelf-11', 'because': 'no space left for holiday\.mov'\}",
            ],
        ),
        (
            "newest_wins",
            [
                "ada typed 'h': CANCELLED",
                "ada typed 'he': CANCELLED",
                "ada typed 'head': CANCELLED",
                "ada typed 'headrace': all about headrace",
                "bob typed 'cat': all about cat",
                "ada: head +·*█*✗",
                "ada: headrace +·*█+",
            ],
        ),
        (
            "gpu_label",
            [
                r"as defined: small-model, which has \{'model': 'small', 'memory_gb': 1\}",
                r"model=large: large-model, which has \{'model': 'large', 'memory_gb': 3\}",
                r"memory_gb>=2: large-model, which has .*",
                r"model=huge: task embed of workflow embed requires a worker with model='huge'; .* none has such labels: .*",
            ],
        ),
    ],
)
def test_example_prints(example: str, lines: list[str]) -> None:
    printed = run(f"examples/{example}.py").splitlines()
    for line in lines:
        assert any(re.fullmatch(line, each) for each in printed), f"{line!r} is not in {printed}"


BAR = re.compile(r"(?P<label>\w.*?)  (?P<before> *)(?P<waiting>·*)(?P<running>█+)")


def bars_of(printed: str, label: str) -> list[re.Match[str]]:
    """The bars of a drawn timeline whose label matches, from the top."""
    found = [BAR.fullmatch(line) for line in printed.splitlines()]
    return [bar for bar in found if bar is not None and re.fullmatch(label, bar["label"].strip())]


def test_a_customer_that_floods_delays_no_other_one() -> None:
    printed = run("examples/round_robin.py")
    waits = {
        customer: (int(runs), float(longest))
        for customer, runs, longest in re.findall(r"(\w+): (\d+) runs, waited [\d.]+ to ([\d.]+) s", printed)
    }
    assert {customer: runs for customer, (runs, _) in waits.items()} == {"acme": 10, "bob": 2, "cleo": 2}
    assert waits["acme"][1] >= 9 * 0.3
    assert max(waits["bob"][1], waits["cleo"][1]) < waits["acme"][1] / 2
    for customer, runs in (("acme", 10), ("bob", 2), ("cleo", 2)):
        ends = [(bar.start("running"), bar.end("running")) for bar in bars_of(printed, customer)]
        assert len(ends) == runs
        # One after the other: where a bar is drawn is rounded, and begins with the look at the gate.
        assert all(end <= start + 2 for (_, end), (start, _) in pairwise(ends))


def test_no_second_has_more_calls_than_the_limit() -> None:
    printed = run("examples/throttled_api.py")
    seconds = [int(calls) for calls in re.findall(r"second \d+: (\d+) calls", printed)]
    assert sum(seconds) == 35
    assert len(seconds) >= 4
    # A call is made a moment after it was admitted: on a busy machine in the next second, never in an earlier one.
    assert all(made <= 10 * number for number, made in enumerate(accumulate(seconds), start=1)), seconds


def test_paid_priority_goes_ahead_and_no_run_is_thrown_out() -> None:
    printed = run("examples/vip_lane.py")
    (line,) = re.findall("went in: (.*)", printed)
    order = [name.split()[1] for name in line.split(", ")]
    assert order[:2] == ["LOW", "LOW"]  # they were there before anybody
    assert Counter(order) == {"LOW": 6, "MEDIUM": 1, "HIGH": 3}
    assert order[-3:] == ["LOW"] * 3


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
