"""Cancel a run from outside. Async code is interrupted; sync code asks `ctx.is_cancelled`.

Run it: python examples/cancellation.py
"""

import asyncio
import time
from datetime import timedelta

from headrace import Context, EmptyModel, RunStatus
from quickstart import hatchet
from runtime import running


@hatchet.task(name="endless", execution_timeout=timedelta(minutes=5))
async def endless(input: EmptyModel, ctx: Context) -> None:
    await asyncio.sleep(300)


@hatchet.task(name="polite", execution_timeout=timedelta(minutes=5))
def polite(input: EmptyModel, ctx: Context) -> dict[str, int]:
    steps = 0
    while not ctx.is_cancelled:
        steps += 1
        time.sleep(0.1)
    return {"steps": steps}  # ignored: a cancelled run stays cancelled


def main() -> None:
    with running(hatchet):
        for task in (endless, polite):
            run = task.run(wait_for_result=False)
            wait_for_status(run.workflow_run_id, RunStatus.RUNNING)
            hatchet.runs.cancel(run.workflow_run_id)
            wait_for_status(run.workflow_run_id, RunStatus.CANCELLED)
            print(f"{task.name}: {hatchet.runs.get_status(run.workflow_run_id).value}")


def wait_for_status(run_id: str, status: RunStatus) -> None:
    deadline = time.monotonic() + 30
    while hatchet.runs.get_status(run_id) != status:
        if time.monotonic() > deadline:
            raise TimeoutError(f"run {run_id} did not become {status.value} within 30 s")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
