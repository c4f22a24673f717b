"""Restoring a stack's table as docs/operate.md says, on MiniStack: what was over is as it was, what was going is run again."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from headrace import Context, EmptyModel, Headrace
from headrace_infra.testing import local

pytestmark = pytest.mark.ministack


def restored(stack: str) -> None:
    """The steps of docs/operate.md, "Restoring the table"."""
    dynamodb: Any = boto3.client("dynamodb")
    copy = f"{stack}-restored"
    dynamodb.restore_table_to_point_in_time(
        SourceTableName=stack, TargetTableName=copy, UseLatestRestorableTime=True
    )
    dynamodb.get_waiter("table_exists").wait(TableName=copy)
    backup = dynamodb.create_backup(TableName=copy, BackupName=copy)["BackupDetails"]["BackupArn"]
    dynamodb.update_table(TableName=stack, DeletionProtectionEnabled=False)
    dynamodb.delete_table(TableName=stack)
    dynamodb.get_waiter("table_not_exists").wait(TableName=stack)
    dynamodb.restore_table_from_backup(TargetTableName=stack, BackupArn=backup)
    dynamodb.get_waiter("table_exists").wait(TableName=stack)
    dynamodb.update_time_to_live(
        TableName=stack, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires_at"}
    )
    dynamodb.update_table(TableName=stack, DeletionProtectionEnabled=True)


def test_a_table_is_restored_under_its_name() -> None:
    hatchet = Headrace()

    @hatchet.task(name="work")
    def work(input: EmptyModel, ctx: Context) -> dict[str, int]:
        return {"attempt": ctx.attempt_number}

    with local(hatchet, backend="ministack", background=False) as stack:
        over = work.run(wait_for_result=False)
        stack.drain()
        going = work.run(wait_for_result=False)
        [message] = stack.engine.queues.receive("default", limit=1, wait_s=0)
        stack.engine.queues.delete(message)  # as after the moment that is restored: its message is gone

        restored(stack.app.settings.stack)

        assert over.result() == {"attempt": 1}
        assert [
            run.workflow_run_external_id for run in hatchet.runs.list().rows if run.status == "QUEUED"
        ] == [going.workflow_run_id]
        hatchet.runs.cancel(going.workflow_run_id)
        hatchet.runs.replay(going.workflow_run_id)
        stack.drain()
        assert going.result() == {"attempt": 2}
