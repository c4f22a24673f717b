"""Admission on the deployed examples: real Lambdas, several at a time, through the roles that the template gives."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta

import pytest

from deployed.conftest import Stack
from deployed.waiting import until
from headrace import Priority, RunStatus
from headrace.clients.admission.rate_limits import register_limits
from headrace.core.run.record import TaskRow
from headrace.core.run.stored.record import record_of
from headrace.core.table import run_key

pytestmark = [pytest.mark.deployed, pytest.mark.timeout(280)]


def rows(runs: Sequence[object], task: str) -> list[TaskRow]:
    """The row of the task in each run, as the table has it."""
    from quickstart import hatchet

    items = hatchet.engine.store.get_many([run_key(str(run)) for run in runs])
    return [record_of(item).tasks[task] for item in items if item is not None]


def most_at_once(found: Sequence[TaskRow], busy_ms: int) -> int:
    """How many ran at one time, by what the records say of code that takes `busy_ms` at least.

    A task's start is that of its invocation, which comes to the gate a moment later; the last `busy_ms` it has certainly been inside.
    """
    ends = [row.finished_at_ms or 0 for row in found]
    edges = [(end - busy_ms, 1) for end in ends] + [(end, -1) for end in ends]
    now = most = 0
    for _, step in sorted(edges):
        now += step
        most = max(most, now)
    return most


def gates_in_use() -> list[str]:
    from quickstart import hatchet

    return [view.name for view in hatchet.gates.list()]


def test_a_customer_has_one_export_at_a_time(examples: Stack) -> None:
    from round_robin import Export, export

    customers = ["acme"] * 6 + ["bob"] * 2
    items = [export.create_bulk_run_item(Export(customer=customer)) for customer in customers]
    runs = export.run_many(items, wait_for_result=False)
    assert [run.result()["file"] for run in runs] == [f"{customer}.csv" for customer in customers]
    by_customer: dict[str, list[TaskRow]] = defaultdict(list)
    for customer, row in zip(customers, rows(runs, "export"), strict=True):
        by_customer[customer].append(row)
    assert {customer: most_at_once(found, 300) for customer, found in by_customer.items()} == {
        "acme": 1,
        "bob": 1,
    }
    until(lambda: gates_in_use() == [], within_s=20, what="no place is taken")


def test_slots_cap_a_worker_and_the_first_in_line_goes_first(examples: Stack) -> None:
    from vip_lane import Parcel, ship

    low = [ship.run(Parcel(number=number), wait_for_result=False) for number in range(5)]
    high = ship.run(Parcel(number=9), wait_for_result=False, priority=Priority.HIGH)
    assert [run.result()["priority"] for run in (*low, high)] == ["LOW"] * 5 + ["HIGH"]
    found = rows([*low, high], "ship")
    assert most_at_once(found, 400) == 2
    assert sum((row.started_at_ms or 0) < (found[-1].started_at_ms or 0) for row in found) <= 4
    until(lambda: gates_in_use() == [], within_s=20, what="no place is taken")


def test_a_limit_that_was_put_admits_so_many_a_second(examples: Stack) -> None:
    from quickstart import hatchet
    from throttled_api import Place, forecast

    register_limits(hatchet.engine, hatchet._declared_rate_limits)  # what the clock does within a minute
    runs = [forecast.run(Place(number=number), wait_for_result=False) for number in range(25)]
    called = sorted(float(run.result()["called_at"]) for run in runs)
    for first, later in zip(called, called[20:], strict=False):
        assert later - first > 0.9, "more than two windows' calls in a second"


def test_the_newest_search_wins(examples: Stack) -> None:
    from newest_wins import Query, search

    runs = []
    for text in ("h", "he", "hea"):
        runs.append(search.run(Query(user="ann", text=text), wait_for_result=False))
        time.sleep(0.4)
    runs[-1].result()
    statuses = [search.app.runs.get_status(run.workflow_run_id) for run in runs]
    assert statuses[-1] is RunStatus.COMPLETED
    assert RunStatus.CANCELLED in statuses


def test_a_paused_workflow_goes_on(examples: Stack) -> None:
    from quickstart import SimpleInput, simple

    simple.pause(queue_ttl=timedelta(minutes=5))
    try:
        time.sleep(11)  # what each execution environment knows of pauses is ten seconds old at most
        run = simple.run(SimpleInput(message="Later"), wait_for_result=False)
        until(lambda: simple.name in gates_in_use(), within_s=20, what="the run waits")
        assert simple.app.runs.get_status(run.workflow_run_id) is RunStatus.QUEUED
    finally:
        simple.unpause()
    assert run.result().transformed_message == "later"
