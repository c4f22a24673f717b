"""hatchet.logs, metrics, workflows, workers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.lives import born, raised, returned, started
from support.records import plan, task

from headrace import Context, EmptyModel, Hatchet
from headrace.clients.cel import CELFailure, CELSuccess
from headrace.clients.logs import LogsClient
from headrace.clients.metrics import MetricsClient
from headrace.clients.models import UpdateWorkerRequest
from headrace.clients.workflows import WorkflowsClient
from headrace.core.run.ids import workflow_id
from headrace.core.run.plans.plan import RunPlan
from headrace.engine.catalog.workers import announce, leave, publish_workers
from headrace.engine.catalog.workflows import Published, publish_workflows
from headrace.engine.clock.crons import declare_crons
from headrace.engine.records.logs import LogLine, write_lines
from headrace.engine.waits.kinds.pause import Pause, pauses
from headrace.errors import DefinitionError, NotSupportedError
from headrace.memory.wiring import connect

if TYPE_CHECKING:
    from conftest import Desk

PAIR = plan(task("a"), task("b", "a"), workflow="pair")
SOLO = RunPlan(workflow="solo", version="7", tasks=(task("solo", worker="gpu"),), standalone=True)

# ---------------------------------------------------------------- logs


def line(task: str, at_ms: int, text: str, retry_count: int = 0) -> LogLine:
    return LogLine(task=task, at_ms=at_ms, level="INFO", line=text, retry_count=retry_count)


def test_lines_of_a_task_and_of_a_run(desk: Desk) -> None:
    lines = [(1, line("a", 1000, "one")), (2, line("b", 2000, "two")), (3, line("a", 3000, "three", 1))]
    write_lines(desk.engine, "r1", lines, owner="o", expires_at_s=9)
    logs = LogsClient(desk)
    assert [row.message for row in logs.list("r1:a").rows] == ["one", "three"]
    assert [row.message for row in logs.list("r1").rows] == ["one", "two", "three"]
    assert [row.message for row in logs.list("r1", limit=1).rows] == ["one"]
    second = datetime.fromtimestamp(2, UTC)
    assert [row.message for row in logs.list("r1", since=second).rows] == ["two", "three"]
    assert [row.message for row in logs.list("r1", until=second).rows] == ["one", "two"]
    last = asyncio.run(logs.aio_list("r1:a")).rows[-1]
    assert (last.retry_count, last.attempt, last.level, last.created_at) == (
        1,
        2,
        "INFO",
        datetime.fromtimestamp(3, UTC),
    )


def test_no_lines(desk: Desk) -> None:
    assert LogsClient(desk).list("unknown").rows == []


# ---------------------------------------------------------------- metrics


def test_tasks_are_counted_by_status(desk: Desk) -> None:
    desk.has(PAIR, SOLO)
    now = desk.clock.now_ms()
    desk.keep(
        returned(born(PAIR, "r1", at_ms=now - 9), "a", at_ms=now),  # b is queued
        raised(born(PAIR, "r2", at_ms=now - 8), "a", at_ms=now),  # b is cancelled
        started(born(SOLO, "r3", at_ms=now - 7), "solo", now - 5),
        born(SOLO, "r4", at_ms=now - 6),
    )
    metrics = MetricsClient(desk)
    counted = metrics.get_task_metrics()
    assert counted.model_dump() == {"cancelled": 1, "completed": 1, "failed": 1, "queued": 2, "running": 1}
    assert metrics.get_task_metrics(workflow_ids=["solo"]).model_dump() == {
        "cancelled": 0,
        "completed": 0,
        "failed": 0,
        "queued": 1,
        "running": 1,
    }
    assert metrics.get_queue_metrics() == {
        "total": {"queued": 2, "running": 1},
        "queues": {"default": {"queued": 1, "running": 0}, "gpu": {"queued": 1, "running": 1}},
    }
    stats = metrics.get_task_stats()
    assert (stats["solo"].queued.total, stats["solo"].running.total, stats["b"].queued.total) == (1, 1, 1)
    assert stats["solo"].running.oldest == datetime.fromtimestamp((now - 5) / 1000, UTC)
    assert stats["b"].running.oldest is None


def test_open_tasks_as_prometheus_text(desk: Desk) -> None:
    now = desk.clock.now_ms()
    odd = replace(SOLO, workflow="odd", tasks=(task('od"d', worker="gpu"),))
    desk.has(SOLO, odd)
    desk.keep(
        started(born(SOLO, "r1", at_ms=now - 7_000), "solo", now - 5_500),
        born(SOLO, "r2", at_ms=now - 9_000),
        born(odd, "r3", at_ms=now),
    )
    lines = MetricsClient(desk).scrape_tenant_prometheus_metrics().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        'headrace_worker_tasks{worker="gpu",status="queued"} 2',
        'headrace_worker_tasks{worker="gpu",status="running"} 1',
        'headrace_tasks{task="od\\"d",status="queued"} 1',
        'headrace_tasks{task="od\\"d",status="running"} 0',
        'headrace_tasks{task="solo",status="queued"} 1',
        'headrace_tasks{task="solo",status="running"} 1',
        'headrace_task_oldest_seconds{task="od\\"d",status="queued"} 0',
        'headrace_task_oldest_seconds{task="solo",status="queued"} 9',
        'headrace_task_oldest_seconds{task="solo",status="running"} 5.5',
    ]
    assert "# TYPE headrace_gate_waiters gauge" in lines


def test_tasks_are_counted_by_the_event_that_started_their_run(desk: Desk) -> None:
    now = desk.clock.now_ms()
    desk.has(SOLO)
    desk.keep(
        born(SOLO, "r1", at_ms=now - 1, metadata={"hatchet__event_id": "e1"}),
        born(SOLO, "r2", at_ms=now - 1, metadata={"hatchet__event_id": "e2"}),
        born(SOLO, "r3", at_ms=now - 1),
    )
    assert MetricsClient(desk).get_task_metrics(triggering_event_external_id="e1").queued == 1
    assert MetricsClient(desk).get_task_metrics(triggering_event_external_id="e3").queued == 0


# ---------------------------------------------------------------- workflows


def test_workflows(desk: Desk) -> None:
    desk.has(SOLO, PAIR)
    publish_workflows(desk.engine, [Published(plan=replace(PAIR, workflow="elsewhere"))])
    workflows = WorkflowsClient(desk)
    assert [row.name for row in workflows.list().rows] == ["elsewhere", "pair", "solo"]
    assert [row.name for row in workflows.list(limit=1, offset=1).rows] == ["pair"]
    assert [row.name for row in workflows.list("elsewhere").rows] == ["elsewhere"]
    assert workflows.list("nowhere").rows == []
    found = workflows.get(workflow_id("solo"))
    assert (found.name, found.versions[0].version, found.versions[0].tasks) == ("solo", "7", ["solo"])
    assert workflows.get("elsewhere").versions[0].tasks == ["a", "b"]
    assert workflows.get_version("solo", "7").version == "7"
    with pytest.raises(ValueError, match="solo is at version 7; 6 is not kept"):
        workflows.get_version("solo", "6")
    with pytest.raises(ValueError, match="no workflow 'nowhere'"):
        workflows.get("nowhere")


def test_a_workflow_is_paused_and_goes_on(desk: Desk) -> None:
    desk.has(SOLO, PAIR)
    workflows = WorkflowsClient(desk)
    workflows.pause(workflow_id("solo"), "10m", "DROP")
    workflows.pause("pair", timedelta(hours=1))
    assert pauses(desk.engine) == {
        "solo": Pause(queue_ttl_ms=600_000, crons="DROP"),
        "pair": Pause(queue_ttl_ms=3_600_000),
    }
    asyncio.run(workflows.aio_unpause("pair"))
    workflows.unpause("pair")
    assert [(row.name, row.is_paused) for row in workflows.list().rows] == [("pair", False), ("solo", True)]
    assert workflows.get("solo").is_paused
    asyncio.run(workflows.aio_pause("pair", queue_ttl=timedelta(seconds=1)))
    assert workflows.get("pair").is_paused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queue_ttl": timedelta(0)}, r"workflow solo: queue_ttl is .*: give a time above 0"),
        ({"queue_ttl": 60}, r"workflow solo: queue_ttl is 60: give a timedelta"),
        (
            {"queue_ttl": "1m", "paused_workflow_cron_run_queue_behavior": "drop"},
            r"paused_workflow_cron_run_queue_behavior is 'drop': give 'QUEUE' or 'DROP'",
        ),
        (
            {"queue_ttl": "1m", "paused_workflow_scheduled_run_queue_behavior": None},
            r"paused_workflow_scheduled_run_queue_behavior is None: give 'QUEUE' or 'DROP'",
        ),
    ],
)
def test_a_pause_that_is_none(desk: Desk, options: dict[str, Any], message: str) -> None:
    desk.has(SOLO)
    with pytest.raises(DefinitionError, match=message):
        WorkflowsClient(desk).pause("solo", **options)
    with pytest.raises(ValueError, match="no workflow 'nowhere'"):
        WorkflowsClient(desk).pause("nowhere", "1m")
    assert pauses(desk.engine) == {}


# ---------------------------------------------------------------- workers


def step(input: EmptyModel, ctx: Context) -> dict[str, int]:
    return {"n": 1}


def test_workers() -> None:
    """A client without the code sees what the stack has; that with it sees slots, too."""
    ports = connect()
    app, client = Hatchet(), Hatchet()
    app.use(ports)
    client.use(ports)
    empty = Hatchet()
    empty.use(connect())
    assert empty.workers.list().rows == []
    task = app.task(name="task")(step)
    app.worker("slow", workflows=[task])
    app.worker("gpu", slots=2, labels={"model": "large"})
    app.worker("far", process=True, labels={"site": "b"})
    app._publish()
    rows = {row.name: (row.status, row.slots, row.labels, row.workflows) for row in app.workers.list().rows}
    assert rows == {
        "far": ("INACTIVE", None, {"site": "b"}, []),
        "gpu": ("ACTIVE", 2, {"model": "large"}, []),
        "slow": ("ACTIVE", None, {}, ["task"]),
    }
    assert [(row.name, row.labels) for row in client.workers.list().rows] == [
        ("far", {"site": "b"}),
        ("gpu", {"model": "large"}),
        ("slow", {}),
    ]
    announce(client.engine, "far", "p1", {"site": "c"})
    assert (client.workers.get("far").status, client.workers.get("far").labels) == ("ACTIVE", {"site": "c"})
    with pytest.raises(
        ValueError, match=r"no worker of stack 'headrace' is called 'slo': did you mean 'slow'\?"
    ):
        client.workers.get("slo")
    client.workers.pause("slow")
    assert [(row.name, row.status) for row in app.workers.list().rows] == [
        ("far", "ACTIVE"),
        ("gpu", "ACTIVE"),
        ("slow", "PAUSED"),
    ]
    assert not client.workflows.get("task").is_paused
    assert client.workers.update("slow", UpdateWorkerRequest()).status == "PAUSED"
    assert client.workers.update("slow", UpdateWorkerRequest(is_paused=False)).status == "ACTIVE"
    for wrong in (client.workers.pause, client.workers.unpause):
        with pytest.raises(ValueError, match="no worker of stack 'headrace' is called 'slo'"):
            wrong("slo")


def test_workflows_of_a_stack_whose_code_is_not_here() -> None:
    ports = connect()
    app, client = Hatchet(), Hatchet()
    app.use(ports)
    client.use(ports)
    task = app.task(name="task")(step)
    app._publish()
    assert [row.name for row in client.workflows.list().rows] == ["task"]
    for given in (task.id, "task"):
        assert client.workflows.get(given).name == "task"
        assert client.workflows.get_version(given).version == task.plan().version
    with pytest.raises(ValueError, match=r"no workflow 'tusk'.*did you mean 'task'"):
        client.workflows.get("tusk")


def test_a_workflow_that_no_worker_has_any_more_is_deleted_with_what_starts_it() -> None:
    app, client = Hatchet(), Hatchet()
    app.use(connect())
    client.use(app.engine)
    old = app.task(name="old", on_crons=["0 3 * * *"])(step)
    kept = app.task(name="kept")(step)
    worker = app.worker("far", process=True, workflows=[old, kept])
    publish_workflows(app.engine, [old.publishable(), kept.publishable()])  # as a process that starts does
    publish_workers(app.engine, [worker.declared()])
    declare_crons(app.engine, [old.publishable()])
    announce(app.engine, "far", "p1", {})
    in_a_day = datetime.now(UTC) + timedelta(days=1)
    for name in ("old", "kept"):
        client.cron.create(name, "mine", "0 4 * * *", {}, {})
        client.scheduled.create(name, in_a_day, {}, {})
        client.filters.create(client.workflows.get(name).metadata.id, "true", "scope")
    with pytest.raises(
        NotSupportedError, match="workflow old is registered by worker far: deploy the worker without it"
    ):
        client.workflows.delete("old")
    leave(app.engine, "far", "p1")
    client.workflows.delete(old.id)
    assert [row.name for row in client.workflows.list().rows] == ["kept"]
    assert [row.workflow_name for row in client.cron.list().rows] == ["kept"]
    assert [row.workflow_name for row in client.scheduled.list().rows] == ["kept"]
    assert [row.workflow_id for row in client.filters.list().rows] == [kept.id]
    for again in (client.workflows.delete, client.workflows.get):
        with pytest.raises(ValueError, match="no workflow 'old'"):
            again("old")
    with pytest.raises(ValueError, match="old"):
        client.runs.create("old", {})


@pytest.mark.parametrize(
    ("expression", "output", "error"),
    [
        ("input.n > payload.least && additional_metadata.tenant == 'a'", True, None),
        ("input.n > 5", False, None),
        ("input.nothing", None, "no such key"),
        ("input.n +", None, "arse"),
        ("input.n", None, "it gives 3: it has to give true or false"),
    ],
)
def test_an_expression_is_tried(expression: str, output: bool | None, error: str | None) -> None:
    found = Hatchet().cel.debug(expression, {"n": 3}, {"tenant": "a"}, {"least": 2}).result
    if error is None:
        assert found == CELSuccess(output=bool(output))
    else:
        assert isinstance(found, CELFailure)
        assert error in found.error


def test_an_expression_is_tried_on_the_event_loop() -> None:
    assert asyncio.run(Hatchet().cel.aio_debug("input.n == 1", {"n": 1})).result.status == "success"
