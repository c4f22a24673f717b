"""How long a worker takes to import, beside what it cannot do without: boto3 with its two clients, and pydantic.

    python benchmarks/import_time.py

Fresh processes, bytecode compiled, the two alternating, medians. Exit code 1 where the ratio is over the budget of 1.25.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 15
BUDGET = 1.25

BARE = """
import boto3, pydantic
boto3.client("sqs"), boto3.client("dynamodb")
from pydantic import BaseModel
"""
WORKER = """
import headrace_handlers.worker
from headrace.aws.clients import Clients
Clients()
"""
MODEL = """
class In(BaseModel):
    message: str
"""
READY = """
from headrace_handlers.worker import handler
"""
APP = """
from pydantic import BaseModel
from headrace import Context, Headrace
hatchet = Headrace()
class In(BaseModel):
    message: str
@hatchet.task(input_validator=In)
def simple(input: In, ctx: Context) -> In:
    return input
"""


def seconds(code: str, environment: dict[str, str]) -> float:
    """What `code` takes in a process of its own, the interpreter's start left out."""
    timed = f"import time; began = time.perf_counter()\n{code}\nprint(time.perf_counter() - began)"
    done = subprocess.run(
        [sys.executable, "-c", timed], env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "benchmark_app.py").write_text(APP)
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": os.pathsep.join([folder, str(ROOT / "sdk"), str(ROOT / "handlers")]),
            "PYTHONPYCACHEPREFIX": str(Path(folder, "bytecode")),
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_LAMBDA_FUNCTION_NAME": "benchmark",
            "HEADRACE_APP": "benchmark_app:hatchet",
            "HEADRACE_WORKER": "default",
        }
        codes = (BARE, WORKER, BARE + MODEL, READY)
        for code in codes:
            seconds(code, environment)  # writes the bytecode
        rounds = [[seconds(code, environment) for code in codes] for _ in range(ROUNDS)]
    bare, worker, bare_model, ready = (
        statistics.median(column) * 1000 for column in zip(*rounds, strict=True)
    )
    ratio = statistics.median(each[1] / each[0] for each in rounds)
    ready_ratio = statistics.median(each[3] / each[2] for each in rounds)
    print("| import, ms | bare | Headrace | ratio |\n|---|---:|---:|---:|")
    print(
        f"| boto3, its two clients, pydantic / the worker's handler | {bare:.0f} | {worker:.0f} | {ratio:.2f} |"
    )
    print(
        f"| and a pydantic model / and an app with one task | {bare_model:.0f} | {ready:.0f} | {ready_ratio:.2f} |"
    )
    print(f"\nThe budget of the first row is {BUDGET}.")
    return int(ratio > BUDGET)


if __name__ == "__main__":
    sys.exit(main())
