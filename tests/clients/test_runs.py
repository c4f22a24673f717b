"""hatchet.runs: read, list, create and cancel."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from support.lives import born, cancelled, raised, returned, started
from support.records import plan, task

from headrace.clients.models.runs import BulkCancelReplayOpts
from headrace.clients.runs.client import RunsClient
from headrace.core.changes import Item, Key
from headrace.core.run.ids import workflow_id
from headrace.core.run.message import decode_message
from headrace.core.run.plans.plan import RunPlan
from headrace.core.run.record import ParentLink, Payload, Place, RunRecord, RunStatus
from headrace.core.table import input_key
from headrace.engine.catalog.workflows import Published, publish_workflows
from headrace.engine.runs.listing import PAGE
from headrace.errors import AccessDenied, RunNotFound
from headrace.memory.faults import NoFaults
from headrace.memory.store import MemoryStore

if TYPE_CHECKING:
    from conftest import Desk

PAIR = plan(task("a"), task("b", "a"), workflow="pair")
SOLO = RunPlan(workflow="solo", version="1", tasks=(task("solo"),), standalone=True)
MINUTE = 60_000
DAY = 86_400_000


@pytest.fixture
def runs(desk: Desk) -> RunsClient:
    desk.has(PAIR, SOLO)
    return RunsClient(desk)


def made(desk: Desk, run_id: str, *, of: RunPlan = SOLO, ago_ms: int = 0, **fields: Any) -> RunRecord:
    return born(of, run_id, at_ms=desk.clock.now_ms() - ago_ms, **fields)


def solo(desk: Desk, run_id: str, ago_ms: int, status: str = "queued", **fields: Any) -> RunRecord:
    run = made(desk, run_id, ago_ms=ago_ms, **fields)
    now = run.created_at_ms
    match status:
        case "running":
            return started(run, "solo", now + 1)
        case "completed":
            return returned(run, "solo", {"id": run_id}, now + 2)
        case "failed":
            return raised(run, "solo", at_ms=now + 2)
        case "cancelled":
            return cancelled(run, now + 2)
        case _:
            return run


def at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


# ---------------------------------------------------------------- one run


def test_one_run(desk: Desk, runs: RunsClient) -> None:
    run = replace(made(desk, "r1", of=PAIR), input=Payload(place=Place.ITEM))
    desk.body(input_key("r1"), '{"big": true}')
    desk.keep(returned(run, "a", {"n": 1}, run.created_at_ms + 2))
    details = runs.get("r1")
    assert details.run.status is RunStatus.RUNNING
    assert details.run.input == {"big": True}
    assert details.run.output == {"a": {"n": 1}}
    assert [each.task_external_id for each in details.tasks] == ["r1:a", "r1:b"]
    assert runs.get("r1:b") == details
    assert runs.get_status("r1") is RunStatus.RUNNING
    assert runs.get_details("r1").task_runs["a"].output == {"n": 1}
    assert runs.get_task_run("r1:b").status is RunStatus.QUEUED
    assert asyncio.run(runs.aio_get("r1")) == details
    assert asyncio.run(runs.aio_get_status("r1")) is RunStatus.RUNNING


def test_a_standalone_run_s_id_is_its_task_s(desk: Desk, runs: RunsClient) -> None:
    desk.keep(solo(desk, "r1", 0, "completed"))
    assert runs.get_task_run("r1").task_name == "solo"
    assert runs.get_result("r1") == {"solo": {"id": "r1"}}
    assert asyncio.run(runs.aio_get_result("r1")) == {"solo": {"id": "r1"}}
    assert runs.get_run_ref("r1").result() == {"solo": {"id": "r1"}}


@pytest.mark.parametrize("method", ["get", "get_details", "get_status", "get_task_run"])
def test_no_such_run(runs: RunsClient, method: str) -> None:
    with pytest.raises(ValueError, match="Workflow run unknown not found"):
        getattr(runs, method)("unknown")


def test_no_such_task_run(desk: Desk, runs: RunsClient) -> None:
    desk.keep(made(desk, "r1", of=PAIR))
    for unknown in ("r1:b", "r1:zzz"):
        with pytest.raises(ValueError, match=f"Task run {unknown} not found"):
            runs.get_task_run(unknown)


def test_reading_a_run_cancels_what_waited_too_long(desk: Desk, runs: RunsClient) -> None:
    desk.keep(made(desk, "r1", ago_ms=10 * MINUTE))
    row = runs.list().rows[0]
    assert row.status is RunStatus.CANCELLED
    assert row.error_message == "Task solo did not start within 300s"


# ---------------------------------------------------------------- list


def listed(runs: RunsClient, **options: Any) -> list[str]:
    return [row.metadata.id for row in runs.list(**options).rows]


def test_newest_first_over_days_shards_and_workflows(desk: Desk, runs: RunsClient) -> None:
    ages = [number * 7 * 60 * MINUTE for number in range(20)]  # every seven hours
    for number, ago in enumerate(ages):
        of = SOLO if number % 3 else PAIR
        desk.keep(cancelled(made(desk, f"r{number:02}", of=of, ago_ms=ago), desk.clock.now_ms()))
    week = at(desk.clock.now_ms() - 7 * DAY)
    assert listed(runs, since=week) == [f"r{number:02}" for number in range(20)]
    assert listed(runs) == ["r00", "r01", "r02", "r03"]  # a day
    assert listed(runs, since=week, limit=3, offset=2) == ["r02", "r03", "r04"]
    assert listed(runs, since=week, workflow_ids=[workflow_id("pair")], limit=3) == ["r00", "r03", "r06"]
    assert listed(runs, since=week, workflow_ids=["solo"], limit=2) == ["r01", "r02"]
    assert listed(runs, since=week, workflow_ids=["unknown"]) == []
    until = at(desk.clock.now_ms() - ages[5])
    assert listed(runs, since=week, until=until, limit=2) == ["r05", "r06"]
    assert listed(runs, since=until) == [f"r{number:02}" for number in range(6)]


def test_pages_say_whether_more_follow(desk: Desk, runs: RunsClient) -> None:
    for number in range(5):
        desk.keep(solo(desk, f"r{number}", number, "completed"))
    first, last = runs.list(limit=2), runs.list(limit=2, offset=4)
    assert (first.pagination.current_page, first.pagination.next_page) == (1, 2)
    assert (last.pagination.current_page, last.pagination.next_page, last.pagination.num_pages) == (
        3,
        None,
        3,
    )
    assert [row.metadata.id for row in last.rows] == ["r4"]


def test_more_than_a_page_of_one_partition(desk: Desk, runs: RunsClient) -> None:
    ids = [f"{'a' * (number // 26)}{chr(97 + number % 26)}" for number in range(40)]
    same_shard = [f"x{number:04}" for number in range(2000) if sum(f"x{number:04}".encode()) % 8 == 3]
    wanted = same_shard[: 2 * PAGE + 30]
    assert len(wanted) == 2 * PAGE + 30
    for number, run_id in enumerate(wanted):
        desk.keep(solo(desk, run_id, number, "completed"))
    for run_id in ids:
        desk.keep(solo(desk, run_id, 5000, "completed"))
    rows = runs.list_with_pagination(include_payloads=False)
    assert [row.metadata.id for row in rows][: len(wanted)] == wanted
    assert len(rows) == len(wanted) + len(ids)
    assert len(runs.list_with_pagination(limit=7)) == 7
    after = runs.list_with_pagination(include_payloads=False, offset=3)
    assert [row.metadata.id for row in after] == [row.metadata.id for row in rows[3:]]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"limit": 0}, "offset is None and limit 0: give an offset of at least 0 and a limit of at least 1"),
        ({"limit": "5"}, "limit '5'"),
        ({"limit": 5, "offset": -1}, "offset is -1"),
        (
            {"statuses": ["OPEN"]},
            r"statuses is \['OPEN'\]: give some of QUEUED, RUNNING, COMPLETED, CANCELLED, FAILED",
        ),
    ],
)
def test_pages_and_statuses_that_there_are_not(runs: RunsClient, given: dict[str, Any], message: str) -> None:
    for listing in (runs.list, runs.list_with_pagination):
        with pytest.raises(ValueError, match=message):
            listing(**given)


def test_fifty_by_default(desk: Desk, runs: RunsClient) -> None:
    for number in range(60):
        desk.keep(solo(desk, f"r{number:02}", number, "completed"))
    assert len(runs.list().rows) == 50


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({}, "q r c f x", id="all"),
        pytest.param({"statuses": [RunStatus.FAILED]}, "f", id="failed, by their own index"),
        pytest.param({"statuses": [RunStatus.FAILED, RunStatus.CANCELLED]}, "f x", id="two"),
        pytest.param({"statuses": [RunStatus.QUEUED, RunStatus.RUNNING]}, "q r", id="open"),
        pytest.param({"additional_metadata": {"who": "ann"}}, "r f", id="one pair"),
        pytest.param({"additional_metadata": {"who": "ann", "n": "3"}}, "r c f", id="pairs are ORed"),
        pytest.param({"additional_metadata": {"who": "zoe"}}, "", id="no such pair"),
        pytest.param({"worker_id": "default"}, "r c f", id="by worker"),
        pytest.param({"parent_task_external_id": "p:t"}, "c", id="by parent task"),
        pytest.param({"parent_task_external_id": "p"}, "c f", id="by parent run"),
    ],
)
def test_filters(desk: Desk, runs: RunsClient, options: dict[str, Any], expected: str) -> None:
    desk.keep(
        solo(desk, "q", 0),
        solo(desk, "r", 1, "running", metadata={"who": "ann"}),
        solo(desk, "c", 2, "completed", metadata={"n": 3}, parent=ParentLink(run_id="p", task="t")),
        solo(desk, "f", 3, "failed", metadata={"who": "ann"}, parent=ParentLink(run_id="p", task="u")),
        solo(desk, "x", 4, "cancelled"),
    )
    assert listed(runs, **options) == expected.split()


class Calls:
    """Counts what is asked of the ports."""

    def __init__(self) -> None:
        self.made: Counter[str] = Counter()

    def before(self, port: str, call: str) -> None:
        self.made[call] += 1

    def after(self, port: str, call: str) -> None:
        """Nothing goes wrong."""


def counted(desk: Desk) -> Calls:
    calls = Calls()
    assert isinstance(desk.engine.store, MemoryStore)
    desk.engine.store.faults = calls
    return calls


def test_failed_runs_are_found_without_reading_the_others(desk: Desk, runs: RunsClient) -> None:
    desk.keep(
        *(solo(desk, f"c{number}", number, "completed") for number in range(20)),
        solo(desk, "f", 30, "failed"),
    )
    calls = counted(desk)
    assert listed(runs, statuses=[RunStatus.FAILED]) == ["f"]
    assert calls.made["get"] == 1


def test_children_are_found_without_reading_the_others(desk: Desk, runs: RunsClient) -> None:
    desk.keep(
        *(solo(desk, f"c{number}", number, "completed") for number in range(20)),
        solo(desk, "k", 30, "completed", parent=ParentLink(run_id="p", task="t")),
    )
    calls = counted(desk)
    assert listed(runs, parent_task_external_id="p") == ["k"]
    assert calls.made["get"] == 1


def test_a_stack_is_listed_by_its_name_alone(desk: Desk) -> None:
    """No code at hand: many workflows, and days of which most had no run, cost a request a shard."""
    for number in range(40):
        plan = replace(SOLO, workflow=f"w{number:02}")
        done = returned(
            made(desk, f"r{number:02}", of=plan, ago_ms=number * DAY), "solo", {}, desk.clock.now_ms()
        )
        desk.keep(done)
    calls = counted(desk)
    since = datetime.fromtimestamp(0, UTC)
    rows = RunsClient(desk).list(since=since, include_payloads=False).rows
    assert [row.workflow_name for row in rows] == [f"w{number:02}" for number in range(40)]
    assert calls.made["query_index"] == 8
    assert listed(RunsClient(desk), since=since, workflow_ids=["w03", workflow_id("w07")]) == ["r03", "r07"]


@pytest.mark.parametrize(("workflows", "days"), [(1, 1), (300, 365)])
def test_a_page_costs_few_requests_whatever_the_number_of_workflows_and_days(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, workflows: int, days: int
) -> None:
    """Requests as DynamoDB takes them: a hundred keys are read by one."""
    spread(desk, workflows=workflows, days=days)
    batches, get_many = list[int](), MemoryStore.get_many

    def noted(store: MemoryStore, keys: Sequence[Key], *, consistent: bool = True) -> list[Item | None]:
        batches.append(len(keys))
        return get_many(store, keys, consistent=consistent)

    monkeypatch.setattr(MemoryStore, "get_many", noted)
    options: list[dict[str, Any]] = [{}, {"statuses": [RunStatus.FAILED]}, {"offset": 150}]
    for option in options:
        batches.clear()
        calls = counted(desk)
        rows = RunsClient(desk).list(since=datetime.fromtimestamp(0, UTC), limit=50, **option).rows
        assert len({row.metadata.id for row in rows}) == 50
        assert [row.created_at for row in rows] == sorted((row.created_at for row in rows), reverse=True)
        requests = calls.made.total() - sum(batches) + sum(-(-size // 100) for size in batches)
        assert 8 < requests <= 20, (option, requests, calls.made)


def spread(desk: Desk, *, workflows: int, days: int) -> None:
    """300 runs that are over, a third of them failed."""
    for number in range(300):
        of = replace(SOLO, workflow=f"w{number % workflows}")
        run = made(desk, f"r{number:03}", of=of, ago_ms=number % days * DAY + number)
        over_ms = run.created_at_ms + 2
        if number % 3 == 0:
            desk.keep(raised(run, "solo", at_ms=over_ms))
        else:
            desk.keep(returned(run, "solo", {"n": number}, over_ms))


def test_a_namespace_lists_its_own_workflows(desk: Desk) -> None:
    desk.keep(
        made(desk, "r1", of=replace(SOLO, workflow="dev_solo")),
        made(desk, "r2", of=replace(SOLO, workflow="prod_solo")),
    )
    desk.settings = replace(desk.settings, namespace="dev")
    assert listed(RunsClient(desk)) == ["r1"]


def test_tasks_in_place_of_runs(desk: Desk, runs: RunsClient) -> None:
    pair = made(desk, "r1", of=PAIR)
    desk.keep(returned(pair, "a", {"n": 1}, pair.created_at_ms + 2), solo(desk, "r2", 5, "completed"))
    rows = runs.list(only_tasks=True).rows
    assert [row.task_external_id for row in rows] == ["r1:a", "r1:b", "r2"]
    assert [row.task_external_id for row in runs.list(only_tasks=True, offset=1, limit=1).rows] == ["r1:b"]


def test_payloads_can_be_left_out(desk: Desk, runs: RunsClient) -> None:
    desk.keep(solo(desk, "r1", 0, "completed", input={"n": 1}))
    assert runs.list().rows[0].output == {"id": "r1"}
    assert runs.list().rows[0].input == {"n": 1}
    bare = runs.list(include_payloads=False).rows[0]
    assert (bare.input, bare.output) == ({}, {})
    assert asyncio.run(runs.aio_list(limit=1)).rows[0].output == {"id": "r1"}


def test_by_the_event_that_started_them(desk: Desk, runs: RunsClient) -> None:
    desk.keep(solo(desk, "r1", 0, metadata={"hatchet__event_id": "e1"}), solo(desk, "r2", 1))
    assert listed(runs, triggering_event_external_id="e1") == ["r1"]


# ---------------------------------------------------------------- create


def test_create_by_name(desk: Desk, runs: RunsClient) -> None:
    details = runs.create("solo", {"n": 1}, additional_metadata={"who": "ann"}, priority=3)
    run_id = details.run.metadata.id
    assert details.run.status is RunStatus.QUEUED
    assert details.run.input == {"n": 1}
    assert runs.get(run_id).run.additional_metadata == {"who": "ann"}
    (received,) = desk.engine.queues.receive("default", limit=1, wait_s=0)
    message = decode_message(received.body)
    assert (message.run_id, message.task) == (run_id, "solo")
    assert message.record is not None
    assert (message.record.priority, json.loads(message.record.input.text or "")) == (3, {"n": 1})


def test_create_what_another_app_registered(desk: Desk) -> None:
    publish_workflows(desk.engine, [Published(plan=PAIR)])
    details = RunsClient(desk).create("pair", {})
    assert [each.task_name for each in details.tasks] == ["a"]


def test_create_in_a_namespace(desk: Desk) -> None:
    desk.settings = replace(desk.settings, namespace="Dev")
    desk.has(replace(SOLO, workflow="dev_solo"))
    details = RunsClient(desk).create("solo", {})
    assert RunsClient(desk).create("dev_solo", {}).run.workflow_id == details.run.workflow_id
    assert RunsClient(desk).list().rows[0].workflow_name == "dev_solo"
    assert details.run.workflow_id == workflow_id("dev_solo")


def test_create_an_unknown_workflow(runs: RunsClient) -> None:
    with pytest.raises(ValueError, match="no workflow 'nope' is registered in stack 'headrace'"):
        runs.create("nope", {})


# ---------------------------------------------------------------- cancel


def test_cancel(desk: Desk, runs: RunsClient) -> None:
    desk.keep(solo(desk, "q", 0), solo(desk, "c", 1, "completed"))
    runs.cancel("q")
    runs.cancel("c")
    runs.cancel("unknown")
    assert runs.get_status("q") is RunStatus.CANCELLED
    assert runs.get_status("c") is RunStatus.COMPLETED
    assert runs.get("q").run.error_message == "CANCELLED_BY_USER"


@pytest.mark.parametrize(
    "given", [{}, {"ids": ["r"], "filters": {"since": datetime(2026, 1, 1, tzinfo=UTC)}}]
)
def test_either_ids_or_filters(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either ids or filters"):
        BulkCancelReplayOpts(**given)


class ReadOnly:
    """A role that may not write."""

    def before(self, port: str, call: str) -> None:
        if call == "write":
            raise AccessDenied("Allow dynamodb:UpdateItem on the table")

    def after(self, port: str, call: str) -> None:
        """Nothing goes wrong."""


def test_a_role_that_may_only_read_sees_an_overdue_run_as_it_is(desk: Desk, runs: RunsClient) -> None:
    desk.keep(solo(desk, "late", 0))
    desk.clock.advance(12 * 3_600_000)
    assert isinstance(desk.engine.store, MemoryStore)
    desk.engine.store.faults = ReadOnly()
    assert listed(runs) == ["late"]
    assert runs.get_status("late") is RunStatus.QUEUED
    desk.engine.store.faults = NoFaults()
    assert runs.get_status("late") is RunStatus.CANCELLED


LOOK_UPS = [
    RunsClient.get,
    RunsClient.get_status,
    RunsClient.get_task_run,
    RunsClient.cancel,
    RunsClient.replay,
]


@pytest.mark.parametrize("call", LOOK_UPS, ids=lambda call: call.__name__)
@pytest.mark.parametrize("given", [None, b"id", ["id"], 7], ids=repr)
def test_what_is_no_text_is_no_run_id(runs: RunsClient, call: Any, given: Any) -> None:
    with pytest.raises(TypeError, match=f"a run id is a str, not {type(given).__name__}"):
        call(runs, given)


@pytest.mark.parametrize("call", LOOK_UPS, ids=lambda call: call.__name__)
@pytest.mark.parametrize(
    "given", ["r" * 3_000, "r:" + "t" * 3_000, "\udce9"], ids=["long", "long task", "surrogate"]
)
def test_an_id_that_no_run_can_have_is_not_found_in_a_short_sentence(
    runs: RunsClient, call: Any, given: str
) -> None:
    with pytest.raises(RunNotFound) as caught:
        call(runs, given)
    assert len(str(caught.value).encode()) < 200
