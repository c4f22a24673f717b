"""What a run costs a worker process, and a bulk start its client, where DynamoDB and SQS answer at once.

    python benchmarks/process_worker.py

CPU and requests, both of this process: they do not depend on the network. Exit code 1 where an aim is missed.
"""

from __future__ import annotations

import os
import statistics
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "sdk"), str(Path(__file__).resolve().parent)]
for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
    os.environ.pop(name, None)
os.environ.update(AWS_DEFAULT_REGION="us-east-1", AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x")

from instant_aws import InstantAws, instant_aws

from headrace import Context, EmptyModel, Headrace, Settings
from headrace.aws.items import item_to_wire
from headrace.core.changes import apply
from headrace.core.run.message import TaskMessage, encode_message
from headrace.core.run.record import Payload, RunRecord
from headrace.core.run.transitions.claim import create
from headrace.runtime.process import Process

RUNS = 1_500
SLOTS = 10  # the default of a process
BULK = 1_000
ROUNDS = 3
T0 = time.time_ns() // 1_000_000

AIMS = {
    "runs a second of CPU": (1_200, "at least"),
    "requests a run": (2.2, "at most"),
    f"requests of run_many({BULK})": (150, "at most"),
    f"CPU of run_many({BULK}), s": (0.2, "at most"),
}


def app_on(transport: str) -> Headrace:
    app = Headrace(config=Settings(transport=transport))  # type: ignore[arg-type]  # by name

    @app.task(name="noop")
    def noop(input: EmptyModel, ctx: Context) -> None: ...

    app.worker("bench", workflows=[noop], process=True)
    return app


def record(app: Headrace, number: int) -> RunRecord:
    [plan] = [workflow.plan() for worker in app._fleet() for workflow in worker.workflows]
    return RunRecord(
        run_id=f"00000000-0000-4000-8000-{number:012}",
        plan=plan,
        input=Payload.inline('{"a":1}'),
        created_at_ms=T0,
        expires_at_s=T0 // 1000 + 10**6,
    )


def message(app: Headrace, number: int) -> str:
    made = record(app, number)
    return encode_message(
        TaskMessage(
            run_id=made.run_id, task="noop", number=0, queued_at_ms=T0, start_by_ms=T0 + 10**9, record=made
        )
    )


def worker(transport: str, aws: InstantAws) -> tuple[float, float]:
    """(CPU a run in ms, requests a run) of a process that works off the queue."""
    app = app_on(transport)
    process = Process(next(each for each in app._fleet() if each.name == "bench"))
    began = time.process_time()
    thread = threading.Thread(target=process.run)
    thread.start()
    while process.done_tasks < RUNS:
        time.sleep(0.01)
    cpu_s = time.process_time() - began
    process.stopping.set()
    thread.join(30)
    counts = aws.counts()
    assert counts["deleted"] == RUNS, counts
    ours = ("UpdateItem", "ReceiveMessage", "DeleteMessage", "DeleteMessageBatch")
    return cpu_s / RUNS * 1000, sum(counts.get(name, 0) for name in ours) / RUNS


def bulk(transport: str, aws: InstantAws) -> tuple[float, int]:
    """(CPU in s, requests) of one bulk start."""
    app = app_on(transport)
    [noop] = [workflow for each in app._fleet() for workflow in each.workflows]
    items = [noop.create_bulk_run_item(input={"n": n}) for n in range(BULK)]
    noop.run_many(items[:30], wait_for_result=False)
    before = sum(aws.counts().values())
    began = time.process_time()
    noop.run_many(items, wait_for_result=False)
    return time.process_time() - began, sum(aws.counts().values()) - before - 0


def measure(transport: str) -> tuple[float, float, float, int]:
    app = app_on(transport)
    created = apply(create(record(app, 0)), None).item
    assert created is not None
    with instant_aws(item_to_wire(created), [message(app, n) for n in range(RUNS)]) as aws:
        os.environ["AWS_ENDPOINT_URL"] = aws.url
        cpu_s, requests = bulk(transport, aws)
    with instant_aws(item_to_wire(created), [message(app, n) for n in range(RUNS)]) as aws:
        os.environ["AWS_ENDPOINT_URL"] = aws.url
        return *worker(transport, aws), cpu_s, requests


def main() -> int:
    rounds = [(measure("lean"), measure("boto3")) for _ in range(ROUNDS)]
    lean, boto3 = (
        [statistics.median(each[which][column] for each in rounds) for column in range(4)] for which in (0, 1)
    )
    rows = [
        (aim, *values)
        for aim, values in zip(
            AIMS,
            [
                (1000 / lean[0], 1000 / boto3[0]),
                (round(lean[1], 1), round(boto3[1], 1)),
                (lean[3], boto3[3]),
                (lean[2], boto3[2]),
            ],
            strict=True,
        )
    ]
    missed = []
    print("| | lean | through boto3 | aim |\n|---|---:|---:|---:|")
    for name, ours, other in rows:
        limit, sense = AIMS[name]
        print(f"| {name} | {ours:,.2f} | {other:,.2f} | {sense} {limit:,} |")
        if (ours < limit) if sense == "at least" else (ours > limit):
            missed.append(name)
    if missed:
        print(f"\nMissed: {', '.join(missed)}.")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
