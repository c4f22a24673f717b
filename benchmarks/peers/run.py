"""Headrace's process worker beside Celery and dramatiq on SQS, all on one MiniStack: `make bench-peers`.

One worker process of ten threads each. Throughput: no-op tasks a second while a backlog is worked off. Delay: from the call that
sends to the first line of the task, the worker idle, median. Celery and dramatiq keep no record of a run: Headrace writes three items
for each (the run, its claim, its result), which is what the difference buys.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT / name) for name in ("sdk", "handlers", "infra")]

import boto3

from headrace_infra.compile import compile_app, units_of
from headrace_infra.local.resources import deploy
from headrace_infra.ministack import ACCOUNT, ministack

BACKLOG = 400
SINGLES = 40
PEERS = ROOT / ".venv-peers" / "bin"


@dataclass(frozen=True, slots=True)
class Contestant:
    """How to run a worker, and which Python sends."""

    name: str
    module: str
    python: Path
    worker: list[str]


CONTESTANTS = [
    Contestant(
        "Headrace, process worker", "headrace_app", Path(sys.executable), [sys.executable, "headrace_app.py"]
    ),
    Contestant(
        "Celery, kombu SQS",
        "celery_app",
        PEERS / "python",
        [
            str(PEERS / "celery"),
            "-A",
            "celery_app",
            "worker",
            "-P",
            "threads",
            "-c",
            "10",
            "-Q",
            "bench",
            "-l",
            "error",
            "--without-mingle",
            "--without-gossip",
        ],
    ),
    Contestant(
        "dramatiq, dramatiq_sqs",
        "dramatiq_app",
        PEERS / "python",
        [str(PEERS / "dramatiq"), "dramatiq_app", "--processes", "1", "--threads", "10"],
    ),
]


def send(contestant: Contestant, count: int, environment: dict[str, str], pause_s: float = 0.0) -> None:
    code = f"import {contestant.module} as m, time\n"
    code += (
        f"m.send({count})" if not pause_s else f"for _ in range({count}): m.send(1); time.sleep({pause_s})"
    )
    subprocess.run(
        [str(contestant.python), "-c", code], cwd=HERE, env=environment, check=True, capture_output=True
    )


def lines(path: Path, count: int, limit_s: float) -> list[tuple[float, float]]:
    """(sent, started) of so many tasks."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        rows = path.read_text().splitlines() if path.exists() else []
        if len(rows) >= count:
            return [(float(row.split()[0]), float(row.split()[1])) for row in rows]
        time.sleep(0.05)
    raise TimeoutError(f"only {len(rows)} of {count} tasks within {limit_s:g} s")


def measure(contestant: Contestant, environment: dict[str, str], folder: Path) -> tuple[float, float]:
    """(tasks a second, median delay in ms)."""
    out = folder / f"{contestant.module}.txt"
    environment = {**environment, "OUT": str(out)}
    send(contestant, BACKLOG, environment)
    log = (folder / f"{contestant.module}.log").open("wb")
    worker = subprocess.Popen(contestant.worker, cwd=HERE, env=environment, stdout=log, stderr=log)
    try:
        started = sorted(at for _, at in lines(out, BACKLOG, 120))
        throughput = (len(started) - 1) / (started[-1] - started[0])
        time.sleep(2)
        out.unlink()
        send(contestant, SINGLES, environment, pause_s=0.1)
        delays = [(at - sent) * 1000 for sent, at in lines(out, SINGLES, 60)]
        return throughput, statistics.median(delays)
    finally:
        worker.terminate()
        try:
            worker.wait(20)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
        log.close()


def main() -> int:
    import platform

    with ministack() as aws, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        environment = {
            **os.environ,
            **aws.environment(),
            "HEADRACE_STACK": "bench",
            "PYTHONPATH": os.pathsep.join(sys.path[:3]),
        }
        os.environ.update(aws.environment())
        sqs = boto3.client("sqs")
        environment["QUEUE_URL"] = sqs.create_queue(QueueName="bench")["QueueUrl"]
        sys.path.insert(0, str(HERE))
        os.environ["OUT"] = os.devnull
        import headrace_app

        app = headrace_app.app
        deploy(
            compile_app(app, app_path="headrace_app:app"),
            units_of(app),
            stack="bench",
            account=ACCOUNT,
            region="us-east-1",
        )
        print(
            f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores; {BACKLOG} no-op tasks\n"
        )
        print("| worker | tasks a second | delay, ms |\n|---|---:|---:|")
        for contestant in CONTESTANTS:
            if not contestant.python.exists():
                print(f"| {contestant.name} | not installed: make .venv-peers/.locked | |")
                continue
            throughput, delay_ms = measure(contestant, environment, folder)
            print(f"| {contestant.name} | {throughput:.0f} | {delay_ms:.0f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
