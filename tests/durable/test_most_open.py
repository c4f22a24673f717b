"""More children in one call than a durable task's record has room for: refused before any of them is started."""

from __future__ import annotations

from support.durable import DurableWorld

from headrace import Context, DurableContext, EmptyModel, Hatchet
from headrace.core.durable.log import MOST_OPEN
from headrace.core.run.derived.progress import run_status
from headrace.core.run.record import RunStatus


def world(width: int) -> tuple[DurableWorld, str]:
    hatchet = Hatchet()

    @hatchet.task(name="child")
    def child(input: EmptyModel, ctx: Context) -> None: ...

    @hatchet.durable_task(name="wide")
    async def wide(input: EmptyModel, ctx: DurableContext) -> None:
        await child.aio_run_many([child.create_bulk_run_item() for _ in range(width)])

    w = DurableWorld(plans={}, code={}, of=hatchet)
    return w, w.begin("wide", {})


def test_one_more_than_there_is_room_for_fails_the_task_and_starts_none() -> None:
    w, run_id = world(MOST_OPEN + 1)
    w.deliver_next()
    record = w.record(run_id)
    assert run_status(record) is RunStatus.FAILED
    error = record.tasks["wide"].error
    assert error is not None
    assert error.type == "TooManyOpenOperations"
    assert error.message.startswith("task wide of run ")
    assert error.message.endswith(
        "started more than 5,000 children, sleeps and waits that nothing has answered yet: wait for some of them before it starts more, "
        "in calls of a few thousand, or start child runs that start the rest"
    )
    assert [str(item["pk"]) for item in w.store.items() if item["sk"] == "run"] == [f"run#{run_id}"]
    assert w.queues.receive("default", limit=1, wait_s=0) == []
