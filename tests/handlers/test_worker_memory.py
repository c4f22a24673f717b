"""A worker process keeps nothing of the runs that it has done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

PROGRAM = """
import gc, os, sys, threading, time
from instant_aws import instant_aws
from process_worker import app_on, message, record
from headrace.aws.dynamodb.items import item_to_wire
from headrace.core.changes import apply
from headrace.core.run.transitions.claim import create
from headrace.runtime.process import Process

app = app_on("lean")
item = item_to_wire(apply(create(record(app, 0)), None).item)
with instant_aws(item, [message(app, number) for number in range(1_600)]) as aws:
    os.environ["AWS_ENDPOINT_URL"] = aws.url
    app = app_on("lean")
    worker = next(each for each in app._fleet() if each.name == "bench")
    for runs in (1_000, 450):
        process = Process(worker)
        thread = threading.Thread(target=process.run)
        thread.start()
        while process.done_tasks < runs:
            time.sleep(0.01)
        process.stopping.set()
        thread.join(60)
        for each in threading.enumerate():  # its clock
            if each.name == "headrace-clock":
                each.join(10)
        gc.collect()
        print(process.done_tasks, sys.getallocatedblocks())
"""


def test_runs_leave_next_to_nothing_in_memory() -> None:
    """Counted in blocks of the interpreter, once it is warm: a run that left one object would leave one block at least. `make bench` weighs
    20,000 runs in MB."""
    path = os.pathsep.join([str(ROOT / "sdk"), str(ROOT / "benchmarks")])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    blocks = [(int(runs), int(count)) for runs, count in map(str.split, done.stdout.splitlines())]
    (_, warm), (runs, then) = blocks
    assert runs >= 400
    assert then - warm < runs / 2
