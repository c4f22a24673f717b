"""An expression evaluated in a process of its own, which is ended at its limit: it holds up no heartbeat and no other task."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from headrace.errors import ExpressionError

if TYPE_CHECKING:
    from headrace.core.run.plans.plan import Json

LIMIT_S = 1.0
"""Of processor time, beside the start of the process."""

PATIENCE_S = 20.0
"""Of a machine that is so busy that the process gets no processor."""

MOST_BYTES = 1 << 30
"""Of memory."""


def evaluate_apart(expression: str, variables: Mapping[str, Json]) -> Json:
    """The value of the expression. ExpressionError where it has none, or takes longer than LIMIT_S of processor time, or has no room."""
    given = json.dumps({"expression": expression, "variables": dict(variables), "limit_s": LIMIT_S})
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        ended = subprocess.run(  # this interpreter, this module
            [sys.executable, "-m", __name__],
            input=given,
            capture_output=True,
            text=True,
            env=environment,
            timeout=PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ExpressionError(_too_much(expression)) from error
    if ended.returncode != 0:
        raise ExpressionError(_too_much(expression))
    answer = json.loads(ended.stdout)
    if "error" in answer:
        raise ExpressionError(answer["error"])
    value: Json = answer["value"]
    return value


def _too_much(expression: str) -> str:
    return (
        f"{expression!r}: it took over {LIMIT_S:g} s of processor time, or {MOST_BYTES >> 30} GB of memory, and was ended: "
        "nest fewer all, exists, map and filter in it, or give it less to go through"
    )


def main() -> None:
    """The other process: an expression and its variables on stdin, its value or why there is none on stdout."""
    import resource

    from headrace.values.cel import Cel

    given = json.loads(sys.stdin.read())
    cel = Cel()
    cel.check(given["expression"])
    used_s = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    limit_s = int(used_s + given["limit_s"]) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s))
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    try:
        text = json.dumps({"value": cel.evaluate_here(given["expression"], given["variables"])})
    except ExpressionError as error:
        text = json.dumps({"error": str(error)})
    except TypeError as error:
        text = json.dumps({"error": f"{given['expression']!r}: its value is no JSON: {error}"})
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
