"""The process that evaluates an expression for `cel_apart`: it bounds itself, and answers on stdout."""

from __future__ import annotations

import json
import resource
import sys
from contextlib import suppress

from headrace.errors import ExpressionError
from headrace.values.cel import Cel


def main() -> None:
    """An expression, its variables and the limits on stdin; its value, or why there is none, on stdout."""
    given = json.loads(sys.stdin.read())
    cel = Cel()
    cel.check(given["expression"])
    used_s = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    limit_s = int(used_s + given["limit_s"]) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s))
    with suppress(
        ValueError, OSError
    ):  # macOS takes no such limit, and a lower one that holds already is enough
        resource.setrlimit(resource.RLIMIT_AS, (given["most_bytes"], given["most_bytes"]))
    try:
        text = json.dumps({"value": cel.evaluate_here(given["expression"], given["variables"])})
    except ExpressionError as error:
        text = json.dumps({"error": str(error)})
    except TypeError as error:
        text = json.dumps({"error": f"{given['expression']!r}: its value is no JSON: {error}"})
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
