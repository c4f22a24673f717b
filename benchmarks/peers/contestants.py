"""Who is measured: how a worker of ten at once is started, what it needs, and what it keeps of a run."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent.parent / ".venv-peers" / "bin"
RESTATE_PORT = "RESTATE_PORT"
"""Where the worker of Restate listens: the server calls it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """`service`: where its state is: "aws", "postgres" or "restate". `chains`: it has a chain of ten durable steps. `setup`: run once, first."""

    name: str
    module: str
    worker: list[str]
    keeps: str
    service: str = "aws"
    python: Path = PEERS / "python"
    chains: bool = False
    setup: list[str] | None = None


HEADRACE = Contestant(
    name="Headrace, process worker",
    module="headrace_app",
    python=Path(sys.executable),
    worker=[sys.executable, "headrace_app.py"],
    keeps="run, claim, result: DynamoDB",
    chains=True,
)
CELERY = Contestant(
    name="Celery, kombu SQS",
    module="celery_app",
    worker=[str(PEERS / "celery"), "-A", "celery_app", "worker", "-P", "threads", "-c", "10", "-Q", "bench", "-l", "error",
            "--without-mingle", "--without-gossip"],
    keeps="nothing",
)  # fmt: skip
TASKIQ = Contestant(
    name="taskiq, taskiq-aio-sqs",
    module="taskiq_app",
    worker=[str(PEERS / "taskiq"), "worker", "taskiq_app:broker", "--workers", "1", "--max-async-tasks", "10", "--log-level", "ERROR"],
    keeps="nothing",
)  # fmt: skip
DRAMATIQ = Contestant(
    name="dramatiq, dramatiq_sqs",
    module="dramatiq_app",
    worker=[str(PEERS / "dramatiq"), "dramatiq_app", "--processes", "1", "--threads", "10"],
    keeps="nothing",
)
PROCRASTINATE = Contestant(
    name="procrastinate, PostgreSQL",
    module="procrastinate_app",
    setup=[str(PEERS / "python"), "procrastinate_app.py", "setup"],
    worker=[str(PEERS / "python"), "procrastinate_app.py"],
    keeps="job and its status: PostgreSQL",
    service="postgres",
)
DBOS = Contestant(
    name="DBOS, PostgreSQL",
    module="dbos_app",
    worker=[str(PEERS / "python"), "dbos_app.py"],
    keeps="workflow, steps, results: PostgreSQL",
    service="postgres",
    chains=True,
)
RESTATE = Contestant(
    name="Restate",
    module="restate_app",
    worker=[str(PEERS / "hypercorn"), "restate_app:app", "--bind", f"127.0.0.1:{{{RESTATE_PORT}}}"],
    keeps="journal, result for a day: its own server",
    service="restate",
    chains=True,
)
CONTESTANTS = (HEADRACE, TASKIQ, DRAMATIQ, CELERY, PROCRASTINATE, DBOS, RESTATE)
