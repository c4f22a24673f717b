"""Crons, scheduled, delayed and debounced runs on a deployed stack, with the policies of its roles enforced; and the catalog, which is
there as soon as the deployment has ended. Without `sam build`: the functions run on the packages of MiniStack's own environment."""

from __future__ import annotations

import io
import os
import sys
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import boto3
import pytest

from headrace import Debounce, Headrace, Settings
from headrace_infra.compile import compile_app, render
from headrace_infra.ministack import ministack

from .waiting import until

pytestmark = [pytest.mark.ministack, pytest.mark.timeout(180)]
REPOSITORY = Path(__file__).parents[2]
HERE = Path(__file__).parent / "timely"
STACK = "timely"


def packed() -> bytes:
    """The library, its handlers and the app, as `sam build` would lay them out."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        for root in (REPOSITORY / "sdk", REPOSITORY / "handlers", HERE):
            for path in sorted(root.rglob("*.py")):
                bundle.write(path, path.relative_to(root))
    return buffer.getvalue()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Headrace]:
    """A process that has nothing but the stack's name, right after the deployment."""
    log = tmp_path_factory.mktemp("ministack") / "log"
    with ministack(auth=True, log=log) as running, patch.dict(os.environ, running.environment()):
        with patch.object(sys, "path", [str(HERE), *sys.path]):
            from timely import hatchet  # type: ignore[import-not-found]  # beside this file
        template = compile_app(hatchet, app_path="timely:hatchet", code_uri="s3://code/bundle.zip")
        for resource in template["Resources"].values():
            resource.pop("Metadata", None)  # how `sam build` makes it
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="code")
        s3.put_object(Bucket="code", Key="bundle.zip", Body=packed())
        formation = boto3.client("cloudformation")
        formation.create_stack(
            StackName=STACK,
            TemplateBody=render(template, app_path="timely:hatchet"),
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND", "CAPABILITY_NAMED_IAM"],
        )

        def status() -> str:
            return str(formation.describe_stacks(StackName=STACK)["Stacks"][0]["StackStatus"])

        until(lambda: not status().endswith("IN_PROGRESS"), within_s=90, what="the stack was deployed")
        assert status() == "CREATE_COMPLETE"
        yield Headrace(config=Settings(stack=STACK))


def test_it_can_be_triggered_by_name_at_once(client: Headrace) -> None:
    assert sorted(row.name for row in client.workflows.list().rows) == ["beat", "insert", "later", "soon"]
    run = client.stubs.task(name="later").run(wait_for_result=False)
    assert run.result() == {"id": run.workflow_run_id}


def test_a_declared_cron_fires_each_tick_once(client: Headrace) -> None:
    def dues() -> list[str]:
        rows = client.runs.list(workflow_ids=["beat"], limit=500).rows
        return [row.output["due"] for row in rows if row.status == "COMPLETED"]

    until(lambda: len(dues()) >= 3, within_s=60, what="three ticks were fired")
    found = dues()
    assert len(found) == len(set(found))
    assert {datetime.fromisoformat(each).second % 5 for each in found} == {0}


def test_scheduled_delayed_and_debounced_runs_start(client: Headrace) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=3)
    scheduled = client.scheduled.create("later", soon, {})
    gone = client.scheduled.create("later", soon, {})
    client.scheduled.delete(gone.metadata.id)
    stub = client.stubs.task(name="later")
    delayed = stub.run(delay=timedelta(seconds=2), wait_for_result=False)
    quiet = [stub.run(debounce=Debounce("k", "2s"), wait_for_result=False) for _ in range(3)]
    assert delayed.result() == {"id": delayed.workflow_run_id}
    assert {ref.result()["id"] for ref in quiet} == {quiet[0].workflow_run_id}
    until(
        lambda: client.scheduled.get(scheduled.metadata.id).workflow_run_status == "SUCCEEDED",
        within_s=40,
        what="the scheduled run was done",
    )
    started = {row.metadata.id for row in client.runs.list(workflow_ids=["later"]).rows}
    assert gone.workflow_run_id not in started


def test_batches_are_full_or_due_and_of_one_key(client: Headrace) -> None:
    """Six rows of two tables are two calls of three; a row that no other joins is a call of one, once its interval is over."""
    insert = client.stubs.task(name="insert")
    tables = ["orders", "customers"] * 3
    results = insert.run_many([insert.create_bulk_run_item({"table": table}) for table in tables])
    together = {
        table: {tuple(result["together"]) for result, of in zip(results, tables, strict=True) if of == table}
        for table in set(tables)
    }
    assert [len(calls) for calls in together.values()] == [1, 1]
    assert sorted(len(members) for calls in together.values() for members in calls) == [3, 3]
    assert client.stubs.task(name="soon").run() == {"rows": 1}


def test_a_paused_worker_begins_nothing_until_it_goes_on(client: Headrace) -> None:
    client.workers.pause("timely")
    time.sleep(11)  # by then every process knows
    ref = client.stubs.task(name="later").run(wait_for_result=False)
    until(
        lambda: client.runs.get(ref.workflow_run_id).tasks[0].waits_for == "worker timely to be unpaused",
        within_s=60,
        what="the run was parked",
    )
    client.workers.unpause("timely")
    assert ref.result() == {"id": ref.workflow_run_id}
