"""A process that ends while durable tasks are suspended in it."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import asyncio
from headrace import DurableContext, EmptyModel, Headrace
from headrace_infra.testing import local

hatchet = Headrace()

@hatchet.durable_task(name="waits")
async def waits(input: EmptyModel, ctx: DurableContext) -> None:
    await asyncio.gather(ctx.aio_wait_for_event("never"), ctx.aio_wait_for_event("neither"))

with local(hatchet, backend="memory", background=False) as stack:
    run = waits.run(wait_for_result=False)
    stack.drain()
    print(hatchet.runs.get(run.workflow_run_id).run.status)
"""


def test_suspended_code_leaves_no_complaint_of_asyncio() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "RUNNING" in done.stdout
