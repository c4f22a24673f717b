"""A process that ends while durable tasks are suspended in it says nothing: they go on in another one."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import asyncio, time
from datetime import timedelta
from headrace import DurableContext, EmptyModel, Headrace
from headrace_infra.testing import local

app = Headrace()

@app.durable_task()
async def sleeper(input: EmptyModel, ctx: DurableContext) -> dict[str, int]:
    await asyncio.gather(ctx.aio_sleep_for(timedelta(minutes=5)), ctx.aio_sleep_for(timedelta(minutes=6)))
    return {}

with local(app, backend="memory") as stack:
    ref = sleeper.run(wait_for_result=False)
    while not app.runs.get_details(ref.workflow_run_id).task_runs["sleeper"].is_evicted:
        time.sleep(0.02)
print("ended")
"""


def test_nothing_is_said_of_what_is_suspended() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=90,
        env=environment,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ended\n", "")
