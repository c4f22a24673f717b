"""`hatchet.event.list/get`, `hatchet.filters`, and what definitions say of events: as users call them, on ports in memory."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.events import EventWorld
from support.records import plan, task

from headrace import Context, DefaultFilter, DefinitionError, EmptyModel, Headrace, RunStatus, Settings
from headrace.clients.models.events import BulkPushEventOptions, BulkPushEventWithMetadata, PushEventOptions
from headrace.clients.models.events import V1UpdateFilterRequest as Update
from headrace.engine.catalog.workflows import DeclaredFilter
from headrace_infra.testing import local

GREET, BILL = plan(task("greet"), workflow="greet"), plan(task("bill"), workflow="bill")


def world() -> EventWorld:
    def fails(work: Any) -> None:
        raise ValueError("no")

    return EventWorld(
        plans={"greet": GREET, "bill": BILL},
        code={"greet": lambda work: None, "bill": fails},
        on_events={
            "greet": {"on_events": ("user:*",)},
            "bill": {
                "on_events": ("order:*",),
                "filters": (DeclaredFilter(expression="true", scope="shop"),),
            },
        },
    )


def at(w: EventWorld) -> datetime:
    return datetime.fromtimestamp(w.clock.now_ms() / 1000, UTC)


def test_events_are_listed_newest_first_by_pages_over_days() -> None:
    w = world()
    pushed = []
    for n in range(30):
        pushed.append(w.app.event.push("user:x", {"n": n}).event_id)
        w.drain()
        w.clock.advance(3 * 3_600_000)
    since = at(w) - timedelta(days=30)
    found = w.app.event.list(since=since)
    assert [row.metadata.id for row in found.rows] == pushed[::-1]
    pages = [w.app.event.list(since=since, limit=8, offset=offset) for offset in (0, 8, 16, 24)]
    assert [row.metadata.id for page in pages for row in page.rows] == pushed[::-1]
    assert [page.pagination.next_page for page in pages] == [2, 3, 4, None]
    assert len(w.app.event.list().rows) == 8  # the last day
    middle = w.app.event.get(pushed[10]).metadata.created_at
    assert [row.metadata.id for row in w.app.event.list(since=middle, until=middle).rows] == [pushed[10]]


def test_what_may_be_asked_of_events() -> None:
    w = world()
    one = w.app.event.push("user:a", {"n": 1}, additional_metadata={"team": "red"}).event_id
    two = w.app.event.push("order:b", {"n": 2}, scope="shop", additional_metadata={"team": "blue"}).event_id
    three = w.app.event.push("unheard", {}, scope="other").event_id
    w.drain()
    asked: list[tuple[dict[str, Any], set[str]]] = [
        ({}, {one, two, three}),
        ({"keys": ["user:a", "unheard"]}, {one, three}),
        ({"scopes": ["shop", "other"]}, {two, three}),
        ({"event_ids": [two]}, {two}),
        ({"workflow_ids": ["greet"]}, {one}),
        ({"additional_metadata": {"team": "blue"}}, {two}),
        ({"workflow_run_statuses": [RunStatus.FAILED]}, {two}),
        ({"workflow_run_statuses": [RunStatus.COMPLETED, RunStatus.FAILED]}, {one, two}),
        ({"until": at(w) - timedelta(hours=1)}, set()),
        ({"additional_metadata": {"team": "blue", "size": "s"}}, set()),  # all pairs, as in Hatchet
    ]
    for given, expected in asked:
        found = {row.metadata.id for row in w.app.event.list(**given).rows}
        assert found == expected, given
    for wrong, message in (
        ({"limit": 0}, "a limit of at least 1"),
        ({"workflow_run_statuses": ["OPEN"]}, "OPEN"),
    ):
        with pytest.raises(ValueError, match=message):
            w.app.event.list(**wrong)
    event = w.app.event.get(two)
    assert (event.workflow_run_summary.failed, event.workflow_run_summary.succeeded) == (1, 0)
    assert event.triggered_runs[0].filter_id is not None
    assert (event.payload, event.scope, event.additional_metadata) == ({"n": 2}, "shop", {"team": "blue"})
    assert w.app.event.get(three).triggered_runs == []
    for missing in ("no id", "6f1f7a2e-5d55-4c7a-9d0e-2b1d3a1c8e44"):
        with pytest.raises(ValueError, match=f"Event {missing} not found"):
            w.app.event.get(missing)


def test_deprecated_options_and_async_twins() -> None:
    w = world()
    options = PushEventOptions(additional_metadata={"a": 1, "b": 1}, priority=2, scope="s")
    event = w.app.event.push("k", {}, options, additional_metadata={"b": 2})
    assert (event.additional_metadata, event.scope) == ('{"a": 1, "b": 2}', "s")

    async def both() -> list[str]:
        one = await w.app.event.aio_push("k", {})
        many = await w.app.event.aio_bulk_push(
            [BulkPushEventWithMetadata(key="l")], BulkPushEventOptions(namespace="Dev")
        )
        return [one.key, many[0].key]

    assert asyncio.run(both()) == ["k", "dev_l"]


def test_namespaces_do_not_meet() -> None:
    apps = {}
    for name in ("dev", "prod"):
        app = apps[name] = Headrace(config=Settings(namespace=name))

        @app.task(name="welcome", on_events=["user:*"])
        def welcome(input: EmptyModel, ctx: Context) -> dict[str, Any]:
            return {"key": ctx.triggering_event_key}

    with local(apps["dev"], backend="memory", background=False) as stack:
        apps["prod"].use(apps["dev"].engine)  # type: ignore[arg-type]  # its ports are all that is asked for
        pushed = apps["dev"].event.push("user:created", {})
        assert pushed.key == "dev_user:created"
        apps["prod"].event.push("user:created", {})
        stack.drain()
        assert [run.plan.workflow for run in stack.runs()] == ["dev_welcome"]
        assert [row.key for row in apps["dev"].event.list(keys=["user:created"]).rows] == ["dev_user:created"]


# ---------------------------------------------------------------- filters


def test_filters_are_created_changed_and_deleted_and_events_follow() -> None:
    w = world()
    filters = w.app.filters

    def runs_of(scope: str | None) -> int:
        w.clock.advance(6_000)
        event = w.app.event.push("user:x", {"n": 5}, scope=scope)
        w.drain()
        return len(w.app.event.get(event.event_id).triggered_runs)

    assert (runs_of(None), runs_of("a")) == (1, 1)
    made = filters.create("greet", "input.n > payload.least", "a", {"least": 3})
    assert (runs_of(None), runs_of("a"), runs_of("b")) == (0, 1, 0)
    assert filters.create("greet", "input.n > payload.least", "a", {"least": 3}) == made
    second = filters.create("greet", "true", "a")
    assert runs_of("a") == 2
    changed = filters.update(made.metadata.id, Update(scope="b"))
    assert (changed.metadata.id, changed.scope, changed.expression) == (
        made.metadata.id,
        "b",
        made.expression,
    )
    assert (runs_of("a"), runs_of("b")) == (1, 1)
    with pytest.raises(ValueError, match="another filter of the workflow says the same"):
        filters.update(made.metadata.id, Update(scope="a", expression="true", payload={}))
    assert filters.update(made.metadata.id, Update()).scope == "b"
    filters.delete(second.metadata.id)
    filters.delete(made.metadata.id)
    assert (runs_of(None), runs_of("b")) == (1, 1)
    with pytest.raises(ValueError, match="not found"):
        filters.get(made.metadata.id)


def test_filters_are_listed_with_those_that_are_declared() -> None:
    w = world()
    made = w.app.filters.create("greet", "true", "a")
    rows = w.app.filters.list().rows
    assert [(row.workflow_name, row.scope, row.is_declarative) for row in rows] == [
        ("bill", "shop", True),
        ("greet", "a", False),
    ]
    assert w.app.filters.list(workflow_ids=[made.workflow_id]).rows == [made]
    assert w.app.filters.list(scopes=["a"], limit=1).rows == [made]
    assert w.app.filters.list(limit=1).pagination.num_pages == 2
    for change in (
        lambda: w.app.filters.delete(rows[0].metadata.id),
        lambda: w.app.filters.update(rows[0].metadata.id, Update(scope="x")),
    ):
        with pytest.raises(ValueError, match=r"declared by its code \(default_filters\): change it there"):
            change()


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (("nowhere", "true", "s"), ValueError, "nowhere"),
        (("greet", "1 +", "s"), DefinitionError, "workflow greet: filter: expression"),
        (("greet", "", "s"), DefinitionError, "workflow greet: filter: expression is ''"),
        (("greet", "true", ""), DefinitionError, "workflow greet: filter: scope is ''"),
        (("greet", "true", None), DefinitionError, "scope is None"),
        (("greet", "true", "s", {"x": object()}), TypeError, "'x'"),
    ],
)
def test_filters_that_cannot_work(given: Any, error: type[Exception], message: str) -> None:
    w = world()
    with pytest.raises(error, match=message):
        w.app.filters.create(*given)
    assert len(w.app.filters.list().rows) == 1


# ---------------------------------------------------------------- definitions

DEFINITIONS: list[tuple[dict[str, Any], str]] = [
    ({"on_events": "user:created"}, r"on_events is 'user:created': give a list, \['user:created'\]"),
    ({"on_events": [""]}, r"workflow step: on_events\[0\] is ''"),
    ({"on_events": ["a", 3]}, r"workflow step: on_events\[1\] is 3"),
    ({"default_filters": [{"scope": "a"}]}, r"default_filters\[0\] is .*give DefaultFilter"),
    ({"default_filters": [DefaultFilter(expression="1 +", scope="s")]}, r"default_filters\[0\]: expression"),
    ({"default_filters": [DefaultFilter(expression="true", scope="")]}, r"default_filters\[0\]: scope is ''"),
]


@pytest.mark.parametrize(("given", "message"), DEFINITIONS)
def test_definitions_that_cannot_work(given: dict[str, Any], message: str) -> None:
    def step(input: EmptyModel, ctx: Context) -> None: ...

    with pytest.raises(DefinitionError, match=message):
        Headrace().task(name="step", **given)(step)


def test_a_run_that_no_event_started_says_so_and_so_does_a_child() -> None:
    app = Headrace()
    said: list[tuple[bool, str | None, dict[str, Any]]] = []

    @app.task(name="child")
    def child(input: EmptyModel, ctx: Context) -> None:
        said.append((ctx.was_triggered_by_event, ctx.triggering_event_id, ctx.trigger_data))

    @app.task(name="parent", on_events=["go"])
    def parent(input: EmptyModel, ctx: Context) -> dict[str, Any]:
        child.run(wait_for_result=False)
        return {"by_event": ctx.was_triggered_by_event}

    with local(app, backend="memory", background=False) as stack:
        event_id = stack.push_event("go")
        stack.drain()
        [run] = app.event.get(event_id).triggered_runs
        assert app.runs.get_result(run.workflow_run_id)["parent"] == {"by_event": True}
        assert said == [(False, None, {})]
