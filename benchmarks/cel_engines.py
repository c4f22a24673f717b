"""The two CEL engines on PyPI, on the expressions that users of Hatchet write, and by their import time.

python benchmarks/cel_engines.py        (needs: pip install cel-python)
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

CASES: list[tuple[str, dict[str, Any], Any]] = [
    ("input.user_id", {"input": {"user_id": "u1"}}, "u1"),
    ("'constant'", {}, "constant"),
    (
        "additional_metadata.tenant + ':' + input.id",
        {"additional_metadata": {"tenant": "t"}, "input": {"id": "i"}},
        "t:i",
    ),
    ("output.n > 50", {"output": {"n": 70}}, True),
    ("output.n > 50", {"output": {"n": 70.5}}, True),
    ("output.n > 50.5", {"output": {"n": 70}}, True),
    ("output.n == 1", {"output": {"n": 1.0}}, True),
    ("has(input.a) ? input.a : 'none'", {"input": {}}, "none"),
    ("input.kind in ['a', 'b']", {"input": {"kind": "a"}}, True),
    ("input.tags.exists(t, t == 'x')", {"input": {"tags": ["x"]}}, True),
    ("size(input.items) > 1", {"input": {"items": [1, 2]}}, True),
    ("string(input.n)", {"input": {"n": 2}}, "2"),
    ("input.name.startsWith('a')", {"input": {"name": "ab"}}, True),
    ("input.missing", {"input": {}}, KeyError),
    ("input.", {}, ValueError),
]


def compiled(expression: str, variables: dict[str, Any]) -> Any:
    import cel

    return cel.compile(expression).execute(variables)


def pure(expression: str, variables: dict[str, Any]) -> Any:
    import celpy
    from celpy.adapter import json_to_cel

    environment = celpy.Environment()
    program = environment.program(environment.compile(expression))
    return program.evaluate({name: json_to_cel(value) for name, value in variables.items()})


def right(engine: Callable[[str, dict[str, Any]], Any], case: tuple[str, dict[str, Any], Any]) -> bool:
    expression, variables, expected = case
    try:
        found = engine(expression, variables)
    except Exception:  # noqa: BLE001  # engines raise errors of their own
        return isinstance(expected, type)
    return not isinstance(expected, type) and bool(found == expected)


def import_ms(module: str) -> float:
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    times = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(7)
    ]
    return statistics.median(times) * 1000


def main() -> int:
    print("| engine | right of", len(CASES), "| import, ms | one evaluation, µs |\n|---|---:|---:|---:|")
    for name, module, engine in (
        ("common-expression-language", "cel", compiled),
        ("cel-python", "celpy", pure),
    ):
        try:
            __import__(module)
        except ImportError:
            print(f"| {name} | not installed | | |")
            continue
        good = sum(right(engine, case) for case in CASES)
        began = time.perf_counter()
        for _ in range(200):
            engine(*CASES[0][:2])
        each = (time.perf_counter() - began) / 200 * 1e6
        print(f"| {name} | {good} | {import_ms(module):.0f} | {each:.0f} |")
        for case in CASES:
            if not right(engine, case):
                print(f"| | wrong: `{case[0]}` | | |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
