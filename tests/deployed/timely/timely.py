"""An app whose runs are started by time: what `test_time.py` deploys."""

from headrace import Context, EmptyModel, Headrace

hatchet = Headrace()


@hatchet.task(on_crons=["*/5 * * * * *"])
def beat(input: EmptyModel, ctx: Context) -> dict[str, str]:
    return {"due": ctx.additional_metadata["hatchet__cron_scheduled_at"]}


@hatchet.task()
def later(input: EmptyModel, ctx: Context) -> dict[str, str]:
    return {"id": ctx.workflow_run_id}


hatchet.worker("timely", workflows=[beat, later])
