"""Concurrency limits, slots, priorities, rate limits and pauses, as an app declares them, on the local runtime."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from queue import SimpleQueue
from typing import Any

import pytest
from pydantic import BaseModel

from headrace import (
    ConcurrencyExpression,
    ConcurrencyLimitStrategy,
    Context,
    FailedTaskRunExceptionGroup,
    Headrace,
    Priority,
    RateLimit,
    RateLimitDuration,
    RunStatus,
    Settings,
    Standalone,
    Workflow,
)
from headrace.core.changes import Update
from headrace.core.points import AtSlots, encode_point
from headrace.core.table import gate_key, run_key
from headrace.core.waits.holders import state_of
from headrace_infra.local.stack import LocalStack
from headrace_infra.testing import local

QUEUED, RUNNING, COMPLETED, CANCELLED = (
    RunStatus.QUEUED,
    RunStatus.RUNNING,
    RunStatus.COMPLETED,
    RunStatus.CANCELLED,
)
NEWEST = ConcurrencyLimitStrategy.CANCEL_NEWEST
IN_PROGRESS = ConcurrencyLimitStrategy.CANCEL_IN_PROGRESS
MINUTE_MS = 60_000


class Order(BaseModel):
    customer: str = "a"
    n: int = 1
    hold: bool = True


class Stage:
    """An app whose task holds until it is told to go on; runs are started and delivered one after the other."""

    def __init__(self) -> None:
        self.app = Headrace(config=Settings())
        self.started: list[str] = []
        self.minutes: list[int] = []
        self._news: SimpleQueue[str] = SimpleQueue()
        self._go = threading.Event()
        self._futures: list[Future[None]] = []
        self._pool = ThreadPoolExecutor(8)
        self.stack: LocalStack

    def step(self, input: Order, ctx: Context) -> dict[str, str]:
        self.started.append(input.customer)
        self.minutes.append(self.stack.clock.now_ms() // MINUTE_MS)
        if input.hold:
            self._news.put("it runs")
            assert self._go.wait(20)
        return {"customer": input.customer}

    def fails_once(self, input: Order, ctx: Context) -> dict[str, str]:
        self.step(input, ctx)
        if input.customer == "fails" and ctx.retry_count == 0:
            raise ValueError("not yet")
        return {}

    @contextmanager
    def open(self) -> Iterator[LocalStack]:
        with self._pool, local(self.app, backend="memory", background=False) as self.stack:
            self.stack.advance(timedelta(milliseconds=MINUTE_MS - self.stack.clock.now_ms() % MINUTE_MS))
            try:
                yield self.stack
            finally:
                self._go.set()

    def put(self, what: Any, order: Order, **options: Any) -> str:
        """Start a run, later than the one before: of two in one millisecond either may be first."""
        self.stack.clock.advance(2)
        run_id: str = what.run(order, wait_for_result=False, **options).workflow_run_id
        return run_id

    def start(self, what: Any, order: Order, **options: Any) -> str:
        """Start a run and deliver its message: until it runs and holds, or there is nothing to deliver any more."""
        run_id = self.put(what, order, **options)
        future = self._pool.submit(self.stack.deliver_all)
        future.add_done_callback(lambda _: self._news.put("nothing left"))
        self._futures.append(future)
        self._news.get(timeout=20)
        return run_id

    def finish(self) -> None:
        """Let everything go on, to its end."""
        self._go.set()
        for future in self._futures:
            future.result(20)
        self.stack.drain()

    def statuses(self, run_ids: list[str]) -> list[RunStatus]:
        return [self.app.runs.get_status(run_id) for run_id in run_ids]


def per_customer(
    most: int, strategy: Any = ConcurrencyLimitStrategy.GROUP_ROUND_ROBIN
) -> ConcurrencyExpression:
    return ConcurrencyExpression("input.customer", most, strategy)


ROWS: list[tuple[str, Any, str, list[RunStatus], list[RunStatus]]] = [
    ("a number", 2, "aab", [RUNNING, RUNNING, QUEUED], [COMPLETED] * 3),
    ("per customer", per_customer(1), "aab", [RUNNING, QUEUED, RUNNING], [COMPLETED] * 3),
    (
        "two in a row",
        [per_customer(1), ConcurrencyExpression("'all'", 2)],
        "aabc",
        [RUNNING, QUEUED, RUNNING, QUEUED],
        [COMPLETED] * 4,
    ),
    (
        "cancel newest",
        per_customer(1, NEWEST),
        "aab",
        [RUNNING, CANCELLED, RUNNING],
        [COMPLETED, CANCELLED, COMPLETED],
    ),
    ("its name", per_customer(1, "CANCEL_NEWEST"), "aa", [RUNNING, CANCELLED], [COMPLETED, CANCELLED]),
    (
        "cancel in progress",
        per_customer(1, IN_PROGRESS),
        "aab",
        [CANCELLED, RUNNING, RUNNING],
        [CANCELLED, COMPLETED, COMPLETED],
    ),
    (
        "of the metadata",
        ConcurrencyExpression("additional_metadata.customer", 1),
        "aab",
        [RUNNING, QUEUED, RUNNING],
        [COMPLETED] * 3,
    ),
]


def one_task(stage: Stage, concurrency: Any) -> Standalone[Order, dict[str, str]]:
    return stage.app.task(input_validator=Order, concurrency=concurrency)(stage.step)


def a_workflow(stage: Stage, concurrency: Any) -> Workflow[Order]:
    """Its last task holds: the place is the run's until then."""
    flow = stage.app.workflow(name="flow", input_validator=Order, concurrency=concurrency)

    @flow.task()
    def first(input: Order, ctx: Context) -> dict[str, str]:
        return {}

    flow.task(parents=[first])(stage.step)
    return flow


@pytest.mark.parametrize("declare", [one_task, a_workflow])
@pytest.mark.parametrize(
    ("concurrency", "customers", "meanwhile", "finally_"),
    [pytest.param(*row[1:], id=row[0]) for row in ROWS],
)
def test_so_many_run_at_once(
    declare: Callable[[Stage, Any], Any],
    concurrency: Any,
    customers: str,
    meanwhile: list[RunStatus],
    finally_: list[RunStatus],
) -> None:
    stage = Stage()
    what = declare(stage, concurrency)
    with stage.open():
        ids = [
            stage.start(what, Order(customer=each), additional_metadata={"customer": each})
            for each in customers
        ]
        assert stage.statuses(ids) == meanwhile
        stage.finish()
        assert stage.statuses(ids) == finally_


def test_a_key_that_cannot_be_evaluated_fails_the_run_with_the_reason() -> None:
    stage = Stage()
    task = one_task(stage, ConcurrencyExpression("input.missing.field", 1))
    with stage.open() as stack:
        ref = task.run(Order(hold=False), wait_for_result=False)
        stack.drain()
        with pytest.raises(
            FailedTaskRunExceptionGroup, match=r"ExpressionError: .*input\.missing\.field.*missing"
        ):
            ref.result()
    assert stage.started == []


def test_a_retry_enters_again() -> None:
    stage = Stage()
    task = stage.app.task(input_validator=Order, concurrency=1, retries=1, backoff_factor=20.0)(
        stage.fails_once
    )
    with stage.open():
        ids = [stage.start(task, Order(customer=each)) for each in ("fails", "next")]
        assert stage.statuses(ids) == [RUNNING, QUEUED]
        stage.finish()
        assert stage.statuses(ids) == [COMPLETED, COMPLETED]
    assert stage.started == ["fails", "next", "fails"]


# ---------------------------------------------------------------- slots and priority


def test_tasks_that_wait_for_a_slot_go_in_by_priority_then_by_age() -> None:
    stage = Stage()
    task = stage.app.task(name="task", input_validator=Order, default_priority=Priority.MEDIUM)(stage.step)
    stage.app.worker("w", workflows=[task], slots=1)
    with stage.open():
        stage.start(task, Order(customer="first"))
        for name, priority in (("low", 1), ("high", 3), ("medium", None), ("high too", Priority.HIGH)):
            stage.start(task, Order(customer=name), priority=priority)
        assert stage.started == ["first"]
        stage.finish()
    assert stage.started == ["first", "high", "high too", "medium", "low"]


def test_slots_are_counted_by_their_cost_over_all_tasks_of_the_worker() -> None:
    stage = Stage()
    large = stage.app.task(name="large", input_validator=Order, slot_cost=2)(stage.step)
    small = stage.app.task(name="small", input_validator=Order)(stage.step)
    stage.app.worker("w", workflows=[large, small], slots=3)
    with stage.open():
        ids = [stage.start(each, Order()) for each in (large, large, small)]
        assert stage.statuses(ids) == [RUNNING, QUEUED, QUEUED]  # the second is not overtaken
        stage.finish()
        assert stage.statuses(ids) == [COMPLETED] * 3


@pytest.mark.parametrize("released", [True, False])
def test_a_slot_is_released_while_the_task_goes_on_and_its_place_at_its_key_is_kept(released: bool) -> None:
    stage = Stage()

    def work(input: Order, ctx: Context) -> dict[str, str]:
        if released:
            ctx.release_slot()
            ctx.release_slot()  # a second time changes nothing
        return stage.step(input, ctx)

    task = stage.app.task(
        name="task", input_validator=Order, concurrency=ConcurrencyExpression("input.customer", 1)
    )(work)
    stage.app.worker("w", workflows=[task], slots=1)
    with stage.open():
        ids = [stage.start(task, Order(customer=each)) for each in "aab"]
        assert stage.statuses(ids) == ([RUNNING, QUEUED, RUNNING] if released else [RUNNING, QUEUED, QUEUED])
        stage.finish()
        assert stage.statuses(ids) == [COMPLETED] * 3


@pytest.mark.parametrize("replaced", [True, False])
def test_an_attempt_that_was_replaced_releases_nothing(replaced: bool) -> None:
    app = Headrace(config=Settings())
    held: list[bool] = []

    @app.task(name="task")
    def task(input: Order, ctx: Context) -> dict[str, str]:
        engine = app.engine
        if replaced:
            engine.store.write(
                Update(key=run_key(ctx.workflow_run_id), sets={("tasks", "0", "o"): "another"})
            )
        ctx.release_slot()
        gate = engine.store.get(gate_key(encode_point(AtSlots("w"))))
        held.append(any(each.run_id == ctx.workflow_run_id for each in state_of(gate).holders.values()))
        return {}

    app.worker("w", workflows=[task], slots=1)
    with local(app, backend="memory", background=False) as stack:
        task.run(Order(), wait_for_result=False)
        stack.deliver_all()
    assert held == [replaced]


# ---------------------------------------------------------------- rate limits


def start_all(stage: Stage, what: Any, orders: list[Order]) -> list[int]:
    """In which minute each started, from 0: the first one has just begun."""
    stage.stack.advance(timedelta(milliseconds=MINUTE_MS - stage.stack.clock.now_ms() % MINUTE_MS))
    began = stage.stack.clock.now_ms() // MINUTE_MS
    for order in orders:
        what.run(order, wait_for_result=False)
    stage.stack.drain()
    return [minute - began for minute in stage.minutes]


def orders(customers: str, n: int = 1) -> list[Order]:
    return [Order(customer=each, n=n, hold=False) for each in customers]


A_MINUTE = RateLimitDuration.MINUTE
LIMITS: list[tuple[str, list[RateLimit], list[Order], list[int]]] = [
    ("static", [RateLimit(static_key="two")], orders("aaaaa"), [0, 0, 1, 1, 2]),
    ("units", [RateLimit(static_key="ten", units=4)], orders("aaa"), [0, 0, 1]),
    ("units by CEL", [RateLimit(static_key="ten", units="input.n")], orders("aaa", 5), [0, 0, 1]),
    ("dynamic", [RateLimit(dynamic_key="input.customer", limit=1)], orders("aab"), [0, 0, 1]),
    ("a limit by CEL", [RateLimit(dynamic_key="'k'", limit="input.n")], orders("aaa", 2), [0, 0, 1]),
    (
        "its own limit is ignored",
        [RateLimit(static_key="two", limit=1, duration=RateLimitDuration.DAY)],
        orders("aaa"),
        [0, 0, 1],
    ),
]


@pytest.mark.parametrize(
    ("limits", "given", "minutes"), [pytest.param(*row[1:], id=row[0]) for row in LIMITS]
)
def test_so_many_start_in_a_window(limits: list[RateLimit], given: list[Order], minutes: list[int]) -> None:
    stage = Stage()
    stage.app.rate_limits.put("two", 2, A_MINUTE)
    stage.app.rate_limits.put("ten", 10, A_MINUTE)
    task = stage.app.task(input_validator=Order, rate_limits=limits, schedule_timeout="1h")(stage.step)
    with stage.open():
        assert start_all(stage, task, given) == minutes


def test_all_limits_of_a_task_or_none() -> None:
    stage = Stage()
    stage.app.rate_limits.put("wide", 10, A_MINUTE)
    stage.app.rate_limits.put("narrow", 1, A_MINUTE)
    both = [RateLimit(static_key="wide", units=3), RateLimit(static_key="narrow")]
    task = stage.app.task(input_validator=Order, rate_limits=both)(stage.step)
    with stage.open() as stack:
        for order in orders("aaa"):
            task.run(order, wait_for_result=False)
        stack.deliver_all()
        left = {row.key: row.value for row in stage.app.rate_limits.list().rows}
        assert (stage.started, left) == (["a"], {"wide": 7, "narrow": 0})


def test_a_dynamic_key_is_shared_by_all_tasks_that_name_it() -> None:
    stage = Stage()
    limits = [RateLimit(dynamic_key="'shared by ' + input.customer", limit=1)]
    one = stage.app.task(name="one", input_validator=Order, rate_limits=limits)(stage.step)
    two = stage.app.task(name="two", input_validator=Order, rate_limits=limits)(stage.step)
    with stage.open() as stack:
        for what in (one, two):
            what.run(Order(hold=False), wait_for_result=False)
        stack.deliver_all()
        assert stage.started == ["a"]
        stack.drain()
        assert stage.started == ["a", "a"]


# ---------------------------------------------------------------- pauses


def test_a_paused_workflow_keeps_its_runs_until_it_goes_on() -> None:
    stage = Stage()
    task = one_task(stage, None)
    with stage.open() as stack:
        task.pause(timedelta(minutes=10))
        assert stage.app.workflows.get(task.id).is_paused
        ids = [stage.put(task, each) for each in orders("ab")]
        stack.drain()
        assert stage.statuses(ids) == [QUEUED, QUEUED]
        task.unpause()
        stack.drain()
        assert stage.statuses(ids) == [COMPLETED, COMPLETED]
    assert stage.started == ["a", "b"]


def test_a_paused_worker_begins_no_task_until_it_goes_on() -> None:
    stage = Stage()
    task = one_task(stage, None)
    with stage.open() as stack:
        stage.app.workers.pause("default")
        ids = [stage.put(task, each) for each in orders("ab")]
        stack.drain()
        assert stage.statuses(ids) == [QUEUED, QUEUED]
        waiting = stage.app.runs.get(ids[0])
        assert waiting.tasks[0].waits_for == "worker default to be unpaused"
        assert "REQUEUED_NO_WORKER" in {event.event_type.value for event in waiting.task_events}
        stage.app.workers.unpause("default")
        stack.drain()
        assert stage.statuses(ids) == [COMPLETED, COMPLETED]
    assert stage.started == ["a", "b"]


def test_what_a_paused_worker_has_begun_goes_on_and_the_next_task_of_its_run_waits() -> None:
    stage = Stage()
    flow = stage.app.workflow(name="flow", input_validator=Order)
    order: list[str] = []

    @flow.task(retries=1)
    def first(input: Order, ctx: Context) -> dict[str, int]:
        order.append(f"first {ctx.retry_count}")
        if ctx.retry_count == 0:
            stage.app.workers.pause("default")
            raise ValueError("again")
        return {}

    @flow.task(parents=[first])
    def second(input: Order, ctx: Context) -> dict[str, int]:
        order.append("second")
        return {}

    with stage.open() as stack:
        ref = flow.run(Order(), wait_for_result=False)
        stack.drain()
        assert order == ["first 0", "first 1"]
        stage.app.workers.unpause("default")
        stack.drain()
        assert stage.statuses([ref.workflow_run_id]) == [COMPLETED]
    assert order == ["first 0", "first 1", "second"]


def test_a_task_waits_for_a_paused_worker_as_long_as_its_schedule_timeout_says() -> None:
    stage = Stage()
    task = one_task(stage, None)
    with stage.open() as stack:
        stage.app.workers.pause("default")
        run_id = task.run(Order(), wait_for_result=False).workflow_run_id
        stack.deliver_all()
        stack.advance(timedelta(minutes=4))
        stack.drain()
        assert stage.statuses([run_id]) == [QUEUED]
        stack.advance(timedelta(minutes=3))
        stack.drain()
        assert stage.statuses([run_id]) == [CANCELLED]
        assert "did not start within 300s" in str(stage.app.runs.get(run_id).tasks[0].error_message)
    assert stage.started == []


def test_a_run_of_a_paused_workflow_is_cancelled_after_its_ttl() -> None:
    stage = Stage()
    task = one_task(stage, None)
    with stage.open() as stack:
        task.pause(timedelta(minutes=2))
        run_id = task.run(Order(), wait_for_result=False).workflow_run_id
        stack.deliver_all()
        stack.advance(timedelta(minutes=1))
        stack.drain()
        assert stage.statuses([run_id]) == [QUEUED]
        stack.advance(timedelta(minutes=3))
        stack.drain()
        assert stage.statuses([run_id]) == [CANCELLED]
    assert stage.started == []
