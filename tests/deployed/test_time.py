"""Crons, scheduled, delayed and debounced runs on a deployed stack, with the policies of its roles enforced; and the catalog, which is
there as soon as the deployment has ended. Without `sam build`: the functions run on the packages of MiniStack's own environment."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from headrace import Debounce, Headrace

from .straight import deployed
from .waiting import until

pytestmark = [pytest.mark.ministack, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Headrace]:
    """A process that has nothing but the stack's name, right after the deployment."""
    log = tmp_path_factory.mktemp("ministack") / "log"
    with deployed("timely", Path(__file__).parent / "timely", log=log) as client:
        yield client


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
