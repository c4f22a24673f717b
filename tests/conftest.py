"""What a test has to tell beside that it passed (`record_property("told", ...)`) is printed at the end, whichever process ran it."""

from __future__ import annotations

from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    told = [
        (report.nodeid, value)
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        for name, value in report.user_properties
        if name == "told" and report.when == "call"
    ]
    if told:
        terminalreporter.section("told by the tests")
        for test, value in told:
            terminalreporter.write_line(f"{test.rpartition('::')[2]}: {value}")
