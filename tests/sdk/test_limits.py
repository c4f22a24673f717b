"""What concurrency limits, rate limits and slots become in plans, what is refused, and where the limits of keys are kept."""

from __future__ import annotations

import asyncio
import importlib.util
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from headrace import (
    CompileError,
    ConcurrencyExpression,
    ConcurrencyLimitStrategy,
    Context,
    DefinitionError,
    DurableContext,
    EmptyModel,
    Headrace,
    RateLimit,
    RateLimitDuration,
    Settings,
)
from headrace.clients.admission.rate_limits import check_limits, register_limits, set_limit
from headrace.core.run.plans.plan import GatePlan, GateStrategy, RatePlan
from headrace.engine.catalog.workers import declared
from headrace.engine.catalog.workflows import published
from headrace.errors import StackNotFound
from headrace.memory.wiring import connect
from headrace.runtime.process import Process
from headrace_handlers import clock
from headrace_infra.compile import compile_app
from headrace_infra.testing import local


def step(input: EmptyModel, ctx: Context) -> dict[str, int]:
    return {"n": 1}


async def durable_step(input: EmptyModel, ctx: DurableContext) -> dict[str, int]:
    return {"n": 1}


def new_app(**settings: Any) -> Headrace:
    return Headrace(config=Settings(**settings))


# ---------------------------------------------------------------- concurrency

USER = ConcurrencyExpression("input.user", 2, ConcurrencyLimitStrategy.CANCEL_NEWEST)


def test_the_gates_of_tasks_and_of_workflows() -> None:
    app = new_app()
    task = app.task(name="task", concurrency=3)(step)
    durable = app.durable_task(name="durable", concurrency=[USER])(durable_step)
    flow = app.workflow(name="flow", concurrency=[ConcurrencyExpression("'x'", 1), USER])
    flow.task(name="first", concurrency=USER)(step)
    assert (task.plan().gates, task.plan().tasks[0].gates) == (
        (),
        (GatePlan(name="task:task/0", expression="'constant'", max_runs=3),),
    )
    user = GatePlan(
        name="durable:durable/0", expression="input.user", max_runs=2, strategy=GateStrategy.CANCEL_NEWEST
    )
    assert durable.plan().tasks[0].gates == (user,)
    assert [gate.name for gate in flow.plan().gates] == ["flow/0", "flow/1"]
    assert [gate.name for gate in flow.plan().tasks[0].gates] == ["flow:first/0"]


def test_what_is_deployed_says_how_many_places_there_are() -> None:
    app = new_app()
    task = app.task(name="task", concurrency=3)(step)
    app.workflow(name="flow", concurrency=USER).task(name="first", concurrency=[USER, USER])(step)
    app.use(connect())
    ask = app.engine.gate_limits
    assert ask() == {"task:task/0": 3, "flow/0": 2, "flow:first/0": 2, "flow:first/1": 2}
    assert ask() is ask()
    app.worker("slotted", workflows=[task], slots=7)
    app.worker("free")
    assert ask() == {"task:task/0": 3, "flow/0": 2, "flow:first/0": 2, "flow:first/1": 2, "worker:slotted": 7}


CONCURRENCY: list[tuple[Any, str]] = [
    (0, r"concurrency is 0: give a number of runs, at least 1"),
    (True, r"concurrency is True: give a number"),
    (ConcurrencyExpression("'a'", 0), r"max_runs of the concurrency expression \"'a'\" is 0: give a number"),
    (ConcurrencyExpression("'a'", True), r"max_runs of .* is True"),
    (ConcurrencyExpression("'a'", 1.5), r"max_runs of .* is 1\.5"),  # type: ignore[arg-type]  # what is refused
    (ConcurrencyExpression("input.", 1), r"the concurrency expression: .*1:7"),
    (ConcurrencyExpression("", 1), r"the concurrency expression is '': give a CEL expression"),
    (
        ConcurrencyExpression("'a'", 1, "QUEUE_NEWEST"),  # type: ignore[arg-type]  # what is refused
        r"limit_strategy is 'QUEUE_NEWEST': give one of ConcurrencyLimitStrategy\.GROUP_ROUND_ROBIN, ",
    ),
    (
        ConcurrencyExpression("'a'", 5_000, ConcurrencyLimitStrategy.CANCEL_IN_PROGRESS),
        r"max_runs is 5,000: with CANCEL_IN_PROGRESS give at most 4,000",
    ),
    ("input.user", r"concurrency holds 'input\.user': give a number of runs, a ConcurrencyExpression or a"),
    ([1], r"concurrency holds 1: give"),
    (1.5, r"concurrency holds 1\.5: give"),
]


@pytest.mark.parametrize(("concurrency", "message"), CONCURRENCY)
def test_a_concurrency_limit_that_is_none(concurrency: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=f"^task step of workflow step: {message}"):
        new_app().task(concurrency=concurrency)(step)
    with pytest.raises(DefinitionError, match=f"^workflow flow: {message}"):
        new_app().workflow(name="flow", concurrency=concurrency)


# ---------------------------------------------------------------- rate limits


def test_rate_limits_of_a_plan() -> None:
    limits = [
        RateLimit(static_key="api", units=2, limit=0, duration="ignored"),  # type: ignore[arg-type]  # not looked at
        RateLimit(static_key="api", units="input.n"),
        RateLimit(dynamic_key="input.user", units="3", limit="input.most", duration=RateLimitDuration.WEEK),
    ]
    task = new_app().task(rate_limits=limits)(step)
    assert task.plan().tasks[0].rates == (
        RatePlan(key="api", units="2"),
        RatePlan(key="api", units="input.n"),
        RatePlan(key="input.user", dynamic=True, units="3", limit="input.most", window_s=604_800),
    )


NOT_A_LIMIT: list[tuple[dict[str, Any], str]] = [
    ({"static_key": "a", "dynamic_key": "input.b", "limit": 1}, "RateLimit: .*not both"),
    ({}, "RateLimit: give a static_key or a dynamic_key"),
    ({"dynamic_key": "input.b"}, "RateLimit: a dynamic_key needs a limit"),
    ({"static_key": ""}, "RateLimit: static_key is '': give a text"),
    (
        {"static_key": "a", "units": 0},
        r"^task step of workflow step: rate limit 'a': units is 0: give a whole",
    ),
    ({"static_key": "a", "units": "0"}, "units is '0': give a whole number, at least 1"),
    ({"static_key": "a", "units": True}, "units is True"),
    ({"static_key": "a", "units": 1.5}, r"units is 1\.5: .*or a CEL expression"),
    ({"static_key": "a", "units": "input."}, "rate limit 'a': units: .*1:7"),
    ({"dynamic_key": "input.", "limit": 1}, "dynamic_key: .*1:7"),
    ({"dynamic_key": "input.b", "limit": -1}, "rate limit 'input.b': limit is -1: give a whole number"),
    ({"dynamic_key": "input.b", "limit": "1 +"}, "limit: .*1:4"),
    (
        {"dynamic_key": "input.b", "limit": 1, "duration": "FORTNIGHT"},
        r"duration is 'FORTNIGHT': give one of RateLimitDuration\.SECOND",
    ),
]


@pytest.mark.parametrize(("options", "message"), NOT_A_LIMIT)
def test_a_rate_limit_that_is_none(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        new_app().task(rate_limits=[RateLimit(**options)])(step)


def test_a_limit_without_its_class_is_refused() -> None:
    with pytest.raises(DefinitionError, match="rate_limits holds 'api': give RateLimit"):
        new_app().task(rate_limits=["api"])(step)  # type: ignore[list-item]  # what is refused


# ---------------------------------------------------------------- what cannot be deployed


def test_a_key_whose_limit_is_set_nowhere_is_not_deployed() -> None:
    app = new_app()
    flow = app.workflow(name="flow")
    flow.task(name="calls", rate_limits=[RateLimit(static_key="api", units=5)])(step)
    why = r"task calls of workflow flow takes units of rate limit 'api', whose limit is not set: call hatchet\.rate_limits\.put\('api'"
    with pytest.raises(CompileError, match=why):
        compile_app(app, app_path="app:hatchet")
    app.rate_limits.put("api", 4)
    with pytest.raises(
        CompileError, match=r"calls of workflow flow takes 5 units of rate limit 'api', which admits 4"
    ):
        compile_app(app, app_path="app:hatchet")
    app.rate_limits.put("api", 5)
    compile_app(app, app_path="app:hatchet")


def test_two_concurrency_limits_of_one_name() -> None:
    app = new_app()
    app.workflow(name="a").task(name="b", concurrency=1)(step)
    app.workflow(name="a:b", concurrency=1).task(name="c")(step)
    with pytest.raises(
        CompileError, match="limits of task b of workflow a and of workflow a:b would be one: rename one"
    ):
        compile_app(app, app_path="app:hatchet")


@pytest.mark.parametrize(
    ("slots", "cost", "why"),
    [
        (3, 3, None),
        (3, 4, r"task big of workflow big has a slot_cost of 4, and its worker w has 3 slots: .*at most 3"),
        (100, 20, None),
        (100, 21, r"a slot_cost of 21, and its worker w has 100 slots, in 5 parts of 20 or more"),
        (None, 1_000, None),
    ],
)
def test_a_task_that_needs_more_slots_than_there_are(slots: int | None, cost: int, why: str | None) -> None:
    app = new_app()
    app.worker("w", workflows=[app.task(name="big", slot_cost=cost)(step)], slots=slots, durable_slots=9)
    if why is None:
        compile_app(app, app_path="app:hatchet")
        return
    with pytest.raises(CompileError, match=why):
        compile_app(app, app_path="app:hatchet")


# ---------------------------------------------------------------- where limits are kept


def test_a_limit_is_put_replaced_and_listed() -> None:
    app = new_app(stack="shop")
    ports = connect()
    app.use(ports)
    app.rate_limits.put("mails", 100, RateLimitDuration.DAY)
    asyncio.run(app.rate_limits.aio_put("calls", 3))
    app.rate_limits.put("calls", 5, "MINUTE")
    [calls, mails] = asyncio.run(app.rate_limits.aio_list()).rows
    assert (calls.key, calls.limit_value, calls.value, calls.window) == ("calls", 5, 5, "MINUTE")
    assert (mails.key, mails.limit_value, mails.window, mails.tenant_id) == ("mails", 100, "DAY", "shop")
    now_ms = ports.clock.now_ms()
    assert calls.last_refill == datetime.fromtimestamp((now_ms - now_ms % 60_000) / 1000, UTC)


PAGES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["ab", "b", "bc"]),
    ({"search": "b"}, ["ab", "b", "bc"]),
    ({"search": "a"}, ["ab"]),
    ({"limit": 2}, ["ab", "b"]),
    ({"limit": 2, "offset": 2}, ["bc"]),
    ({"order_by_direction": "desc"}, ["bc", "b", "ab"]),
    ({"order_by_field": "limitValue"}, ["b", "ab", "bc"]),
    ({"order_by_field": "value", "order_by_direction": "desc"}, ["bc", "ab", "b"]),
]


def test_limits_are_listed_in_pages() -> None:
    app = new_app()
    app.use(connect())
    for key, limit in (("b", 1), ("bc", 3), ("ab", 2)):
        app.rate_limits.put(key, limit)
    for options, keys in PAGES:
        assert [row.key for row in app.rate_limits.list(**options).rows] == keys, options
    assert app.rate_limits.list(limit=2).pagination.num_pages == 2
    for wrong in ({"order_by_field": "age"}, {"order_by_direction": "up"}):
        with pytest.raises(ValueError, match=r"rate limits are ordered by '(age|up)': give one of"):
            app.rate_limits.list(**wrong)  # type: ignore[arg-type]  # what is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("k", 0), "rate limit 'k': limit is 0: give a whole number of units, at least 1"),
        (("k", True), "limit is True"),
        (("k", "5"), "limit is '5'"),
        (("", 5), "rate_limits.put: key is ''"),
        (("k", 5, "FORTNIGHT"), "rate limit 'k': duration is 'FORTNIGHT'"),
    ],
)
def test_no_limit_to_put(arguments: tuple[Any, ...], message: str) -> None:
    app = new_app()
    with pytest.raises(DefinitionError, match=message):
        app.rate_limits.put(*arguments)
    assert app._declared_rate_limits == {}


def listed(app: Headrace) -> dict[str, tuple[int, str]]:
    return {row.key: (row.limit_value, row.window) for row in app.rate_limits.list().rows}


def test_what_the_code_declares_is_stored_until_an_operator_changes_it_and_again_when_the_code_does() -> None:
    app = new_app()
    app.use(connect())
    code = {"api": (10, 60), "mails": (5, 1)}
    assert register_limits(app.engine, code) == 2
    assert register_limits(app.engine, code) == 0
    app.rate_limits.put("api", 3, "HOUR")
    assert register_limits(app.engine, code) == 0
    assert listed(app) == {"api": (3, "HOUR"), "mails": (5, "SECOND")}
    assert register_limits(app.engine, {**code, "api": (11, 60)}) == 1
    assert listed(app) == {"api": (11, "MINUTE"), "mails": (5, "SECOND")}


MODULE = """
from headrace import Headrace, RateLimit, Settings

hatchet = Headrace(config=Settings(stack="nowhere"))
hatchet.rate_limits.put("top", 10, "MINUTE")


def declare():
    hatchet.rate_limits.put("within", 5)


declare()
"""


def test_a_module_that_is_imported_declares_and_sends_nothing(tmp_path: Path) -> None:
    file = tmp_path / "module_with_limits.py"
    file.write_text(MODULE)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    app: Headrace = module.hatchet
    assert app._declared_rate_limits == {"top": (10, 60), "within": (5, 1)}
    assert not app._is_connected
    app.use(connect())
    assert listed(app) == {}
    app._publish()
    assert listed(app) == {"top": (10, "MINUTE"), "within": (5, "SECOND")}


def test_a_script_puts_at_once_where_it_is_told_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADRACE_STACK", raising=False)
    app = new_app()
    app.task(name="task")(step)
    with local(app, stack="shop", background=False):
        declaring, operator = new_app(), new_app(stack="shop")
        declaring.rate_limits.put("kept", 1)
        operator.rate_limits.put("sent", 2)
        assert (declaring._declared_rate_limits, declaring._is_connected) == ({"kept": (1, 1)}, False)
        assert listed(app) == {"sent": (2, "SECOND")}
        monkeypatch.setenv("HEADRACE_STACK", "elsewhere")
        with pytest.raises(StackNotFound, match="headrace"):
            new_app().rate_limits.put("lost", 3)


def test_the_clock_publishes_all_that_is_declared_once() -> None:
    app = new_app()
    task = app.task(name="task")(step)
    app.worker("w", workflows=[task])
    app.rate_limits.put("k", 7)
    app.use(connect())
    tick = clock.make_handler(app)
    tick({}, None)
    assert published(app.engine, "task") == task.published()
    assert [each.worker for each in declared(app.engine)] == ["w"]
    assert listed(app) == {"k": (7, "SECOND")}


def test_a_process_does_not_start_with_a_key_that_has_no_limit() -> None:
    app = new_app()
    task = app.task(name="task", rate_limits=[RateLimit(static_key="api")])(step)
    worker = app.worker("w", workflows=[task], process=True)
    app.use(connect())
    with pytest.raises(DefinitionError, match=r"task task of workflow task takes units of rate limit 'api'"):
        Process(worker).run()
    assert published(app.engine, "task") is None
    set_limit(app.engine, "api", 1, 1)
    check_limits(app.engine, {}, [task.plan()])
