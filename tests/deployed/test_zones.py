"""Two zones of one stack, deployed with the policies of their roles enforced: a run crosses by its message, and no role reads the other's table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from headrace import Headrace, Settings
from headrace.errors import RunNotFound

from .straight import deployed
from .waiting import until

pytestmark = [pytest.mark.ministack, pytest.mark.timeout(180)]
STACK = "zoned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Zones:
    """A client of each zone, and the table that it reads."""

    main: Headrace
    vault: Headrace
    main_table: str
    vault_table: str

    def output(self, client: Headrace, run_id: str, task: str) -> dict[str, str]:
        def look() -> dict[str, str] | None:
            try:
                run = client.runs.get(run_id).run
            except RunNotFound:
                return None  # the message that crosses has not come yet
            assert run.status.value in ("QUEUED", "RUNNING", "COMPLETED"), run
            return client.runs.get_result(run_id)[task] if run.status.value == "COMPLETED" else None

        return until(look, within_s=60, what=f"{task} completed")


@pytest.fixture(scope="module")
def zones(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zones]:
    log = tmp_path_factory.mktemp("ministack") / "log"
    with deployed(STACK, Path(__file__).parent / "zoned", log=log) as client:
        resources = boto3.client("cloudformation").describe_stack_resources(StackName=STACK)["StackResources"]
        tables = [
            str(each["PhysicalResourceId"])
            for each in resources
            if each["ResourceType"] == "AWS::DynamoDB::Table"
        ]
        [vault] = [name for name in tables if "vault" in name.lower()]
        [main] = [name for name in tables if name != vault]
        yield Zones(
            main=client,
            vault=Headrace(config=Settings(stack=STACK, zone="vault")),
            main_table=main,
            vault_table=vault,
        )


def test_a_run_crosses_by_its_message_and_each_zone_has_its_own_record(zones: Zones) -> None:
    order = zones.main.stubs.task(name="order").run({"n": 1}, wait_for_result=False).workflow_run_id
    payment = zones.output(zones.main, order, "order")["payment"]
    assert zones.output(zones.vault, payment, "pay") == {"cents": 990}
    key = {"pk": {"S": f"run#{payment}"}, "sk": {"S": "run"}}
    dynamodb = boto3.client("dynamodb")
    assert "Item" in dynamodb.get_item(TableName=zones.vault_table, Key=key)
    assert "Item" not in dynamodb.get_item(TableName=zones.main_table, Key=key)


def test_the_role_of_a_zone_reads_its_own_table_and_not_the_other(zones: Zones) -> None:
    asked = {"tables": [zones.main_table, zones.vault_table]}
    for client, task, own in (
        (zones.main, "peek", zones.main_table),
        (zones.vault, "peek-in-the-vault", zones.vault_table),
    ):
        run_id = client.stubs.task(name=task).run(asked, wait_for_result=False).workflow_run_id
        found = zones.output(client, run_id, task)
        assert found.pop(own) == "read"
        assert list(found.values()) == ["AccessDeniedException"]
