"""Crons and scheduled runs: made, listed, changed, deleted."""

from datetime import UTC, datetime, timedelta

import pytest
from hatchet_sdk import Context, Hatchet, Priority
from pydantic import BaseModel

hatchet = Hatchet()


class Report(BaseModel):
    day: str


@hatchet.task(input_validator=Report, on_crons=["0 3 * * *"], cron_input=Report(day="yesterday"))
def report(input: Report, ctx: Context) -> dict[str, str]:
    return {"day": input.day}


def test_crons() -> None:
    made = hatchet.cron.create(
        workflow_name="report",
        cron_name="weekly",
        expression="0 12 * * 1",
        input={"day": "monday"},
        additional_metadata={"who": "me"},
        priority=Priority.HIGH,
    )
    assert hatchet.cron.get(made.metadata.id).cron == "0 12 * * 1"
    assert [each.name for each in hatchet.cron.list(cron_name="weekly").rows or []] == ["weekly"]
    hatchet.cron.delete(made.metadata.id)
    assert (hatchet.cron.list(cron_name="weekly").rows or []) == []
    with pytest.raises(ValueError, match=r"[cC]ron"):
        hatchet.cron.create(
            workflow_name="report", cron_name="bad", expression="every day", input={}, additional_metadata={}
        )


async def test_schedules() -> None:
    at = datetime.now(tz=UTC) + timedelta(hours=2)
    made = await hatchet.scheduled.aio_create("report", at, {"day": "later"}, {"who": "me"})
    assert made.trigger_at == at.replace(microsecond=made.trigger_at.microsecond)
    later = await hatchet.scheduled.aio_update(made.metadata.id, trigger_at=at + timedelta(hours=1))
    assert later.trigger_at > made.trigger_at
    assert [each.metadata.id for each in (await hatchet.scheduled.aio_list()).rows or []] == [
        made.metadata.id
    ]
    await hatchet.scheduled.aio_delete(made.metadata.id)
    version = report.schedule(at, Report(day="x"))
    assert version.metadata.id
    gone = hatchet.scheduled.bulk_delete(workflow_id=report.id)
    assert len(gone.deleted_ids) == 1
