"""Every way to start a run gives the same run: by code, by a stub, by `runs.create`; and a deployment is seen by all of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace import (
    BulkTriggerIdempotencyCollisionError,
    Context,
    DefinitionError,
    EmptyModel,
    Headrace,
    IdempotencyCollisionError,
    NotSupportedError,
    Priority,
    StatusBasedIdempotencyConfig,
    TriggerWorkflowOptions,
    TTLBasedIdempotencyConfig,
)
from headrace.core.run.record import RunRecord
from headrace.core.run.request import (
    Call,
    Cron,
    Event,
    Schedule,
    StartOptions,
    StartRun,
    derived_run_id,
    metadata_for,
)
from headrace.core.run.stored.record import record_of
from headrace.core.table import run_key
from headrace.engine.catalog.workflows import (
    KEPT_MS,
    DeclaredFilter,
    Published,
    all_published,
    publish_workflows,
    published,
)
from headrace.memory.wiring import connect
from headrace.ports import Ports
from headrace.settings.settings import Settings
from headrace.triggers.start import start
from headrace_infra.testing import local

Ways = Mapping[str, Callable[..., str]]
KEY = TTLBasedIdempotencyConfig("input.k", timedelta(hours=1))


def app_of(
    ports: Ports, *, namespace: str = "", steps: tuple[str, ...] = ("charge",), **config: Any
) -> Headrace:
    """A worker's app with the workflow `order`, as one deployment has it."""
    app = Headrace(config=Settings(namespace=namespace))
    order = app.workflow(name="order", **config)
    for step in steps:

        @order.task(name=step)
        def run(input: EmptyModel, ctx: Context) -> None: ...

    app.worker("w", workflows=[order])
    app.use(ports)
    app._publish()
    return app


def client_of(ports: Ports, *, namespace: str = "") -> Headrace:
    app = Headrace(config=Settings(namespace=namespace))
    app.use(ports)
    return app


def record(app: Headrace, run_id: str) -> RunRecord:
    item = app.engine.store.get(run_key(run_id))
    assert item is not None
    return record_of(item)


def ways_of(ports: Ports, app: Headrace) -> Ways:
    """Start `order`: by its code, by a stub of another process, by its name."""
    code, client = app._workflows_by_name["order"], client_of(ports)
    stub = client.stubs.workflow(name="order")
    return {
        "code": lambda given, **o: code.run(given, wait_for_result=False, **o).workflow_run_id,
        "stub": lambda given, **o: stub.run(given, wait_for_result=False, **o).workflow_run_id,
        "create": lambda given, **o: client.runs.create("order", given, **o).run.metadata.id,
    }


WAYS = ("code", "stub", "create")


@pytest.mark.parametrize("way", WAYS)
def test_defaults_are_the_workflows_whatever_the_way(way: str) -> None:
    ports = connect()
    app = app_of(ports, default_priority=Priority.HIGH, default_additional_metadata={"team": "core", "a": 1})
    run = record(app, ways_of(ports, app)[way]({"x": 1}, additional_metadata={"a": 2}))
    assert (run.priority, run.metadata, json.loads(run.input.text or "")) == (
        3,
        {"team": "core", "a": 2},
        {"x": 1},
    )


@pytest.mark.parametrize("way", WAYS)
def test_a_priority_that_cannot_be_is_refused_whatever_the_way(way: str) -> None:
    ports = connect()
    app = app_of(ports)
    with pytest.raises(DefinitionError, match="workflow order: priority is 99"):
        ways_of(ports, app)[way]({}, priority=99)
    assert app.runs.list().rows == []


@pytest.mark.parametrize("second", WAYS)
@pytest.mark.parametrize("first", WAYS)
@pytest.mark.parametrize("rule", [KEY, StatusBasedIdempotencyConfig("input.k", timedelta(hours=1))])
def test_an_idempotency_key_admits_one_run_whatever_the_ways(rule: Any, first: str, second: str) -> None:
    ports = connect()
    ways = ways_of(ports, app_of(ports, idempotency=rule))
    run_id = ways[first]({"k": "1"})
    with pytest.raises(IdempotencyCollisionError) as caught:
        ways[second]({"k": "1"})
    assert caught.value.existing_run_external_id == run_id
    assert ways[second]({"k": "2"}) != run_id


def test_a_large_input_under_a_key_starts_every_root() -> None:
    app = app_of(connect(), steps=("a", "b", "c"), idempotency=KEY)
    run_id = (
        app._workflows_by_name["order"]
        .run({"k": "1", "x": "y" * 150_000}, wait_for_result=False)
        .workflow_run_id
    )
    sent = app.engine.queues.receive("w", limit=10, wait_s=0, visibility_s=30)
    assert (len(sent), record(app, run_id).run_id) == (3, run_id)


@pytest.mark.parametrize("way", ["stub", "create"])
def test_a_deployment_is_seen_within_seconds(way: str) -> None:
    ports = connect()
    old = app_of(ports)
    start_one = ways_of(ports, old)[way]
    assert [task.name for task in record(old, start_one({})).plan.tasks] == ["charge"]
    new = app_of(ports, steps=("charge", "ship"), default_priority=2)
    ports.clock.sleep(KEPT_MS / 1000 + 1)
    run = record(new, start_one({}))
    assert ([task.name for task in run.plan.tasks], run.priority) == (["charge", "ship"], 2)


def test_a_workflow_that_appears_is_seen_at_once() -> None:
    ports = connect()
    client = client_of(ports)
    with pytest.raises(ValueError, match="no workflow 'order' is registered in stack 'headrace'"):
        client.runs.create("order", {})
    app_of(ports)
    assert client.runs.create("order", {}).run.metadata.id


def test_a_namespace_of_one_call_is_honoured() -> None:
    ports = connect()
    prod, staging = app_of(ports, namespace="prod"), app_of(ports, namespace="Staging")
    options = TriggerWorkflowOptions(namespace="staging")
    by_code = (
        prod._workflows_by_name["prod_order"].run(options=options, wait_for_result=False).workflow_run_id
    )
    by_stub = prod.stubs.workflow(name="order").run(options=options, wait_for_result=False).workflow_run_id
    assert [record(staging, each).plan.workflow for each in (by_code, by_stub)] == ["staging_order"] * 2
    with pytest.raises(ValueError, match="no workflow 'dev_order' is registered"):
        prod.stubs.workflow(name="order").run(
            options=TriggerWorkflowOptions(namespace="dev"), wait_for_result=False
        )


def test_publishing_one_namespace_forgets_nothing_of_another() -> None:
    ports = connect()
    app_of(ports, namespace="prod")
    staging = app_of(ports, namespace="staging")
    assert sorted(all_published(staging.engine)) == ["prod_order", "staging_order"]
    again = Headrace(config=Settings(namespace="staging"))
    again.use(ports)
    again._publish()
    assert sorted(all_published(again.engine)) == ["prod_order"]


def test_what_an_option_cannot_do_is_refused() -> None:
    app = app_of(connect())
    order = app._workflows_by_name["order"]
    for options, what in (
        (
            TriggerWorkflowOptions(parent_id="p"),
            "workflow order: parent_id is 'p', but a run's parent is the task",
        ),
        (TriggerWorkflowOptions(parent_step_run_id="s"), "parent_step_run_id is 's'"),
        (
            TriggerWorkflowOptions(child_index=3),
            "child_index is 3, but the places of children are counted inside",
        ),
    ):
        with pytest.raises(NotSupportedError, match=what):
            order.run(options=options, wait_for_result=False)
    with pytest.warns(UserWarning, match="child_key='k' has no effect outside of a task"):
        order.run(child_key="k", wait_for_result=False)


def test_children_take_their_places_in_the_order_in_which_the_code_asks(tmp_path: Path) -> None:
    app = Headrace()

    @app.task()
    def child(input: EmptyModel, ctx: Context) -> dict[str, Any]:
        return {"n": input.n}  # type: ignore[attr-defined]  # any input

    @app.task()
    async def parent(input: EmptyModel, ctx: Context) -> dict[str, Any]:
        refs = await asyncio.gather(*(child.aio_run({"n": n}, wait_for_result=False) for n in range(20)))  # type: ignore[arg-type]  # any input
        again = await child.aio_run({"n": 99}, TriggerWorkflowOptions(child_index=3), wait_for_result=False)  # type: ignore[call-overload]  # any input
        return {"ids": [ref.workflow_run_id for ref in refs], "again": again.workflow_run_id}

    with local(app) as stack:
        given = parent.run()
        places = [record(app, each).parent for each in given["ids"]]
        assert [each.index for each in places if each is not None] == list(range(20))
        assert given["again"] == given["ids"][3]
        assert stack.engine is app.engine


# ---------------------------------------------------------------- the catalog


FULL = {
    "namespace": "prod_",
    "description": "takes an order",
    "default_priority": 3,
    "default_metadata": {"a": [1]},
    "on_events": ("order:*",),
    "filters": (DeclaredFilter(expression="input.a > 1", scope="s", payload={"p": 1}),),
    "crons": ("0 0 * * *",),
    "cron_input": '{"x":1}',
    "waits": {"t": '[["gpu",0,"yes"]]'},
}


@pytest.mark.parametrize("given", [{}, FULL, {"default_metadata": {}, "on_events": ("a",)}])
def test_what_was_published_is_read_back(given: Any) -> None:
    ports = connect()
    app = app_of(ports, idempotency=KEY)
    plan = app._workflows_by_name["order"].plan()
    rule = app._workflows_by_name["order"].published().idempotency
    wanted = Published(plan=plan, idempotency=rule, **given)
    publish_workflows(app.engine, [wanted])
    assert publish_workflows(app.engine, [wanted]) == 0
    assert published(client_of(ports).engine, "order") == wanted
    assert all_published(client_of(ports).engine) == {"order": wanted}


# ---------------------------------------------------------------- origins


CRON = Cron(cron_id="c", name="nightly", expression="0 0 * * *", due_at_ms=5, due_at="2025-01-01T00:00:00Z")
EVENT = Event(event_id="e", event_key="a:b", source={"hatchet__source_workflow_run_id": "r"})


@pytest.mark.parametrize(
    "origin", [CRON, EVENT, Schedule(schedule_id="s", run_id="00000000-0000-0000-0000-000000000001")]
)
def test_what_fires_twice_starts_one_run(origin: Any) -> None:
    app = app_of(connect(), idempotency=TTLBasedIdempotencyConfig("'same'", timedelta(hours=1)))
    wanted = StartRun(workflow="order", origin=origin)
    assert start(app, [wanted]) == start(app, [wanted]) == [derived_run_id("order", origin)]
    assert len(app.runs.list().rows) == 1


def test_an_event_starts_a_run_for_each_filter() -> None:
    ids = {
        derived_run_id("order", Event(event_id="e", event_key="k", filter_id=each))
        for each in (None, "f", "g")
    }
    assert len(ids) == 3
    assert derived_run_id("order", Call()) is None


def test_reserved_metadata_says_what_started_the_run_and_cannot_be_given() -> None:
    given = {"a": 1, "hatchet__cron_name": "mine", "hatchet__event_id": "mine"}
    assert metadata_for(given, Call()) == {"a": 1}
    assert metadata_for(given, CRON) == {
        "a": 1,
        "hatchet__cron_expression": "0 0 * * *",
        "hatchet__cron_name": "nightly",
        "hatchet__cron_scheduled_at": "2025-01-01T00:00:00Z",
    }
    assert metadata_for(given, EVENT) == {
        "a": 1,
        "hatchet__source_workflow_run_id": "r",
        "hatchet__event_id": "e",
        "hatchet__event_key": "a:b",
    }


def test_of_many_the_colliding_are_named_and_the_others_start() -> None:
    app = app_of(connect(), idempotency=KEY)
    items = [
        StartRun(workflow="order", input=f'{{"k":"{k}"}}', options=StartOptions(priority=2)) for k in "aba"
    ]
    with pytest.raises(BulkTriggerIdempotencyCollisionError) as caught:
        start(app, items)
    assert (len(caught.value.successful_workflow_run_external_ids), len(caught.value.collisions)) == (2, 1)


def test_nothing_else_starts_runs() -> None:
    """The engine's start has one caller."""
    root = Path(__file__).parents[2]
    callers = {
        str(path.relative_to(root))
        for folder in ("sdk", "handlers", "infra")
        for path in (root / folder).rglob("*.py")
        if ("engine.runs.start import" in path.read_text() and "TYPE_CHECKING" not in path.read_text())
        or "engine_start." in path.read_text()
    }
    assert callers == {"sdk/headrace/triggers/start.py"}


def test_options_of_run_by_place_are_those_of_its_signature() -> None:
    """`sticky` comes before `desired_worker_id` in `run`, and after it in `create_bulk_run_item`."""
    hatchet = Headrace()

    @hatchet.task(name="work")
    def work(input: EmptyModel, ctx: Context) -> None:
        """Never runs."""

    with (
        local(hatchet, backend="memory", background=False),
        pytest.raises(DefinitionError, match="desired_worker_id is 'nowhere'"),
    ):
        work.run(EmptyModel(), None, False, None, {}, 2, False, "nowhere")
