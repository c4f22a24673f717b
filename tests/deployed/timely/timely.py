"""An app whose runs are started by time, and batches: what `test_time.py` deploys."""

from datetime import timedelta

from headrace import BatchMemberId, Context, EmptyModel, Headrace

hatchet = Headrace()


@hatchet.task(on_crons=["*/5 * * * * *"])
def beat(input: EmptyModel, ctx: Context) -> dict[str, str]:
    return {"due": ctx.additional_metadata["hatchet__cron_scheduled_at"]}


@hatchet.task()
def later(input: EmptyModel, ctx: Context) -> dict[str, str]:
    return {"id": ctx.workflow_run_id}


@hatchet.batch_task(
    batch_max_size=3, batch_max_interval=timedelta(minutes=2), batch_group_key="string(input.table)"
)
def insert(rows: dict[BatchMemberId, EmptyModel], ctx: Context) -> dict[BatchMemberId, dict[str, list[str]]]:
    return {member: {"together": sorted(rows)} for member in rows}


@hatchet.batch_task(batch_max_size=100, batch_max_interval=timedelta(milliseconds=200), broadcast_output=True)
async def soon(rows: dict[BatchMemberId, EmptyModel], ctx: Context) -> dict[str, int]:
    return {"rows": len(rows)}


hatchet.worker("timely", workflows=[beat, later, insert, soon])
