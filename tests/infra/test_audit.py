"""`make audit`: what is excused, by what, and that nothing passes because nothing was asked."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

AUDIT = runpy.run_path(str(Path(__file__).parents[2] / "requirements" / "audit.py"))
Finding, unexcused = AUDIT["Finding"], AUDIT["unexcused"]
FOUND = Finding("bandit", "B603", "infra/a/b.py", "line 1: ...")


@pytest.mark.parametrize(
    ("exception", "left", "stale"),
    [
        ({"tool": "bandit", "id": "B603", "reason": "so"}, 0, 0),
        ({"tool": "bandit", "id": "B603", "where": "infra/a/b.py", "reason": "so"}, 0, 0),
        ({"tool": "bandit", "id": "B603", "where": "infra/*", "reason": "so"}, 0, 0),
        ({"tool": "bandit", "id": "B603", "where": "infra/a", "reason": "so"}, 1, 1),
        ({"tool": "bandit", "id": "B602", "reason": "so"}, 1, 1),
        ({"tool": "checkov", "id": "B603", "reason": "so"}, 1, 1),
    ],
)
def test_an_exception_covers_what_it_names(exception: dict[str, str], left: int, stale: int) -> None:
    found = unexcused([FOUND], [exception])
    assert (len(found[0]), len(found[1])) == (left, stale)


def test_an_exception_has_a_reason() -> None:
    with pytest.raises(SystemExit, match="has no reason"):
        unexcused([FOUND], [{"tool": "bandit", "id": "B603", "reason": " "}])


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("", "no output"),
        (
            '{"dependencies": [{"name": "a", "skip_reason": "not found on PyPI"}]}',
            "1 of 1 packages passed over",
        ),
    ],
)
def test_no_answer_is_not_taken_for_a_good_one(answer: str, why: str) -> None:
    class Answer:
        stdout, stderr = answer, ""

    audited: Any = AUDIT["audited"]
    audited.__globals__["run"] = lambda *command: Answer
    with pytest.raises(AUDIT["Unreachable"], match=why):
        audited("-r", "x.txt")
