"""What a cold start's imports cost a worker, beside boto3 with its two clients and pydantic with one model.

    python benchmarks/import_time.py

CPU of fresh processes, bytecode compiled, taking turns, medians. Exit code 1 where a ratio is over its aim.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 9
AIMS = {"an app with a pydantic model": 0.75, "an app without": 0.5}

BARE = """
import boto3
boto3.client("sqs"), boto3.client("dynamodb")
from pydantic import BaseModel
class In(BaseModel):
    message: str
"""
READY = """
from headrace_handlers.worker import handler
"""
WITH_MODEL = """
from pydantic import BaseModel
from headrace import Context, Headrace
hatchet = Headrace()
class In(BaseModel):
    message: str
@hatchet.task(input_validator=In)
def simple(input: In, ctx: Context) -> In:
    return input
"""
WITHOUT = """
from headrace import Context, Headrace
hatchet = Headrace()
@hatchet.task()
def simple(input: dict, ctx: Context) -> dict:
    return input
"""


def cpu_s(code: str, environment: dict[str, str]) -> float:
    """CPU that `code` takes in a process of its own, the interpreter's start left out."""
    timed = f"import time; began = time.process_time()\n{code}\nprint(time.process_time() - began)"
    done = subprocess.run(
        [sys.executable, "-c", timed], env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "with_model.py").write_text(WITH_MODEL)
        Path(folder, "without.py").write_text(WITHOUT)
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": folder,  # as in a Lambda function, no file of configuration is there
            "PYTHONPATH": os.pathsep.join([folder, str(ROOT / "sdk"), str(ROOT / "handlers")]),
            "PYTHONPYCACHEPREFIX": str(Path(folder, "bytecode")),
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_LAMBDA_FUNCTION_NAME": "benchmark",
            "HEADRACE_WORKER": "default",
        }
        cases = [(BARE, "with_model"), (READY, "with_model"), (READY, "without")]

        def turn() -> list[float]:
            return [cpu_s(code, environment | {"HEADRACE_APP": f"{app}:hatchet"}) for code, app in cases]

        turn()  # writes the bytecode
        rounds = [turn() for _ in range(ROUNDS)]
    bare_ms = statistics.median(each[0] for each in rounds) * 1000
    print("| import, ms of CPU | bare | the worker's handler | ratio | aim |\n|---|---:|---:|---:|---:|")
    missed = False
    for column, (name, aim) in enumerate(AIMS.items(), start=1):
        ratio = statistics.median(each[column] / each[0] for each in rounds)
        ours_ms = statistics.median(each[column] for each in rounds) * 1000
        print(f"| {name} | {bare_ms:.0f} | {ours_ms:.0f} | {ratio:.2f} | {aim} |")
        missed = missed or ratio > aim
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
