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
    limits = {"limit_s": LIMIT_S, "most_bytes": MOST_BYTES}
    given = json.dumps({"expression": expression, "variables": dict(variables), **limits})
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(each or os.getcwd() for each in sys.path)}
    try:
        ended = subprocess.run(  # this interpreter, its modules, this one; -P: no file of the current directory in place of one
            [sys.executable, "-P", "-m", "headrace.values.cel_process"],
            input=given,
            capture_output=True,
            text=True,
            env=environment,
            timeout=PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ExpressionError(_too_much(expression)) from error
    if ended.returncode < 0:  # by a signal: the limits end it so
        raise ExpressionError(_too_much(expression))
    if ended.returncode != 0:
        said = ended.stderr.strip().splitlines()[-1:]
        raise ExpressionError(f"{expression!r}: the process that evaluates it failed: {''.join(said)}")
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
