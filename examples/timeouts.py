"""An execution timeout ends an attempt, blocking code included; `refresh_timeout` buys a task more time.

Run it: python examples/timeouts.py
"""

import asyncio
import time
from datetime import timedelta

from headrace import Context, EmptyModel, FailedTaskRunExceptionGroup
from quickstart import hatchet
from runtime import running


@hatchet.task(name="too-slow", execution_timeout=timedelta(seconds=2))
def too_slow(input: EmptyModel, ctx: Context) -> None:
    time.sleep(30)


@hatchet.task(name="too-slow-async", execution_timeout=timedelta(seconds=1))
async def too_slow_async(input: EmptyModel, ctx: Context) -> None:
    await asyncio.sleep(30)


@hatchet.task(name="asks-for-more", execution_timeout=timedelta(seconds=1))
def asks_for_more(input: EmptyModel, ctx: Context) -> dict[str, str]:
    ctx.refresh_timeout(timedelta(seconds=10))
    time.sleep(2)
    return {"status": "done after 2 s, with a limit of 1 s and 10 s more asked for"}


def main() -> None:
    with running(hatchet):
        for task in (too_slow, too_slow_async):
            started = time.monotonic()
            try:
                task.run()
            except FailedTaskRunExceptionGroup as failed:
                print(
                    f"{task.name}: {failed.exceptions[0].exc} (ended after {time.monotonic() - started:.1f} s)"
                )
        print("asks-for-more:", asks_for_more.run()["status"])


if __name__ == "__main__":
    main()
