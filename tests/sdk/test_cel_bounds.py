"""CEL takes no more time than it may, and holds up no other thread: a heartbeat is one."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from headrace.core.run.plans.plan import Json
from headrace.errors import DefinitionError, ExpressionError
from headrace.values.cel import LONGEST_EXPRESSION, Cel
from headrace.values.cel_apart import evaluate_apart
from headrace.values.cel_cost import LIGHT_UNITS, Shape, shape_of, units_of
from headrace.values.expressions import check

BOMB = "input.x.all(a, input.x.all(b, input.x.all(c, a + b + c >= 0)))"


def numbers(count: int) -> dict[str, Json]:
    return {"input": {"x": list(range(count))}}


def test_a_bomb_ends_with_a_reason_and_other_threads_go_on_meanwhile() -> None:
    beats, over = 0, threading.Event()

    def beat() -> None:
        nonlocal beats
        while not over.wait(0.01):
            beats += 1

    heart = threading.Thread(target=beat)
    heart.start()
    began = time.thread_time()
    try:
        with pytest.raises(ExpressionError, match=r"it took over 1 s of processor time.*nest fewer"):
            Cel().evaluate(BOMB, numbers(3_000))
    finally:
        over.set()
        heart.join()
    assert beats > 20  # of a hundred and more; in this process there would be two or three
    assert time.thread_time() - began < 1  # the work is not done here


def test_one_that_builds_large_values_ends_with_a_reason() -> None:
    doubled = "input.s"
    for name in "abcdefghijklmnopqrstuvwxyzABCDEF":
        doubled = f"[{doubled}].map({name}, {name} + {name})[0]"
    with pytest.raises(ExpressionError, match="GB of memory"):
        Cel().evaluate(doubled, {"input": {"s": "x" * 1_000}})


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("input.x.all(a, input.x.exists(b, a == b))", True),
        ("input.x.filter(a, a > 297).map(a, a * 2)", [596, 598]),
        ("input.x.map(a, a)[5]", 5),
    ],
)
def test_the_value_is_the_same_in_another_process(expression: str, value: Json) -> None:
    assert Cel().evaluate_here(expression, numbers(300)) == value
    assert evaluate_apart(expression, numbers(300)) == value


def test_what_goes_wrong_in_another_process_is_told_as_here() -> None:
    with pytest.raises(ExpressionError) as here:
        Cel().evaluate_here("input.nothing.all(a, a > 1)", numbers(1))
    with pytest.raises(ExpressionError) as apart:
        evaluate_apart("input.nothing.all(a, a > 1)", numbers(1))
    assert str(here.value) == str(apart.value)


def test_files_of_the_current_directory_are_not_taken_for_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cel.py").write_text("raise RuntimeError('not this one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each])
    assert evaluate_apart("input.x.map(a, a)[1]", numbers(3)) == 1


def test_a_lower_limit_of_memory_that_holds_already_is_no_error() -> None:
    given = json.dumps(
        {"expression": "input.x[0]", "variables": numbers(1), "limit_s": 1.0, "most_bytes": 1 << 62}
    )
    lower = f"ulimit -v {1 << 20}; exec {shlex.quote(sys.executable)} -m headrace.values.cel_process"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ended = subprocess.run(
        ["sh", "-c", lower], input=given, capture_output=True, text=True, env=environment, check=False
    )
    assert (ended.stdout, ended.returncode) == ('{"value": 0}', 0)


def test_a_process_that_cannot_evaluate_says_why_and_does_not_blame_the_expression(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cel.py").write_text("raise RuntimeError('a broken installation')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ExpressionError, match=r"process that evaluates it failed: .*a broken installation"):
        evaluate_apart("input.x.map(a, a)[1]", numbers(3))


@pytest.mark.parametrize(
    ("expression", "loops", "searches"),
    [
        ("input.user_id", 0, False),
        ("input.name.contains('x') && input.tags.size() > 3", 0, False),
        ("input.x.exists(a, a.id == 'x')", 1, False),
        ("input.x.exists(a, a.id == input.id)", 1, True),
        ("input.x.all(a, a in input.y)", 1, True),
        ("input.x.all(a, a.name.matches('b+'))", 1, True),
        ("input.x.filter(a, a > 1).map(b, b.size())", 1, False),
        ("input.x.all(a, input.y.all(b, b > 1) && a > 1)", 2, False),
        ("'input.x.all(a, b)' + input.x", 0, False),
        ('input.x.all(a, "a.all(b, c)" != a.text)', 1, False),
    ],
)
def test_what_is_read_off_an_expression(expression: str, loops: int, searches: bool) -> None:
    found = shape_of(expression)
    assert (found.loops, found.searches, found.grows) == (loops, searches, False)


def test_usual_expressions_over_usual_inputs_stay_here() -> None:
    rows: list[Json] = [{"id": number, "name": "n" * 20, "tags": ["a", "b"]} for number in range(1_000)]
    for expression in ("input.rows.exists(r, r.id == 7)", "input.rows.all(r, r.tags.all(t, t != 'c'))"):
        few: dict[str, Json] = {"input": {"rows": rows[:200] if ".tags" in expression else rows}}
        assert units_of(expression, few) <= LIGHT_UNITS
    assert shape_of(BOMB) == Shape(tokens=34, loops=3, searches=True, grows=True)


def test_an_expression_that_is_too_long_is_refused_where_it_is_written_down() -> None:
    with pytest.raises(
        DefinitionError, match=r"the key: .* has 19,999 characters: an expression has at most 10,000"
    ):
        check("+".join("1" * LONGEST_EXPRESSION), "the key")
