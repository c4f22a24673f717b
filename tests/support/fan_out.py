"""A durable task that starts many children, round after round, on a store that counts what is read and written."""

from __future__ import annotations

from typing import Any, cast

from headrace import Context, DurableContext, EmptyModel, Hatchet
from headrace.engine.engine import Limits
from support.durable import DurableWorld
from support.metered import MeteredStore


def metered(hatchet: Hatchet, **limits: Any) -> tuple[DurableWorld, MeteredStore]:
    """A world of the app's tasks and its store. A durable task that waits for children ends its invocation at once."""
    w = DurableWorld(
        plans={}, code={}, of=hatchet, store_type=MeteredStore, limits=Limits(**{"hold_s": 0, **limits})
    )
    return w, cast(MeteredStore, w.store)


def fan_out(rounds: int, width: int) -> Hatchet:
    """The durable task `parent` starts `width` of the task `child` in each round, and adds up the numbers that they return."""
    hatchet = Hatchet()

    @hatchet.task(input_validator=dict[str, int])
    def child(input: dict[str, int], ctx: Context) -> dict[str, int]:
        return {"n": input["n"]}

    @hatchet.durable_task()
    async def parent(input: EmptyModel, ctx: DurableContext) -> dict[str, int]:
        total = 0
        for _ in range(rounds):
            items = [child.create_bulk_run_item({"n": n}) for n in range(width)]
            total += sum(each["n"] for each in await child.aio_run_many(items))
        return {"total": total, "invocations": ctx.invocation_count}

    return hatchet
