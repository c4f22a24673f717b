"""The lock files agree, so that what the demo installs stays when the tests' packages are added."""

from __future__ import annotations

import re
from pathlib import Path

LOCKS = Path(__file__).parents[2] / "requirements"


def locked(name: str) -> set[tuple[str, str]]:
    return set(re.findall(r"^([a-z0-9-]+)(?:\[[^]]*\])?==(\S+)", (LOCKS / name).read_text(), re.MULTILINE))


def test_the_demo_s_packages_are_those_of_the_tests() -> None:
    demo = locked("demo.txt")
    assert {"boto3", "moto", "rich"} <= {name for name, _ in demo}
    assert demo - locked("dev.txt") == set()
