"""The app under load: a diamond, retries, a concurrency limit by key, slots, children, a durable task. Each task writes to the ledger."""

from __future__ import annotations

import time
from datetime import timedelta

from pydantic import BaseModel

from endurance.ledger import Ledger, of_environment
from headrace import ConcurrencyExpression, Context, DurableContext, Headrace

hatchet = Headrace()
PER_KEY = 2
SLOTS = 6


class Job(BaseModel):
    key: str = ""
    fails: int = 0
    """How many attempts raise."""


def _ledger() -> Ledger:
    return of_environment()


diamond = hatchet.workflow(name="diamond", input_validator=Job)


@diamond.task(name="top", retries=2)
def top(input: Job, ctx: Context) -> dict[str, int]:
    with _ledger().execution(ctx.workflow_run_id, "top"):
        if ctx.retry_count < input.fails:
            raise ValueError("as it was told")
        return {"value": 1}


@diamond.task(name="left", parents=[top])
def left(input: Job, ctx: Context) -> dict[str, int]:
    with _ledger().execution(ctx.workflow_run_id, "left"):
        return {"value": ctx.task_output(top)["value"] + 1}


@diamond.task(name="right", parents=[top])
async def right(input: Job, ctx: Context) -> dict[str, int]:
    with _ledger().execution(ctx.workflow_run_id, "right"):
        return {"value": ctx.task_output(top)["value"] + 2}


@diamond.task(name="bottom", parents=[left, right])
def bottom(input: Job, ctx: Context) -> dict[str, int]:
    with _ledger().execution(ctx.workflow_run_id, "bottom"):
        return {"value": ctx.task_output(left)["value"] + ctx.task_output(right)["value"]}


@hatchet.task(
    name="limited",
    input_validator=Job,
    schedule_timeout=timedelta(hours=1),
    concurrency=ConcurrencyExpression(expression="input.key", max_runs=PER_KEY),
)
def limited(input: Job, ctx: Context) -> None:
    with _ledger().execution(ctx.workflow_run_id, "limited", input.key):
        time.sleep(0.05)


@hatchet.task(name="slotted", input_validator=Job, schedule_timeout=timedelta(hours=1))
def slotted(input: Job, ctx: Context) -> None:
    with _ledger().execution(ctx.workflow_run_id, "slotted", "slots"):
        time.sleep(0.05)


@hatchet.task(name="child", input_validator=Job)
def child(input: Job, ctx: Context) -> dict[str, int]:
    with _ledger().execution(ctx.workflow_run_id, "child"):
        return {"value": 1}


@hatchet.durable_task(
    name="parent",
    input_validator=Job,
    execution_timeout=timedelta(minutes=14),
    schedule_timeout=timedelta(hours=1),
)
async def parent(input: Job, ctx: DurableContext) -> dict[str, int]:
    with _ledger().execution(ctx.workflow_run_id, "parent", "replays"):
        await ctx.aio_sleep_for(timedelta(seconds=1))
        found = await child.aio_run_many([child.create_bulk_run_item(Job()) for _ in range(2)])
        return {"value": sum(each["value"] for each in found)}


general = hatchet.worker("general", workflows=[diamond, limited, child, parent])
narrow = hatchet.worker("narrow", slots=SLOTS, workflows=[slotted])

EXPECTED = {"diamond": "COMPLETED", "limited": "COMPLETED", "slotted": "COMPLETED", "parent": "COMPLETED"}
TASKS = {
    "diamond": ("top", "left", "right", "bottom"),
    "limited": ("limited",),
    "slotted": ("slotted",),
    "parent": ("parent",),
}
LIMITS = {"limited": PER_KEY, "slotted": SLOTS}
"""Task -> how many of one key may run at once."""
